// One picture and one model: what it is taken for, where the network looked, and what it gets.

import { json, path } from "./api.js";
import { bars, element, shape, short } from "./elements.js";
import { drawPixels, heatLayer } from "./maps.js";

const SIDE = 288; // pixels that the picture is shown in
const SIGNED = ["integrated-gradients", "occlusion"]; // methods whose values speak for and against

/** An answer's place on the page; `fill` and `explain` draw it, `fade` sets how strong the heat is. */
export function answer() {
  const title = element("h3"), top = element("div", { class: "top" }), problem = element("p", { class: "error" });
  const canvas = element("canvas", { role: "img" });
  const legend = element("div", { class: "legend" });
  const caption = element("figcaption"), seen = element("canvas", { class: "crisp seen", role: "img" });
  const seenCaption = element("figcaption");
  const place = element("article", { class: "answer" }, title,
    element("div", { class: "views" },
      element("figure", {}, canvas, legend, problem, caption),
      element("figure", {}, seen, seenCaption),
      top));
  let shown = null, opacity = 0.7;

  function draw() {
    if (!shown) return;
    const { bitmap, heat, box } = shown;
    const scale = SIDE / Math.max(bitmap.width, bitmap.height);
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff"; // what the service lays transparent pictures on
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    if (!heat) return;
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    const [left, top, right, bottom] = [box[0] * canvas.width, box[1] * canvas.height, box[2] * canvas.width, box[3] * canvas.height];
    context.drawImage(heat, left, top, right - left, bottom - top);
  }

  function describe({ target, convergence_delta: delta }, layer, signed, largest) {
    const told = signed
      ? `Red speaks for “${target.label}”, blue against it.`
      : `The redder, the more it counts for “${target.label}”.`;
    legend.className = signed ? "legend signed" : "legend";
    legend.replaceChildren(short(signed ? -largest : 0), element("i"), short(largest));
    caption.textContent = [told, layer && `Seen by ${layer}.`, delta !== undefined && `Convergence delta ${short(delta)}.`]
      .filter(Boolean).join(" ");
  }

  return {
    place,
    /** Draw the picture, what the model says of it (asked unless given) and what it gets; resolves
     * to the network's input, uint8 values (C, H, W). */
    async fill({ model, picture, signal }, prediction) {
      const ask = (resource, more) => json(path(model.name, resource, { version: model.version, ...more }), { pictures: [picture], signal });
      const [bitmap, { images: [view], shape: sides }, said] = await Promise.all([
        createImageBitmap(picture.blob), ask("input"), prediction ?? ask("predict", { top_k: 5 }).then((all) => all.predictions[0]),
      ]);
      signal.throwIfAborted();
      title.textContent = `${model.name} says ${said.label}`;
      top.replaceChildren(bars(said.top));
      shown = { bitmap, box: view.box, heat: null };
      canvas.setAttribute("aria-label", picture.name);
      draw();
      drawPixels(seen, view.values);
      seen.setAttribute("aria-label", `${picture.name} as the network gets it`);
      seenCaption.textContent = `What the network gets: ${shape(sides)}`;
      return view.values;
    },
    /** Lay a heat map over the picture, or tell why there is none. */
    async explain({ model, picture, method, target, signal }) {
      if (!shown) return;
      const under = shown;
      let told = "";
      try {
        const asked = path(model.name, "explain", { version: model.version, method, target });
        const { explanations: [found], layer } = await json(asked, { pictures: [picture], signal });
        const largest = Math.max(Math.abs(found.min), Math.abs(found.max));
        under.heat = heatLayer(found.values, largest);
        describe(found, layer, SIGNED.includes(method), largest);
        canvas.setAttribute("aria-label", `Heat map for ${found.target.label} over ${picture.name}`);
      } catch (error) {
        if (error.name === "AbortError") return;
        told = error.message;
        under.heat = null;
        legend.replaceChildren();
        caption.textContent = "";
      }
      problem.textContent = told;
      draw();
    },
    /** Tell why there is no answer. */
    fail(error) {
      if (error.name !== "AbortError") problem.textContent = error.message;
    },
    fade(strength) {
      opacity = strength;
      draw();
    },
  };
}
