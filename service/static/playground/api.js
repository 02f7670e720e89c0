// The service's API: requests → answers, or errors in words.

const KEY = "fanlight-key";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.title ? `${problem.title}: ${problem.detail}` : `The service answered ${status}.`);
    this.status = status;
    this.images = problem.errors ?? [];
  }
}

/** What listens to requests: `last` hears of each answer, `unauthorized` when a key is wanted. */
export const heard = { last: () => {}, unauthorized: () => {} };

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

/** Makes signals, of which each aborts the one before it; they end with `outer` too. */
export function latest() {
  let last = new AbortController();
  return (outer) => {
    last.abort();
    last = new AbortController();
    return outer ? AbortSignal.any([outer, last.signal]) : last.signal;
  };
}

/** The path of a model's resource (its parts) with its parameters; empty ones are left out. */
export function path(model, resource, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== null && each !== "") query.append(name, each);
    }
  }
  const text = query.toString();
  return `v1/models/${[model, resource].flat().map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** GET, or POST of pictures `{name, blob}`; raises `ApiError`, or `AbortError` by the signal. */
export async function ask(target, { pictures, signal } = {}) {
  const started = performance.now();
  let answer = await send(target, pictures, signal);
  if (answer.status === 429 || answer.status === 503) {
    const seconds = Math.min(Number(answer.headers.get("Retry-After")) || 1, 5);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    signal?.throwIfAborted();
    answer = await send(target, pictures, signal);
  }
  if (!answer.ok) {
    if (answer.status === 401) heard.unauthorized();
    throw new ApiError(answer.status, await answer.json().catch(() => ({})));
  }
  heard.last({
    target, pictures,
    milliseconds: performance.now() - started,
    server: /dur=([\d.]+)/.exec(answer.headers.get("Server-Timing"))?.[1],
    batch: answer.headers.get("X-Batch-Size"),
  });
  return answer;
}

export const json = async (target, options) => (await ask(target, options)).json();

/** A picture of the API as an object URL, which the caller revokes. */
export async function image(target, options) {
  return URL.createObjectURL(await (await ask(target, options)).blob());
}

async function send(target, pictures, signal) {
  const options = { signal, headers: {} };
  const key = sessionStorage.getItem(KEY);
  if (key) options.headers.Authorization = `Bearer ${key}`;
  if (pictures) {
    options.method = "POST";
    options.body = new FormData();
    for (const { name, blob } of pictures) options.body.append("images", blob, name);
  }
  try {
    return await fetch(target, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { title: "No answer", detail: "the service can't be reached" });
  }
}
