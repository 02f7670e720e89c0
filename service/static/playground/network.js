// The network as a row of layers, and a layer as its channels.

import { image, json, path } from "./api.js";
import { byId, element, shape, short } from "./elements.js";
import { drawMap, drawPixels, range } from "./maps.js";
import { pixel } from "./pixel.js";

const AT_ONCE = 4; // thumbnails that are asked for beside each other
const LEVELS = ["low level", "middle level", "high level"];
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

const isMap = (layer) => layer.output_shape.length === 3;

function levels(layers) {
  const maps = layers.filter((each) => isMap(each) && each.output_shape[1] * each.output_shape[2] > 1);
  return new Map(layers.map((each) => {
    const at = maps.indexOf(each);
    return [each.name, at < 0 ? "" : LEVELS[Math.floor((3 * at) / maps.length)]];
  }));
}

/** The row of layers; `chosen` hears of the layer and channel that are opened. */
export function network(chosen) {
  const row = byId("network"), panel = byId("layer");
  let context = null, urls = [];

  function node(layer, level) {
    const picture = element("img", { alt: "" });
    const made = element("button", { class: "node", type: "button", "aria-expanded": "false" }, picture,
      element("strong", {}, layer.name), element("span", {}, `${layer.type} → ${shape(layer.output_shape)}`),
      element("span", { class: "quiet" }, `${layer.parameters.toLocaleString("en")} parameters`),
      element("span", { class: "level" }, level));
    made.addEventListener("click", () => chosen(made.getAttribute("aria-expanded") === "true" ? "" : layer.name, ""));
    made.dataset.layer = layer.name;
    return [made, picture];
  }

  function inputNode(values) {
    const canvas = element("canvas", { class: "crisp", role: "img", "aria-label": "the input" });
    drawPixels(canvas, values);
    return element("div", { class: "node" }, canvas, element("strong", {}, "input"),
      element("span", {}, shape([values.length, values[0].length, values[0][0].length])));
  }

  async function thumbnails(nodes) {
    const { model, picture, signal } = context, left = [...nodes];
    const next = async () => {
      for (let each = left.shift(); each && !signal.aborted; each = left.shift()) {
        const [layer, img] = each;
        const asked = path(model.name, "features", { version: model.version, layer: layer.name, format: "png", colormap: "viridis", tile: isMap(layer) ? 32 : 8 });
        const url = await image(asked, { pictures: [picture], signal });
        urls.push(url);
        img.src = url;
        img.alt = `feature maps of ${layer.name}`;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  /** A layer's channels; of a vector its values, and what its weights look for. */
  async function open(layer, channel) {
    const { model, picture, signal } = context;
    const asked = path(model.name, "features", { version: model.version, layer: layer.name, values: true });
    const answer = await json(asked, { pictures: [picture], signal });
    signal.throwIfAborted();
    const found = answer.layers[0].images[0];
    const purpose = PURPOSE.find(([type]) => type.test(layer.type));
    panel.replaceChildren(
      element("h3", {}, `${layer.name}: ${layer.type}, ${shape(layer.input_shape)} → ${shape(layer.output_shape)}`),
      element("p", { class: "quiet" }, `${purpose ? `It ${purpose[1]} ` : ""}Values ${short(found.min)} to ${short(found.max)}, mean ${short(found.mean)}, ${(100 * found.zeros).toFixed(0)} % are 0.`));
    if (isMap(layer)) channels(layer, found, channel);
    else await cells(layer, found);
    panel.hidden = false;
  }

  function channels(layer, found, channel) {
    const byLayer = element("input", { type: "checkbox" }), grey = element("input", { type: "checkbox" });
    const list = element("div", { class: "channels" });
    const draw = () => list.querySelectorAll("canvas").forEach((canvas, i) => {
      const rows = found.values[i];
      drawMap(canvas, rows, byLayer.checked ? [found.min, found.max] : range(rows.flat()), !grey.checked);
    });
    found.values.forEach((_, i) => {
      const made = element("button", { class: "channel", type: "button", "aria-pressed": String(String(i) === channel), "aria-label": `channel ${i}` },
        element("canvas", { class: "crisp" }), String(i));
      made.addEventListener("click", () => chosen(layer.name, String(i)));
      list.append(made);
    });
    byLayer.addEventListener("change", draw);
    grey.addEventListener("change", draw);
    panel.append(element("div", { class: "row" },
      element("label", {}, byLayer, "one scale for the whole layer"), element("label", {}, grey, "grey")), list);
    draw();
  }

  async function cells(layer, found) {
    const values = found.values.flat(2), { model, signal } = context;
    panel.append(element("div", { class: "cells" }, ...values.slice(0, 1000).map((value, i) =>
      element("span", { title: `value ${i}` }, short(value)))));
    if (!layer.kernels) return;
    const told = await json(path(model.name, `kernels/${layer.name}`, { version: model.version }), { signal });
    if (told.shape.length !== 4) return;
    const url = await image(path(model.name, `kernels/${layer.name}`, { version: model.version, format: "png" }), { signal });
    urls.push(url);
    panel.append(element("p", { class: "quiet" }, "Its weights, one template for each of its values: what is light speaks for it, what is dark against it."),
      element("img", { class: "templates crisp", src: url, alt: `weights of ${layer.name}` }));
  }

  return {
    /** Draw the row for a model and a picture; `values` are the network's input. */
    async show(given) {
      context = given;
      urls.forEach((url) => URL.revokeObjectURL(url));
      urls = [];
      const { layers } = given.model.detail, told = levels(layers);
      const nodes = layers.map((layer) => [layer, ...node(layer, told.get(layer.name))]);
      row.replaceChildren(inputNode(given.values), ...nodes.map(([, made]) => made));
      await thumbnails(nodes.map(([layer, , img]) => [layer, img]));
    },
    /** Open a layer, and a channel of it, by name; the empty name closes. */
    async open(name, channel) {
      if (!context) return;
      const { layers } = context.model.detail;
      const layer = layers.find((each) => each.name === name);
      for (const each of row.querySelectorAll("button")) each.setAttribute("aria-expanded", String(each.dataset.layer === name));
      panel.hidden = byId("pixel").hidden = true;
      if (!layer) return;
      await open(layer, channel);
      if (channel !== "" && isMap(layer) && Number(channel) < layer.output_shape[0]) {
        await pixel({ ...context, layer, channel: Number(channel) });
      }
    },
  };
}
