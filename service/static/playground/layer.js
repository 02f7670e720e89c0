// A layer that was opened: its channels, or the values of a vector, and what its weights look for.

import { image, json, path } from "./api.js";
import { byId, element, rove, shape, short } from "./elements.js";
import { drawMap, range, tint } from "./maps.js";
import { pixel } from "./pixel.js";

const PURPOSE = [
  [/^Conv/, "slides its kernels over the maps before it: each channel looks for one pattern."],
  [/ReLU/, "keeps what is above 0 and makes the rest 0."],
  [/Tanh|Sigmoid/, "squeezes every value into a fixed range."],
  [/MaxPool/, "keeps the largest value of each patch: smaller maps, less bound to a place."],
  [/AvgPool/, "takes the mean of each patch: smaller maps, less bound to a place."],
  [/BatchNorm/, "shifts and scales each channel to what training found usual."],
  [/Linear/, "weighs all values before it, one sum for each of its own."],
  [/Flatten/, "lays all maps in one row."],
];
const LISTED = 40; // values up to which each has a bar
const MOST_CELLS = 1000;

/** Whether a layer gives maps that are more than a value each. */
export const isMap = ({ output_shape: sides }) => sides.length === 3 && sides[1] * sides[2] > 1;

/** The number of a channel that a layer has, else null. */
const numberOf = (channel, layer) => layer && isMap(layer) && /^\d+$/.test(channel) && channel < layer.output_shape[0] ? Number(channel) : null;

/** The panel of a layer; `chosen` hears of the channel that is opened, empty for none. */
export function opened(chosen) {
  const panel = byId("layer"), value = pixel();
  const byLayer = element("input", { type: "checkbox" }), grey = element("input", { type: "checkbox" });
  let now = null; // what is shown: {layer, picture, found, urls}

  async function load(context, layer) {
    const { model, picture, signal } = context;
    const asked = path(model.name, "features", { version: model.version, layer: layer.name, values: true });
    const [answer, weights] = await Promise.all([json(asked, { pictures: [picture], signal }), kernels(context, layer)]);
    now?.urls.forEach((url) => URL.revokeObjectURL(url));
    now = { layer, picture, url: picture.url, found: answer.layers[0].images[0], urls: weights ? [weights.url] : [] };
    panel.replaceChildren(...about(layer, now.found));
    if (isMap(layer)) panel.append(...channels(layer, now.found));
    else panel.append(vector(layer, now.found.values.flat(2), model));
    if (weights) panel.append(...templates(layer, weights, model));
  }

  function about(layer, found) {
    const purpose = PURPOSE.find(([type]) => type.test(layer.type));
    return [
      element("h3", {}, `${layer.name}: ${layer.type}, ${shape(layer.input_shape)} → ${shape(layer.output_shape)}`),
      element("p", { class: "quiet" }, `${purpose ? `It ${purpose[1]} ` : ""}Values ${short(found.min)} to ${short(found.max)}, mean ${short(found.mean)}, ${(100 * found.zeros).toFixed(0)} % are 0.`)];
  }

  function channels(layer, found) {
    const list = element("div", { class: "channels", role: "toolbar", "aria-label": `channels of ${layer.name}` });
    const draw = () => list.querySelectorAll("canvas").forEach((canvas, i) => {
      const rows = found.values[i];
      drawMap(canvas, rows, byLayer.checked ? [found.min, found.max] : range(rows.flat()), !grey.checked);
    });
    list.append(...found.values.map((_, i) => {
      const made = element("button", { class: "channel", type: "button", "aria-label": `channel ${i}` },
        element("canvas", { class: "crisp" }), String(i));
      made.addEventListener("click", () => chosen(layer.name, made.getAttribute("aria-pressed") === "true" ? "" : String(i)));
      return made;
    }));
    byLayer.onchange = grey.onchange = draw;
    draw();
    rove(list)();
    return [element("div", { class: "row" },
      element("label", {}, byLayer, "one scale for the whole layer"), element("label", {}, grey, "grey")), list];
  }

  return {
    /** Show a layer and a channel of it, or hide both where there is none; `jump` scrolls there. */
    async show(context, layer, channel, jump) {
      const number = numberOf(channel, layer);
      if (!layer) {
        now = null;
        panel.replaceChildren();
      } else if (now?.layer !== layer || now.picture !== context.picture || now.url !== context.picture.url) {
        if (now?.layer !== layer) value.hide();
        await load(context, layer);
      }
      panel.hidden = !layer;
      panel.querySelectorAll(".channel").forEach((each, i) => each.setAttribute("aria-pressed", String(i === number)));
      if (number === null) value.hide();
      else await value.show({ ...context, layer, channel: number, values: now.found.values[number] });
      if (jump && layer) (number === null ? panel : byId("pixel")).scrollIntoView({ block: "nearest" });
    },
  };
}

/** The values of a vector: the few with a bar each, of the last layer by class; the many as cells. */
function vector(layer, values, { labels, detail: { layers } }) {
  const [least, most] = range(values), largest = Math.max(Math.abs(least), Math.abs(most)) || 1;
  const classes = layer === layers.at(-1) && values.length === labels.length;
  if (!classes && values.length > LISTED) {
    return element("div", { class: "cells", tabIndex: 0, role: "group", "aria-label": `values of ${layer.name}` },
      ...values.slice(0, MOST_CELLS).map((value, i) => {
        const cell = element("span", { title: `value ${i}` }, short(value));
        cell.style.background = tint(value, largest);
        return cell;
      }));
  }
  return element("ul", { class: "bars signed" }, ...values.map((value, i) => {
    const fill = element("div", { class: value < 0 ? "fill below" : "fill" });
    fill.style.width = `${(50 * Math.abs(value)) / largest}%`;
    return element("li", {}, element("span", {}, classes ? labels[i] : `value ${i}`),
      element("div", { class: "track" }, fill), element("span", { class: "number" }, short(value)));
  }));
}

/** The weights as a picture, where they are kernels on a picture or templates of maps. */
async function kernels({ model, signal }, layer) {
  if (!layer.kernels) return null;
  const resource = ["kernels", layer.name], { version } = model;
  const { shape: sides } = await json(path(model.name, resource, { version }), { signal });
  if (sides.length !== 4 || (layer.type !== "Linear" && ![1, 3].includes(sides[1]))) return null;
  const asked = path(model.name, resource, { version, format: "png" });
  return { sides, url: await image(asked, { signal }) };
}

function templates(layer, { sides: [outputs, inputs], url }, { labels, detail: { layers } }) {
  const classes = layer === layers.at(-1) && outputs === labels.length && outputs <= LISTED;
  const each = classes ? `one of its classes (${labels.join(", ")})` : "one of its values";
  const told = layer.type !== "Linear" ? `Its ${outputs} kernels: what each channel looks for.`
    : `Its weights, ${[1, 3].includes(inputs) ? "a template" : "a row"} for ${each}`
      + `${[1, 3].includes(inputs) ? "" : `, a column for each of the ${inputs} maps before it`}: what is light speaks for it, what is dark against it.`;
  return [element("p", { class: "quiet" }, told),
    element("div", { class: "scroller", tabIndex: 0, role: "group", "aria-label": `weights of ${layer.name}` },
      element("img", { class: "templates crisp", src: url, alt: `weights of ${layer.name}` }))];
}
