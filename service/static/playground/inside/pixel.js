// One value of a feature map, and how it comes about.

import { ARROWS, byId, element } from "../elements.js";
import { largest, range, short } from "../numbers.js";
import { convolutionOf, convolve, ranked } from "./arithmetic.js";
import { tint } from "./colours.js";
import { drawMap, penOf } from "./maps.js";
import { source, weightsOf } from "./sources.js";

const SHOWN = 8; // input channels: those with the largest sums
const WRITTEN = 5; // a kernel's side up to which its numbers are written out
const SIDE = 320; // pixels that a map is shown in
const COLOURS = ["red", "green", "blue"];

/**
 * A kernel or a patch: its numbers, or only their colours where it is large.
 * @param {Value[][]} rows
 * @param {number} most the absolute value of the strongest colour
 */
function numbers(rows, most) {
  const columns = rows[0]?.length ?? 0;
  const small = rows.length > WRITTEN || columns > WRITTEN;
  const made = element("div", small ? "numbers small" : "numbers");
  made.style.gridTemplateColumns = `repeat(${columns}, auto)`;
  for (const value of rows.flat()) {
    const text = small ? "" : (value?.toFixed(2) ?? "–");
    const cell = element("span", { title: short(value) }, text);
    cell.style.background = tint(value, most);
    made.append(cell);
  }
  return made;
}

/** @param {number | undefined} value */
const equals = value => element("span", {}, `= ${short(value)}`);

/**
 * The map of a channel with a mark on one of its values.
 * @param {ChannelLook} look
 * @param {(place: Place) => void} moved
 */
function chart({ layer, channel, values }, moved) {
  const height = values.length;
  const width = values[0]?.length ?? 1;
  const scale = Math.max(1, Math.floor(SIDE / Math.max(width, height)));
  const canvas = element("canvas", {
    class: "crisp",
    tabIndex: 0,
    role: "application",
    "aria-label": `channel ${channel} of ${layer.name}; arrow keys choose a value`,
  });
  const plain = element("canvas");
  const [least, most] = range(values.flat());
  drawMap(plain, values, [least, most], true);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = penOf(canvas);
  let [x, y] = [0, 0];

  /** @param {Place} place */
  function move(place) {
    x = Math.max(0, Math.min(width - 1, place.x));
    y = Math.max(0, Math.min(height - 1, place.y));
    pen.imageSmoothingEnabled = false;
    pen.drawImage(plain, 0, 0, canvas.width, canvas.height);
    mark("#fff", 4);
    mark("#b2182b", 2);
    moved({ x, y });
  }

  /**
   * @param {string} colour
   * @param {number} line
   */
  function mark(colour, line) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.strokeRect(x * scale, y * scale, scale, scale);
  }

  /** @param {PointerEvent} event */
  function point(event) {
    const box = canvas.getBoundingClientRect();
    move({
      x: Math.floor(((event.clientX - box.left) / box.width) * width),
      y: Math.floor(((event.clientY - box.top) / box.height) * height),
    });
  }

  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", event => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    move({ x: x + step[0], y: y + step[1] });
  });
  const caption = element("figcaption", {}, `Darkest ${short(least)}, lightest ${short(most)}.`);
  return {
    figure: element("figure", {}, canvas, caption),
    start: (/** @type {Place | null} */ place) => move(place ?? { x: width >> 1, y: height >> 1 }),
  };
}

/**
 * The terms that make up a value, those with the largest sums first.
 * @param {{ terms: Term[], total: number }} found
 * @param {number} bias
 * @param {string} fed name of the layer, or of the picture, that feeds the convolution
 * @param {boolean} rgb
 */
function sums({ terms, total }, bias, fed, rgb) {
  const { shown, others, rest } = ranked(terms, SHOWN);
  const patches = largest(shown.flatMap(each => each.patch.flat()));
  const kernels = largest(shown.flatMap(each => each.weights.flat()));
  /**
   * @param {string} name
   * @param {(Node | string)[]} parts
   */
  const line = (name, ...parts) =>
    element("div", parts.length > 1 ? "term patch" : "term", element("span", {}, name), ...parts);
  const named = (/** @type {number} */ channel) =>
    (rgb ? COLOURS[channel] : undefined) ?? `channel ${channel}`;
  return [
    element("p", "quiet", `Patch of ${fed} × kernel = what each input channel adds.`),
    ...shown.map(({ channel, patch, weights, sum }) =>
      line(named(channel), numbers(patch, patches), "×", numbers(weights, kernels), equals(sum)),
    ),
    ...(others ? [line(`${others} ${others > 1 ? "others" : "other"}`, equals(rest))] : []),
    line("bias", equals(bias)),
    line("sum", element("strong", {}, `= ${short(total)}`)),
  ];
}

/** @param {Weights} weights whose input is not known */
function kernelAlone({ kernel }) {
  const most = largest(kernel.flat(2));
  return [
    element(
      "p",
      "quiet",
      "What feeds this layer is not what a layer before it gives, so the sum can't be shown. Its kernel:",
    ),
    element("div", "row", ...kernel.slice(0, SHOWN).map(each => numbers(each, most))),
  ];
}

/**
 * The convolution of a layer with its weights, and its input where that is known; null where the
 * layer is no convolution.
 * @param {ChannelLook} look
 */
async function workingsOf(look) {
  const convolution = convolutionOf(look.layer);
  if (!convolution) return null;
  const weights = await weightsOf(look);
  return { convolution, weights, fed: await source(look, convolution, weights) };
}

/** The panel of a value; its place stays while channels of one layer are looked at. */
export function pixel() {
  const panel = byId("pixel");
  /** @type {Place | null} */
  let place = null;
  /** @type {Layer | null} */
  let at = null;

  /** @param {ChannelLook} look */
  async function fill(look) {
    const { layer, channel, values, model, signal } = look;
    const workings = await workingsOf(look);
    signal.throwIfAborted();
    const value = element("p", { "aria-live": "polite", class: "total", id: "value" });
    const wide = (layer.arguments.kernel_size?.[1] ?? 0) > 3;
    const work = element("div", wide ? "sum wide" : "sum");
    const { figure, start } = chart(look, moved => {
      place = moved;
      const { x, y } = moved;
      const said = short(values[y]?.[x]);
      value.textContent = `At column ${x}, row ${y} the value is ${said}.`;
      if (!workings?.fed) return;
      const { convolution, weights, fed } = workings;
      const [outputs = 1] = layer.output_shape;
      const found = convolve(fed.input, weights, convolution, channel, outputs, x, y);
      const rgb = fed.name === "the picture" && model.detail.card.input.channels === 3;
      value.textContent = `At column ${x}, row ${y} the sum is ${short(found.total)}; the layer says ${said}.`;
      work.replaceChildren(...sums(found, weights.bias, fed.name, rgb));
    });
    if (workings && !workings.fed) work.append(...kernelAlone(workings.weights));
    panel.replaceChildren(
      element("h3", {}, `One value of ${layer.name}, channel ${channel}`),
      element("p", "quiet", "Point at the map, or use the arrow keys."),
      element("div", "workings", element("div", "chart", figure, value), work),
    );
    start(place);
    panel.hidden = false;
  }

  return {
    /** @param {ChannelLook} look */
    async show(look) {
      if (at !== look.layer) place = null;
      at = look.layer;
      await fill(look);
    },
    hide() {
      panel.hidden = true;
      panel.replaceChildren();
    },
  };
}
