// One picture and one model: the prediction, the heat map, and the network's input.

import { isAbort, json, messageOf, only, path } from "../api.js";
import { doubtShown, grounds } from "../doubt.js";
import { element } from "../elements.js";
import { bars, inSentence, shortLabel } from "../labels.js";
import { shape, short } from "../numbers.js";
import { captionOf, covered, isSigned, strongest } from "./explanations.js";
import { drawPixels, heatLayer, penOf } from "./maps.js";
import { waiting } from "./waiting.js";

const SIDE = 288; // pixels that the picture is shown in

/** An answer's place on the page. */
export function answer() {
  const title = element("h3", { tabIndex: -1 });
  const top = element("div", "top");
  const problem = element("p", "error");
  const canvas = element("canvas", { role: "img" });
  const legend = element("div", "legend");
  const caption = element("figcaption");
  const wait = waiting("heat map", () => title.focus());
  const seen = element("canvas", { class: "crisp seen", role: "img" });
  const seenCaption = element("figcaption");
  const place = element(
    "article",
    "answer",
    title,
    element(
      "div",
      "views",
      element("figure", {}, canvas, wait.place, legend, problem, caption),
      element("figure", {}, seen, seenCaption),
      top,
    ),
  );
  /** @type {{ bitmap: ImageBitmap, box: Box, heat: HTMLCanvasElement | null } | null} */
  let shown = null;
  let opacity = 0.7;

  function draw() {
    if (!shown) return;
    const { bitmap, heat, box } = shown;
    const scale = SIDE / Math.max(bitmap.width, bitmap.height);
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const pen = penOf(canvas);
    pen.fillStyle = "#fff"; // what the service lays transparent pictures on
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = scale < 3;
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    if (!heat) return;
    pen.globalAlpha = opacity;
    pen.imageSmoothingEnabled = true;
    pen.drawImage(heat, ...covered(box, canvas));
  }

  /**
   * @param {Explanation} found
   * @param {string | undefined} layer
   * @param {number} most
   */
  function describe(found, layer, most) {
    const signed = isSigned(found);
    legend.className = signed ? "legend signed" : "legend";
    legend.replaceChildren(short(signed ? -most : 0), element("i"), short(most));
    caption.textContent = captionOf(found, layer);
  }

  /** @param {string} why there is no heat map */
  function clear(why = "") {
    if (shown) shown.heat = null;
    legend.replaceChildren();
    caption.textContent = "";
    problem.textContent = why;
    draw();
  }

  /**
   * Lay a heat map over the picture, or tell why there is none.
   * @param {Question} question
   */
  async function explain(question) {
    const { model, picture, method, target } = question;
    if (!shown) return;
    const under = shown;
    const given = new AbortController(); // up, by the button
    const { told, end, cancelled } = wait.begin(() => given.abort());
    const signal = AbortSignal.any([question.signal, given.signal]);
    try {
      const asked = path(model.name, "explain", { version: model.version, method, target });
      const { explanations, layer } = await json(asked, { pictures: [picture], signal, told });
      const found = only(explanations);
      const most = strongest(found);
      under.heat = heatLayer(found.values, most);
      under.box = found.box;
      describe(found, layer, most);
      const what = `Heat map for ${inSentence(found.target.label)} over ${picture.name}`;
      canvas.setAttribute("aria-label", what);
      problem.textContent = "";
      draw();
    } catch (error) {
      if (!isAbort(error)) clear(messageOf(error));
      else if (given.signal.aborted && !question.signal.aborted) {
        clear();
        cancelled(() => explain(question));
        return;
      }
    }
    end();
  }

  return {
    place,
    /**
     * Draw the picture, its prediction (asked unless given) and the network's input; resolves to
     * that input, (C, H, W) of 0 to 255.
     * @param {Question} question
     * @param {Prediction | null} prediction
     * @returns {Promise<Maps>}
     */
    async fill({ model, picture, signal }, prediction) {
      const { version } = model;
      const options = { pictures: [picture], signal };
      const predict = async () => {
        const all = await json(path(model.name, "predict", { version, top_k: 5 }), options);
        return only(all.predictions);
      };
      const [bitmap, input, said] = await Promise.all([
        createImageBitmap(picture.blob),
        json(path(model.name, "input", { version }), options),
        prediction ?? predict(),
      ]);
      signal.throwIfAborted();
      const view = only(input.images);
      title.replaceChildren(`${model.name} says `, shortLabel(said.label));
      top.replaceChildren(
        ...doubtShown(said),
        bars(said.top),
        element("p", "quiet", grounds(said)),
      );
      shown = { bitmap, box: view.box, heat: null };
      canvas.setAttribute("aria-label", picture.name);
      draw();
      drawPixels(seen, view.values);
      seen.setAttribute("aria-label", `${picture.name} as the network gets it`);
      seenCaption.textContent = `What the network gets: ${shape(input.shape)}`;
      return view.values;
    },
    explain,
    /** @param {unknown} error why there is no answer */
    fail(error) {
      if (!isAbort(error)) problem.textContent = messageOf(error);
    },
    /** @param {number} strength how opaque the heat map is, 0 to 1 */
    fade(strength) {
      opacity = strength;
      draw();
    },
  };
}
