// One picture and one model: what it is taken for, where the network looked, and what it gets.

import { json, path } from "./api.js";
import { bars, element, shape, short } from "./elements.js";
import { drawPixels, heatLayer } from "./maps.js";

const SIDE = 288; // pixels that the picture is shown in

/** An answer's place on the page; `fill` draws it, `fade` sets how strong the heat is. */
export function answer() {
  const title = element("h3"), top = element("div"), problem = element("p", { class: "error" });
  const canvas = element("canvas", { role: "img" });
  const legend = element("div", { class: "legend" });
  const caption = element("figcaption"), seen = element("canvas", { class: "crisp", role: "img" });
  const seenCaption = element("figcaption");
  const place = element("article", { class: "answer" }, title, top,
    element("div", { class: "views" },
      element("figure", {}, canvas, legend, problem, caption),
      element("figure", {}, seen, seenCaption)));
  let shown = null, opacity = 0.7;

  function draw() {
    if (!shown) return;
    const { bitmap, heat, box } = shown;
    const scale = SIDE / Math.max(bitmap.width, bitmap.height);
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    if (!heat) return;
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    const [left, top, right, bottom] = [box[0] * canvas.width, box[1] * canvas.height, box[2] * canvas.width, box[3] * canvas.height];
    context.drawImage(heat, left, top, right - left, bottom - top);
  }

  async function explain({ model, picture, method, target, signal }) {
    problem.textContent = caption.textContent = "";
    legend.replaceChildren();
    try {
      const asked = path(model.name, "explain", { version: model.version, method, target });
      const { explanations: [found], layer } = await json(asked, { pictures: [picture], signal });
      const largest = Math.max(Math.abs(found.min), Math.abs(found.max));
      shown.heat = heatLayer(found.values, largest);
      const signed = found.min < 0;
      legend.className = signed ? "legend signed" : "legend";
      legend.append(short(signed ? -largest : 0), element("i"), short(largest));
      const delta = found.convergence_delta === undefined ? "" : ` Convergence delta ${short(found.convergence_delta)}.`;
      caption.textContent = `${signed ? "Red speaks for" : "The redder, the more it counts for"} “${found.target.label}”`
        + `${signed ? ", blue against it" : ""}.${layer ? ` Seen by ${layer}.` : ""}${delta}`;
      canvas.setAttribute("aria-label", `Heat map for ${found.target.label} over ${picture.name}`);
    } catch (error) {
      if (error.name === "AbortError") return;
      problem.textContent = error.message;
    }
    draw();
  }

  return {
    place,
    /** Draw all of it; resolves to the network's input, uint8 values (C, H, W). */
    async fill({ model, picture, method, target, signal }) {
      title.textContent = `${model.name} says ${picture.said.label}`;
      top.replaceChildren(bars(picture.said.top));
      const bitmap = await createImageBitmap(picture.blob);
      const asked = path(model.name, "input", { version: model.version });
      const { images: [view], shape: sides } = await json(asked, { pictures: [picture], signal });
      signal.throwIfAborted();
      shown = { bitmap, box: view.box, heat: null };
      draw();
      drawPixels(seen, view.values);
      seen.style.width = `${Math.min(SIDE, 160)}px`;
      seen.setAttribute("aria-label", `${picture.name} as the network gets it`);
      seenCaption.textContent = `What the network gets: ${shape(sides)}`;
      await explain({ model, picture, method, target, signal });
      return view.values;
    },
    async explain(asked) {
      if (!shown) return;
      shown.heat = null;
      await explain(asked);
    },
    fade(strength) {
      opacity = strength;
      draw();
    },
  };
}
