// One value of a feature map and how it comes about: patch × kernel, summed, plus bias.

import { json, path } from "./api.js";
import { byId, element, short } from "./elements.js";
import { drawMap, range, tint } from "./maps.js";

const SHOWN = 8; // input channels, those that count most
const WRITTEN = 5; // a kernel's side up to which its numbers are written out

/** The activation (C, H, W) of a layer for the picture. */
async function activation({ model, picture, signal }, name) {
  const asked = path(model.name, "features", { version: model.version, layer: name, values: true });
  return (await json(asked, { pictures: [picture], signal })).layers[0].images[0].values;
}

/** What a convolution does at a place: a term for each input channel, and their sum with the bias. */
export function convolve(input, kernel, bias, { stride, padding, dilation, groups }, channel, outputs, x, y) {
  const [sides, [down, across]] = [padding, stride];
  const first = Math.floor(channel / (outputs / groups)) * kernel.length;
  const terms = kernel.map((weights, i) => {
    const map = input[first + i];
    const patch = weights.map((line, r) => line.map((_, c) =>
      map[y * down - sides[0] + r * dilation[0]]?.[x * across - sides[1] + c * dilation[1]] ?? 0));
    let sum = 0;
    weights.forEach((line, r) => line.forEach((weight, c) => { sum += weight * patch[r][c]; }));
    return { channel: first + i, patch, weights, sum };
  });
  return { terms, total: terms.reduce((sum, term) => sum + term.sum, bias) };
}

/** What feeds the convolution: the maps of its input's shape from which its real values follow. */
async function source(context, layer, weights, values, channel) {
  const { layers, card } = context.model.detail, at = layers.indexOf(layer);
  const fits = (shape) => String(shape) === String(layer.input_shape);
  const candidates = layers.slice(0, at).reverse().filter((each) => fits(each.output_shape))
    .map((each) => [each.name, () => activation(context, each.name)]);
  const { mean, std } = card.input;
  const normalized = () => context.values.map((map, c) => map.map((line) => line.map((v) => (v / 255 - mean[c]) / std[c])));
  if (fits([card.input.channels, card.input.height, card.input.width])) candidates.push(["the picture", normalized]);
  for (const [name, load] of candidates.slice(0, 4)) {
    const maps = await load();
    for (const [told, input] of [[name, maps], [`${name}, what is above 0 of it`, maps.map((m) => m.map((l) => l.map((v) => Math.max(0, v))))]]) {
      if (explains(input, weights, values, channel, layer)) return [told, input];
    }
  }
  return null;
}

function explains(input, { kernel, bias }, values, channel, layer) {
  const [outputs, height, width] = layer.output_shape, scale = Math.max(...values.flat().map(Math.abs), 1e-6);
  return [[0, 0], [width >> 1, height >> 1], [width - 1, height - 1]].every(([x, y]) => {
    const { total } = convolve(input, kernel, bias, layer.arguments, channel, outputs, x, y);
    return Math.abs(total - values[y][x]) <= 1e-3 * scale;
  });
}

function numbers(rows, largest) {
  const small = rows.length > WRITTEN || rows[0].length > WRITTEN;
  const made = element("div", { class: small ? "numbers small" : "numbers" });
  made.style.gridTemplateColumns = `repeat(${rows[0].length}, auto)`;
  for (const value of rows.flat()) {
    const cell = element("span", { title: short(value) }, small ? "" : value.toFixed(2));
    cell.style.background = tint(value, largest);
    made.append(cell);
  }
  return made;
}

/** Open the panel for a channel of a layer. */
export async function pixel(context) {
  const { layer, channel, model, signal } = context, panel = byId("pixel");
  const [, height, width] = layer.output_shape;
  const values = (await activation(context, layer.name))[channel];
  let feeding = null, weights = null;
  if (/^Conv2d/.test(layer.type) && Array.isArray(layer.arguments.padding)) {
    const asked = path(model.name, `kernels/${layer.name}`, { version: model.version, values: true, channel });
    const told = await json(asked, { signal });
    weights = { kernel: told.values[0], bias: told.bias?.[0] ?? 0 };
    feeding = await source(context, layer, weights, values, channel);
  }
  signal.throwIfAborted();
  const canvas = element("canvas", { class: "crisp", tabIndex: 0, role: "application", "aria-label": `channel ${channel} of ${layer.name}; arrows choose a pixel` });
  const marked = element("canvas"), sum = element("div", { class: "sum" });
  const value = element("p", { "aria-live": "polite", class: "total", id: "value" });
  const scale = Math.max(1, Math.floor(320 / width));
  let x = width >> 1, y = height >> 1;

  function draw() {
    drawMap(marked, values, range(values.flat()), true);
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(marked, 0, 0, canvas.width, canvas.height);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 3;
    pen.strokeRect(x * scale, y * scale, scale, scale);
    pen.strokeStyle = "#b2182b";
    pen.lineWidth = 1.5;
    pen.strokeRect(x * scale, y * scale, scale, scale);
    work();
  }

  function work() {
    value.textContent = `At column ${x}, row ${y} the value is ${short(values[y][x])}.`;
    if (!feeding) return;
    const { terms, total } = convolve(feeding[1], weights.kernel, weights.bias, layer.arguments, channel, layer.output_shape[0], x, y);
    const ranked = [...terms].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
    const shown = ranked.slice(0, SHOWN), rest = ranked.slice(SHOWN).reduce((all, each) => all + each.sum, 0);
    const most = (name) => Math.max(...shown.flatMap((each) => each[name].flat().map(Math.abs)));
    const [patches, kernels] = [most("patch"), most("weights")];
    sum.replaceChildren(...shown.map((each) => element("div", { class: "term" },
      element("span", {}, `channel ${each.channel}`), numbers(each.patch, patches), "×", numbers(each.weights, kernels), `= ${short(each.sum)}`)));
    const others = ranked.length > SHOWN ? ` + ${short(rest)} of ${ranked.length - SHOWN} other channels` : "";
    value.textContent = `At column ${x}, row ${y}: ${shown.map((each) => short(each.sum)).join(" + ")}${others} + bias ${short(weights.bias)} = ${short(total)}; the layer says ${short(values[y][x])}.`;
  }

  const move = (toX, toY) => {
    x = Math.max(0, Math.min(width - 1, toX));
    y = Math.max(0, Math.min(height - 1, toY));
    draw();
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    move(Math.floor(((event.clientX - box.left) / box.width) * width), Math.floor(((event.clientY - box.top) / box.height) * height));
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(x + step[0], y + step[1]);
  });
  const fed = feeding ? `Patch of ${feeding[0]} × kernel = what each input channel adds.`
    : weights ? "What feeds this layer is not the output of a layer before it, so its sum can't be shown; its kernel is below." : "";
  if (weights && !feeding) sum.append(...weights.kernel.slice(0, SHOWN).map((each) => numbers(each, Math.max(...each.flat().map(Math.abs)))));
  panel.replaceChildren(element("h3", {}, `One value of ${layer.name}, channel ${channel}`),
    element("p", { class: "quiet" }, `Point at the map, or use the arrow keys. ${fed}`),
    element("div", { class: "workings" }, element("figure", {}, canvas), sum), value);
  draw();
  panel.hidden = false;
}
