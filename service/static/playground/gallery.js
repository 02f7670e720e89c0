// The pictures and their predictions: classified many in one request, one card each.

import { ApiError, isAbort, json, path } from "./api.js";
import { doubt, doubtShown } from "./doubt.js";
import { byId, element } from "./elements.js";
import { bars, inSentence, shortLabel } from "./labels.js";
import { percent } from "./numbers.js";

const AT_ONCE = 32; // pictures a request
const MOST = 200; // pictures that are kept

/**
 * @param {object} listeners
 * @param {(picture: Picture | null) => void} listeners.opened gets the picture to look into
 * @param {(error: unknown) => void} listeners.failed gets errors that are of no single picture
 */
export function gallery({ opened, failed }) {
  const list = byId("gallery");
  const removeAll = byId("remove-all", HTMLButtonElement);
  /** @type {Picture[]} */
  let pictures = [];
  /** @type {Model | null} */
  let model = null;
  let aborted = new AbortController();
  let waiting = Promise.resolve();

  /**
   * @param {Given} given
   * @returns {Picture}
   */
  function made({ name, blob }) {
    const url = URL.createObjectURL(blob);
    const told = element("div", "told");
    const thumbnail = element("img", { src: url, alt: "" });
    const button = element("button", "picture", thumbnail, told);
    const remove = element("button", { class: "remove", "aria-label": `Remove ${name}` }, "×");
    const card = element("li", {}, button, remove);
    /** @type {Picture} */
    const picture = {
      name,
      blob,
      url,
      prediction: null,
      error: null,
      card,
      button,
      thumbnail,
      told,
    };
    button.addEventListener("click", () => {
      if (picture.prediction) opened(picture);
    });
    remove.addEventListener("click", () => drop(picture));
    show(picture);
    return picture;
  }

  /** @param {Picture} picture */
  function show({ prediction, error, name, told, button }) {
    const parts = [element("span", "quiet", name)];
    if (prediction) {
      parts.unshift(
        element("strong", {}, shortLabel(prediction.label), ` ${percent(prediction.score)}`),
      );
      parts.splice(1, 0, ...doubtShown(prediction));
      parts.push(bars(prediction.top.slice(0, 3)));
    } else if (error) parts.push(element("span", "error", error));
    else parts.push(element("span", "quiet", " …"));
    told.replaceChildren(...parts);
    button.disabled = !prediction;
  }

  /** @param {Picture[]} done */
  function announce(done) {
    const said = done.flatMap(({ name, error, prediction }) => {
      if (error) return [`${name}: ${error}`];
      if (!prediction) return [];
      const said = `${inSentence(prediction.label)}, ${percent(prediction.score)}`;
      return [[`${name}: ${said}`, doubt(prediction)].filter(Boolean).join(", ")];
    });
    if (said.length) byId("result").textContent = said.slice(-5).join(". ");
  }

  /**
   * Classify pictures in one request, without those that the service refuses by name.
   * @param {Model} model
   * @param {Picture[]} chosen
   * @param {AbortSignal} signal
   */
  async function classify(model, chosen, signal) {
    if (!chosen.length) return;
    try {
      const target = path(model.name, "predict", { version: model.version, top_k: 5 });
      const answer = await json(target, { pictures: chosen, signal });
      chosen.forEach((picture, i) => {
        picture.prediction = answer.predictions[i] ?? null;
        picture.error = null;
      });
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof ApiError)) throw error;
      if (error.images.length) {
        for (const { index, reason } of error.images) {
          const refused = chosen[index];
          if (refused) refused.error = `Not a picture that can be used: ${reason}`;
        }
        await classify(
          model,
          chosen.filter(picture => !picture.error),
          signal,
        );
        return;
      }
      if (error.status === 413 && chosen.length > 1) {
        const half = chosen.length >> 1;
        await classify(model, chosen.slice(0, half), signal);
        await classify(model, chosen.slice(half), signal);
        return;
      }
      for (const picture of chosen) picture.error = error.message;
      if (error.status !== 413) failed(error);
    } finally {
      chosen.forEach(show);
      if (!signal.aborted) announce(chosen);
    }
  }

  /** @param {Picture[]} chosen */
  async function run(chosen) {
    if (!model) return; // `use` classifies what is there
    const by = model;
    const { signal } = aborted;
    waiting = waiting
      .then(async () => {
        for (let i = 0; i < chosen.length && !signal.aborted; i += AT_ONCE) {
          await classify(by, chosen.slice(i, i + AT_ONCE), signal);
        }
      })
      .catch(failed);
    await waiting;
  }

  function count() {
    byId("empty").hidden = pictures.length > 0;
    removeAll.hidden = pictures.length < 2;
  }

  /** @param {Picture} picture */
  function forget(picture) {
    pictures = pictures.filter(each => each !== picture);
    picture.card.remove();
    URL.revokeObjectURL(picture.url);
    count();
    if (picture.button.getAttribute("aria-current")) opened(null);
  }

  /** @param {Picture} picture */
  function drop(picture) {
    const near = picture.card.nextElementSibling ?? picture.card.previousElementSibling;
    forget(picture);
    const button = near?.querySelector("button:enabled");
    (button instanceof HTMLElement ? button : byId("files")).focus();
  }

  removeAll.addEventListener("click", () => {
    pictures.forEach(forget);
    byId("files").focus();
  });

  return {
    /**
     * Classify everything anew by that model.
     * @param {Model} chosen
     */
    async use(chosen) {
      model = chosen;
      aborted.abort();
      aborted = new AbortController();
      for (const picture of pictures) {
        Object.assign(picture, { prediction: null, error: null });
        show(picture);
      }
      await run(pictures);
    },
    /**
     * Add pictures; resolves to them once the model in use has classified them. Where none is
     * in use yet, or another comes, `use` classifies them.
     * @param {Given[]} given
     */
    async add(given) {
      const room = Math.max(0, MOST - pictures.length);
      if (given.length > room)
        failed(new Error(`At most ${MOST} pictures are kept; remove some first.`));
      const added = given.slice(0, room).map(made);
      pictures.push(...added);
      count();
      list.prepend(...added.map(({ card }) => card));
      await run(added);
      return added;
    },
    /**
     * Put another content into a picture that is there.
     * @param {Picture} picture
     * @param {Blob} blob
     */
    async replace(picture, blob) {
      URL.revokeObjectURL(picture.url);
      Object.assign(picture, { blob, url: URL.createObjectURL(blob), error: null });
      picture.thumbnail.src = picture.url;
      await run([picture]);
    },
    /** @param {Picture} picture */
    has: picture => pictures.includes(picture),
    /**
     * Mark the picture that is looked into.
     * @param {Picture | null} picture
     */
    current(picture) {
      for (const each of pictures) {
        if (each === picture) each.button.setAttribute("aria-current", "true");
        else each.button.removeAttribute("aria-current");
      }
    },
  };
}
