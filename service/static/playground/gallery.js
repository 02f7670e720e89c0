// The pictures and what they are taken for: classified many at once, one card each.

import { ApiError, json, path } from "./api.js";
import { bars, byId, element, percent } from "./elements.js";

const AT_ONCE = 32; // pictures a request
const MOST = 200;

/** The gallery; `opened` hears which picture is to be looked into, `failed` of other errors. */
export function gallery({ opened, failed }) {
  let pictures = [], model = null, aborted = new AbortController(), waiting = Promise.resolve();
  const list = byId("gallery");

  function card(picture) {
    const told = element("div", { class: "told" });
    const button = element("button", { class: "picture", type: "button" },
      element("img", { src: picture.url, alt: "" }), told);
    button.addEventListener("click", () => picture.prediction && opened(picture));
    const remove = element("button", { class: "remove", type: "button", "aria-label": `Remove ${picture.name}` }, "×");
    remove.addEventListener("click", () => drop(picture));
    picture.card = element("li", {}, button, remove);
    picture.button = button;
    picture.told = told;
    show(picture);
    return picture.card;
  }

  function show(picture) {
    const { prediction, error, name } = picture;
    const parts = [element("span", { class: "quiet" }, name)];
    if (prediction) {
      parts.unshift(element("strong", {}, `${prediction.label} ${percent(prediction.score)}`));
      parts.push(bars(prediction.top.slice(0, 3)));
    } else if (error) parts.push(element("span", { class: "error" }, error));
    else parts.push(element("span", { class: "quiet" }, " …"));
    picture.told.replaceChildren(...parts);
    picture.button.disabled = !prediction;
  }

  function announce(done) {
    const said = done.filter((p) => p.prediction || p.error)
      .map((p) => `${p.name}: ${p.error ?? `${p.prediction.label}, ${percent(p.prediction.score)}`}`);
    if (said.length) byId("result").textContent = said.slice(-5).join(". ");
  }

  /** Classify pictures in one request; those that the service refuses by name are left out. */
  async function classify(chosen, signal) {
    if (!chosen.length) return;
    try {
      const target = path(model.name, "predict", { version: model.version, top_k: 5 });
      const answer = await json(target, { pictures: chosen, signal });
      chosen.forEach((picture, i) => Object.assign(picture, { prediction: answer.predictions[i], error: null }));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      if (error.images.length) {
        for (const { index, reason } of error.images) chosen[index].error = `Not a picture that can be used: ${reason}`;
        return classify(chosen.filter((picture) => !picture.error), signal);
      }
      if (error.status === 413 && chosen.length > 1) {
        const half = chosen.length >> 1;
        await classify(chosen.slice(0, half), signal);
        return classify(chosen.slice(half), signal);
      }
      for (const picture of chosen) picture.error = error.message;
      if (error.status !== 413) failed(error);
    } finally {
      chosen.forEach(show);
      if (!signal.aborted) announce(chosen);
    }
  }

  function run(chosen) {
    if (!model) return null; // `use` classifies what is there
    const { signal } = aborted;
    waiting = waiting.then(async () => {
      for (let i = 0; i < chosen.length && !signal.aborted; i += AT_ONCE) {
        await classify(chosen.slice(i, i + AT_ONCE), signal);
      }
    }).catch(failed);
    return waiting;
  }

  function count() {
    byId("empty").hidden = pictures.length > 0;
    byId("remove-all").hidden = pictures.length < 2;
  }

  function forget(picture) {
    pictures = pictures.filter((each) => each !== picture);
    picture.card.remove();
    URL.revokeObjectURL(picture.url);
    count();
    if (picture.button.getAttribute("aria-current")) opened(null);
  }

  function drop(picture) {
    const { nextElementSibling, previousElementSibling } = picture.card;
    forget(picture);
    ((nextElementSibling ?? previousElementSibling)?.querySelector("button:enabled") ?? byId("files")).focus();
  }

  byId("remove-all").addEventListener("click", () => {
    [...pictures].forEach(forget);
    byId("files").focus();
  });

  return {
    /** Classify everything anew by that model, `{name, version}`. */
    use(chosen) {
      model = chosen;
      aborted.abort();
      aborted = new AbortController();
      for (const picture of pictures) {
        Object.assign(picture, { prediction: null, error: null });
        show(picture);
      }
      return run(pictures);
    },
    /** Add pictures `{name, blob}`; resolves to them once they are classified. */
    async add(given) {
      const room = Math.max(0, MOST - pictures.length);
      if (given.length > room) failed(new Error(`At most ${MOST} pictures are kept; remove some first.`));
      const added = given.slice(0, room).map(({ name, blob }) => ({ name, blob, url: URL.createObjectURL(blob) }));
      pictures.push(...added);
      count();
      list.prepend(...added.map(card));
      await run(added);
      return added;
    },
    /** Put another content into a picture that is there. */
    async replace(picture, blob) {
      URL.revokeObjectURL(picture.url);
      Object.assign(picture, { blob, url: URL.createObjectURL(blob), error: null });
      picture.button.querySelector("img").src = picture.url;
      await run([picture]);
    },
    has: (picture) => pictures.includes(picture),
    current(picture) {
      for (const each of pictures) {
        if (each === picture) each.button.setAttribute("aria-current", "true");
        else each.button.removeAttribute("aria-current");
      }
    },
  };
}
