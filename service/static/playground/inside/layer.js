// A layer that was opened: its channels, or the values of a vector, and what its weights look for.

import { image, json, only, path } from "../api.js";
import { byId, element, rove } from "../elements.js";
import { inSentence, label } from "../labels.js";
import { flat, largest, mapsOf, range, shape, short } from "../numbers.js";
import { tint } from "./colours.js";
import { drawMap } from "./maps.js";
import { pixel } from "./pixel.js";
import { channelOf, isMap, purposeOf } from "./structure.js";

const LISTED = 40; // values up to which each has a bar
const MOST_CELLS = 1000;

/** @param {(layer: string, channel: string) => void} chosen gets the channel, empty for none */
export function opened(chosen) {
  const panel = byId("layer");
  const value = pixel();
  const byLayer = element("input", { type: "checkbox" });
  const grey = element("input", { type: "checkbox" });
  /** @type {OpenLayer | null} */
  let now = null;

  /**
   * @param {Look} look
   * @param {Layer} layer
   */
  async function load(look, layer) {
    const { model, picture, signal } = look;
    const { url } = picture;
    const parameters = { version: model.version, layer: layer.name, values: true };
    const asked = path(model.name, "features", parameters);
    const [answer, kernels] = await Promise.all([
      json(asked, { pictures: [picture], signal }),
      kernelsOf(look, layer),
    ]);
    const found = only(only(answer.layers).images);
    if (now?.kernels) URL.revokeObjectURL(now.kernels.url);
    const maps = isMap(layer) ? mapsOf(found.values, layer) : null;
    now = { layer, picture, url, maps, kernels };
    panel.replaceChildren(...about(layer, found));
    if (maps) panel.append(...channels(layer, found, maps));
    else panel.append(vector(layer, flat(found.values), model));
    if (kernels) panel.append(...templates(layer, kernels, model));
    return now;
  }

  /**
   * @param {Layer} layer
   * @param {Activation} found
   * @param {Maps} maps
   */
  function channels(layer, found, maps) {
    const list = element("div", {
      class: "channels",
      role: "toolbar",
      "aria-label": `channels of ${layer.name}`,
    });
    /** @type {[number, number]} */
    const whole = [found.min ?? 0, found.max ?? 0];
    const canvases = maps.map((rows, i) => {
      const canvas = element("canvas", "crisp");
      const made = element(
        "button",
        { class: "channel", "aria-label": `channel ${i}` },
        canvas,
        String(i),
      );
      made.addEventListener("click", () => {
        const pressed = made.getAttribute("aria-pressed") === "true";
        chosen(layer.name, pressed ? "" : String(i));
      });
      list.append(made);
      return { canvas, rows };
    });
    const draw = () => {
      for (const { canvas, rows } of canvases) {
        drawMap(canvas, rows, byLayer.checked ? whole : range(rows.flat()), !grey.checked);
      }
    };
    byLayer.onchange = grey.onchange = draw;
    draw();
    rove(list)();
    return [
      element(
        "div",
        "row",
        element("label", {}, byLayer, "one scale for the whole layer"),
        element("label", {}, grey, "grey"),
      ),
      list,
    ];
  }

  return {
    /**
     * Show a layer and a channel of it, or hide both where there is none.
     * @param {Look} look
     * @param {Layer | undefined} layer
     * @param {string} channel
     * @param {boolean} jump whether the page scrolls there
     */
    async show(look, layer, channel, jump) {
      const number = channelOf(channel, layer);
      const { picture } = look;
      let shown = now;
      if (!layer) {
        shown = now = null;
        panel.replaceChildren();
      } else if (shown?.layer !== layer || shown.picture !== picture || shown.url !== picture.url) {
        if (shown?.layer !== layer) value.hide();
        shown = await load(look, layer);
      }
      panel.hidden = !layer;
      panel.querySelectorAll(".channel").forEach((each, i) => {
        each.setAttribute("aria-pressed", String(i === number));
      });
      const values = number === null ? undefined : shown?.maps?.[number];
      if (layer && number !== null && values)
        await value.show({ ...look, layer, channel: number, values });
      else value.hide();
      if (jump && layer)
        (number === null ? panel : byId("pixel")).scrollIntoView({ block: "nearest" });
    },
  };
}

/**
 * @param {Layer} layer
 * @param {Activation} found
 */
function about(layer, { min, max, mean, zeros }) {
  const sides = `${shape(layer.input_shape)} → ${shape(layer.output_shape)}`;
  const values = `Values ${short(min)} to ${short(max)}, mean ${short(mean)}, ${(100 * zeros).toFixed(0)} % are 0.`;
  return [
    element("h3", {}, `${layer.name}: ${layer.type}, ${sides}`),
    element("p", "quiet", `${purposeOf(layer.type)}${values}`),
  ];
}

/**
 * The values of a vector: few with a bar each (of the last layer by class), many as cells.
 * @param {Layer} layer
 * @param {Value[]} values
 * @param {Model} model
 */
function vector(layer, values, { labels, detail: { layers } }) {
  const most = largest(values) || 1;
  const classes = layer === layers.at(-1) && values.length === labels.length;
  if (!classes && values.length > LISTED) return cells(layer, values, most);
  const named = (/** @type {number} */ i) => (classes ? labels[i] : undefined) ?? `value ${i}`;
  return element(
    "ul",
    "bars signed",
    ...values.map((value, i) => {
      const fill = element("div", (value ?? 0) < 0 ? "fill below" : "fill");
      fill.style.width = `${(50 * Math.abs(value ?? 0)) / most}%`;
      return element(
        "li",
        {},
        label(named(i)),
        element("div", "track", fill),
        element("span", "number", short(value)),
      );
    }),
  );
}

/**
 * @param {Layer} layer
 * @param {Value[]} values
 * @param {number} most the absolute value of the strongest colour
 */
function cells(layer, values, most) {
  return element(
    "div",
    { class: "cells", tabIndex: 0, role: "group", "aria-label": `values of ${layer.name}` },
    ...values.slice(0, MOST_CELLS).map((value, i) => {
      const cell = element("span", { title: `value ${i}` }, short(value));
      cell.style.background = tint(value, most);
      return cell;
    }),
  );
}

/**
 * The weights as a picture, where they are kernels on a picture or templates of maps.
 * @param {Look} look
 * @param {Layer} layer
 * @returns {Promise<Kernels | null>}
 */
async function kernelsOf({ model: { name, version }, signal }, layer) {
  if (!layer.kernels) return null;
  /** @type {["kernels", string]} */
  const resource = ["kernels", layer.name];
  const { shape: sides } = await json(path(name, resource, { version }), { signal });
  if (sides.length !== 4 || (layer.type !== "Linear" && !isPicture(sides))) return null;
  return { sides, url: await image(path(name, resource, { version, format: "png" }), { signal }) };
}

/** @param {number[]} sides (out, in, H, W); whether the input is grey or RGB */
const isPicture = ([, inputs = 0]) => inputs === 1 || inputs === 3;

/**
 * @param {Layer} layer
 * @param {Kernels} kernels
 * @param {Model} model
 */
function templates(layer, { sides, url }, { labels, detail: { layers } }) {
  const [outputs = 0, inputs] = sides;
  const classes = layer === layers.at(-1) && outputs === labels.length && outputs <= LISTED;
  const each = classes
    ? `one of its classes (${labels.map(inSentence).join(", ")})`
    : "one of its values";
  const form = isPicture(sides)
    ? `a template for ${each}`
    : `a row for ${each}, a column for each of the ${inputs} maps before it`;
  const told =
    layer.type !== "Linear"
      ? `Its ${outputs} kernels: what each channel looks for.`
      : `Its weights, ${form}: what is light speaks for it, what is dark against it.`;
  return [
    element("p", "quiet", told),
    element(
      "div",
      { class: "scroller", tabIndex: 0, role: "group", "aria-label": `weights of ${layer.name}` },
      element("img", { class: "templates crisp", src: url, alt: `weights of ${layer.name}` }),
    ),
  ];
}
