// One value of a feature map, and how it comes about.

import { convolve, source, weightsOf } from "./arithmetic.js";
import { byId, element, short } from "./elements.js";
import { drawMap, range, tint } from "./maps.js";

const SHOWN = 8; // input channels, those that count most
const WRITTEN = 5; // a kernel's side up to which its numbers are written out
const SIDE = 320; // pixels that a map is shown in
const COLOURS = ["red", "green", "blue"];
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A kernel or a patch: its numbers, or where it is large only their colours. */
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

const largest = (rows) => Math.max(...range(rows.flat(3)).map(Math.abs));

/** The map of a channel with a mark on one of its values; `moved` hears where that is. */
function chart({ layer, channel, values }, place, moved) {
  const [height, width] = [values.length, values[0].length], scale = Math.max(1, Math.floor(SIDE / Math.max(width, height)));
  const told = `channel ${channel} of ${layer.name}; arrow keys choose a value`;
  const canvas = element("canvas", { class: "crisp", tabIndex: 0, role: "application", "aria-label": told });
  const plain = element("canvas"), [least, most] = range(values.flat());
  drawMap(plain, values, [least, most], true);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");

  function move(x, y) {
    Object.assign(place, { x: Math.max(0, Math.min(width - 1, x)), y: Math.max(0, Math.min(height - 1, y)) });
    pen.imageSmoothingEnabled = false;
    pen.drawImage(plain, 0, 0, canvas.width, canvas.height);
    for (const [colour, line] of [["#fff", 4], ["#b2182b", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(place.x * scale, place.y * scale, scale, scale);
    }
    moved();
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    move(Math.floor(((event.clientX - box.left) / box.width) * width), Math.floor(((event.clientY - box.top) / box.height) * height));
  }

  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    move(place.x + step[0], place.y + step[1]);
  });
  const caption = element("figcaption", {}, `Darkest ${short(least)}, lightest ${short(most)}.`);
  return { figure: element("figure", {}, canvas, caption), start: () => move(place.x ?? width >> 1, place.y ?? height >> 1) };
}

/** The terms that make up a value, those that count most first. */
function sums({ terms, total }, { bias }, fed, rgb) {
  const ranked = [...terms].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)), shown = ranked.slice(0, SHOWN);
  const [patches, kernels] = [largest(shown.map((each) => each.patch)), largest(shown.map((each) => each.weights))];
  const rest = ranked.slice(SHOWN).reduce((all, each) => all + each.sum, 0), others = ranked.length - shown.length;
  const line = (name, ...more) => element("div", { class: more.length > 1 ? "term patch" : "term" }, element("span", {}, name), ...more);
  return [
    element("p", { class: "quiet" }, `Patch of ${fed} × kernel = what each input channel adds.`),
    ...shown.map((each) => line(rgb ? COLOURS[each.channel] : `channel ${each.channel}`,
      numbers(each.patch, patches), "×", numbers(each.weights, kernels), element("span", {}, `= ${short(each.sum)}`))),
    ...(others ? [line(`${others} ${others > 1 ? "others" : "other"}`, element("span", {}, `= ${short(rest)}`))] : []),
    line("bias", element("span", {}, `= ${short(bias)}`)),
    line("sum", element("strong", {}, `= ${short(total)}`)),
  ];
}

/** The panel of a value; it stays at its place while channels of one layer are looked at. */
export function pixel() {
  const panel = byId("pixel");
  let place = {}, at = null;

  async function fill(context) {
    const { layer, channel, values, model, signal } = context, outputs = layer.output_shape[0];
    const convolution = /^Conv2d/.test(layer.type);
    const weights = convolution ? await weightsOf(context) : null;
    const fed = convolution ? await source(context, weights) : null;
    signal.throwIfAborted();
    const value = element("p", { "aria-live": "polite", class: "total", id: "value" }), work = element("div", { class: layer.arguments.kernel_size?.[1] > 3 ? "sum wide" : "sum" });
    const rgb = fed?.name === "the picture" && model.detail.card.input.channels === 3;
    const { figure, start } = chart(context, place, () => {
      const { x, y } = place;
      value.textContent = `At column ${x}, row ${y} the value is ${short(values[y][x])}.`;
      if (!fed) return;
      const found = convolve(fed.input, weights, layer.arguments, channel, outputs, x, y);
      value.textContent = `At column ${x}, row ${y} the sum is ${short(found.total)}; the layer says ${short(values[y][x])}.`;
      work.replaceChildren(...sums(found, weights, fed.name, rgb));
    });
    if (weights && !fed) {
      work.append(element("p", { class: "quiet" }, "What feeds this layer is not what a layer before it gives, so the sum can't be shown. Its kernel:"),
        element("div", { class: "row" }, ...weights.kernel.slice(0, SHOWN).map((each) => numbers(each, largest(weights.kernel)))));
    }
    panel.replaceChildren(element("h3", {}, `One value of ${layer.name}, channel ${channel}`),
      element("p", { class: "quiet" }, "Point at the map, or use the arrow keys."),
      element("div", { class: "workings" }, element("div", { class: "chart" }, figure, value), work));
    start();
    panel.hidden = false;
  }

  return {
    async show(context) {
      if (at !== context.layer) place = {};
      at = context.layer;
      await fill(context);
    },
    hide() {
      panel.hidden = true;
      panel.replaceChildren();
    },
  };
}
