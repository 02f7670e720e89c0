// The network as a row of layers, from the input to the answer.

import { image, latest, path } from "./api.js";
import { byId, element, rove, shape } from "./elements.js";
import { isMap, opened } from "./layer.js";
import { drawPixels } from "./maps.js";

const AT_ONCE = 4; // thumbnails that are asked for beside each other
const LEVELS = ["low level", "middle level", "high level"];

function levels(layers) {
  const maps = layers.filter(isMap);
  return new Map(layers.map((each) => {
    const at = maps.indexOf(each);
    return [each, at < 0 ? "" : LEVELS[Math.floor((3 * at) / maps.length)]];
  }));
}

/** The row of layers; `chosen` hears of the layer and channel that are opened, empty for none. */
export function network(chosen) {
  const row = byId("network"), opening = latest(), pictures = new Map();
  const layer = opened((name, channel) => chosen(name, channel));
  const keepStop = rove(row);
  let context = null, canvas = null;

  function node(each, level) {
    const picture = element("img", { alt: "", class: isMap(each) ? "" : "crisp" });
    const made = element("button", { class: "node", type: "button", "aria-expanded": "false" }, picture,
      element("strong", {}, each.name), element("span", {}, each.type), element("span", {}, shape(each.output_shape)),
      element("span", { class: "quiet" }, each.parameters ? `${each.parameters.toLocaleString("en")} parameters` : "no parameters"),
      element("span", { class: "level" }, level));
    made.addEventListener("click", () => chosen(made.getAttribute("aria-expanded") === "true" ? "" : each.name, ""));
    made.dataset.layer = each.name;
    pictures.set(each, picture);
    return made;
  }

  function build({ detail: { layers, card } }) {
    const told = levels(layers), { channels, height, width } = card.input;
    pictures.forEach(forget);
    pictures.clear();
    canvas = element("canvas", { class: "crisp", role: "img", "aria-label": "the input" });
    row.replaceChildren(
      element("div", { class: "node" }, canvas, element("strong", {}, "input"), element("span", {}, shape([channels, height, width]))),
      ...layers.map((each) => node(each, told.get(each))));
    row.scrollLeft = 0;
    keepStop();
  }

  /** Scroll the row, and not the page, to where a layer is. */
  function reveal(made) {
    const box = row.getBoundingClientRect(), { left, right } = made.getBoundingClientRect();
    row.scrollLeft += Math.min(0, left - box.left) + Math.max(0, right - box.right);
  }

  const forget = (picture) => picture.src && URL.revokeObjectURL(picture.src);

  async function thumbnail(each) {
    const { model, picture, signal } = context;
    const drawn = isMap(each) ? { tile: 32 } : { tile: 8, normalize: "layer" };
    const asked = path(model.name, "features", { version: model.version, layer: each.name, format: "png", colormap: "viridis", ...drawn });
    const url = await image(asked, { pictures: [picture], signal });
    const place = pictures.get(each);
    forget(place);
    place.src = url;
    place.alt = isMap(each) ? "feature maps" : "values";
  }

  async function thumbnails() {
    const { signal } = context, left = [...pictures.keys()];
    const next = async () => {
      while (left.length && !signal.aborted) await thumbnail(left.shift());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  return {
    /** Draw the row for a model and a picture; `input` is what the network gets. */
    async show(given) {
      const fresh = context?.model !== given.model;
      context = given;
      if (fresh) build(given.model);
      drawPixels(canvas, given.input);
      await thumbnails();
    },
    /** Open a layer, and a channel of it, by name; the empty name closes. `jump` shows them. */
    async open(name, channel, jump) {
      if (!context) return;
      for (const each of row.querySelectorAll("button")) {
        each.setAttribute("aria-expanded", String(each.dataset.layer === name));
        if (each.dataset.layer === name) reveal(each);
      }
      const found = context.model.detail.layers.find((each) => each.name === name);
      await layer.show({ ...context, signal: opening(context.signal) }, found, channel, jump);
    },
  };
}
