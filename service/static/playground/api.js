// The service's API: requests → answers, or errors in words.

import { lines } from "./lines.js";

const KEY = "fanlight-key";
const MOST_SECONDS_TO_WAIT = 5; // before a busy service is asked once more

/** An answer that is an error; `images` tells which pictures were refused, and why. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where there was no answer
   * @param {Problem} problem
   */
  constructor(status, problem) {
    super(
      problem.title ? `${problem.title}: ${problem.detail}` : `The service answered ${status}.`,
    );
    this.status = status;
    this.images = problem.errors ?? [];
  }
}

/**
 * Whether an error only says that a request was given up.
 * @param {unknown} error
 */
export const isAbort = error => error instanceof Error && error.name === "AbortError";

/** @param {unknown} error */
export const messageOf = error => (error instanceof Error ? error.message : String(error));

/** Called for requests: `last` after each answer, `unauthorized` when a key is wanted. */
export const heard = {
  /** @type {(request: Answered) => void} */
  last: () => {},
  unauthorized: () => {},
};

/** @param {string} key */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

/**
 * Makes signals, each of which aborts the one before it; they abort with `outer` too.
 * @returns {(outer?: AbortSignal) => AbortSignal}
 */
export function latest() {
  let last = new AbortController();
  return outer => {
    last.abort();
    last = new AbortController();
    return outer ? AbortSignal.any([outer, last.signal]) : last.signal;
  };
}

/** The path of the list of models. */
export const MODELS = /** @type {Target<ModelList>} */ ("v1/models");

/**
 * The path of a model's resource with its parameters; empty ones are left out.
 * @template {Resource} R
 * @param {string} model
 * @param {R} resource
 * @param {QueryParameters} parameters
 */
export function path(model, resource, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== null && each !== "") query.append(name, String(each));
    }
  }
  const parts = [model, ...[resource].flat()].map(encodeURIComponent);
  const text = `v1/models/${parts.join("/")}${query.size ? `?${query}` : ""}`;
  return /** @type {Target<AnswerOf<R>>} */ (text);
}

/**
 * GET, or POST of pictures; raises `ApiError`, or `AbortError` by the signal.
 *
 * A service that is busy is asked once more, after the time that it names.
 * @param {string} target
 * @param {Options} options
 */
export async function ask(target, options = {}) {
  const { pictures, signal } = options;
  const started = performance.now();
  let answer = await send(target, options);
  if (answer.status === 429 || answer.status === 503) {
    const seconds = Math.min(Number(answer.headers.get("Retry-After")) || 1, MOST_SECONDS_TO_WAIT);
    await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
    signal?.throwIfAborted();
    answer = await send(target, options);
  }
  if (!answer.ok) {
    if (answer.status === 401) heard.unauthorized();
    throw new ApiError(answer.status, await answer.json().catch(() => ({})));
  }
  heard.last({
    target,
    pictures: pictures ?? [],
    milliseconds: performance.now() - started,
    server: /dur=([\d.]+)/.exec(answer.headers.get("Server-Timing") ?? "")?.[1],
    batch: answer.headers.get("X-Batch-Size"),
  });
  return answer;
}

/**
 * The answer of a request as JSON; `told` hears how far the service is.
 * @template Answer
 * @param {Target<Answer>} target
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export async function json(target, options) {
  const answer = await ask(target, options);
  return options?.told ? lastLine(answer, options.told) : answer.json();
}

/**
 * The last line of an answer; raises `ApiError` if that is a problem, or is missing.
 * @template Answer
 * @param {Response} answer
 * @param {(progress: Progress) => void} told hears the lines before it
 * @returns {Promise<Answer>}
 */
export async function lastLine(answer, told) {
  let last;
  try {
    for await (const line of lines(answer.body ?? new ReadableStream())) {
      if ("done" in line) told(line);
      else last = line;
    }
  } catch (error) {
    if (isAbort(error)) throw error;
  }
  if (last === undefined)
    throw new ApiError(0, { title: "Broken off", detail: "the answer has no end; try again" });
  if ("status" in last) throw new ApiError(last.status, last);
  return /** @type {Answer} */ (/** @type {unknown} */ (last));
}

/**
 * What an answer says of the only picture, or layer, that was asked about.
 * @template T
 * @param {T[]} list
 */
export function only([found]) {
  if (found === undefined) throw new Error("The service's answer is empty.");
  return found;
}

/**
 * A picture of the API as an object URL, which the caller revokes.
 * @param {string} target
 * @param {Options} [options]
 */
export async function image(target, options) {
  return URL.createObjectURL(await (await ask(target, options)).blob());
}

/**
 * @param {string} target
 * @param {Options} options
 */
async function send(target, { pictures, signal, told }) {
  const headers = new Headers();
  if (told) headers.set("Accept", "application/x-ndjson");
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  /** @type {RequestInit} */
  const request = { headers, signal: signal ?? null };
  if (pictures) {
    const body = new FormData();
    for (const { name, blob } of pictures) body.append("images", blob, name);
    Object.assign(request, { method: "POST", body });
  }
  try {
    return await fetch(target, request);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, { title: "No answer", detail: "the service can't be reached" });
  }
}
