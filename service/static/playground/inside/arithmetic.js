// How a convolution comes to a value: patch × kernel, summed, plus bias.

import { largest } from "../numbers.js";

const TOLERANCE = 1e-3; // of the channel's largest value; answers are rounded

/**
 * How a layer's convolution moves over its input; null where the layer is none.
 * @param {Layer} layer
 * @returns {Convolution | null}
 */
export function convolutionOf({ type, arguments: { stride, padding, dilation, groups } }) {
  if (!/^Conv2d/.test(type) || !stride || !padding || !dilation || !groups) return null;
  return { stride, padding, dilation, groups };
}

/**
 * The zeros that a layer puts above its input, and left of it.
 * @param {Convolution} convolution
 * @param {Maps} kernel
 * @returns {Pair}
 */
function margins({ padding, dilation }, kernel) {
  if (padding === "valid") return [0, 0];
  if (padding !== "same") return padding;
  const height = kernel[0]?.length ?? 1;
  const width = kernel[0]?.[0]?.length ?? 1;
  return [(dilation[0] * (height - 1)) >> 1, (dilation[1] * (width - 1)) >> 1];
}

/**
 * The value of a convolution at a place: a term for each input channel, and their sum with the bias.
 * @param {Maps} input (C, H, W)
 * @param {Weights} weights those of the output channel
 * @param {Convolution} convolution
 * @param {number} channel the output channel, from 0
 * @param {number} outputs how many output channels there are
 * @param {number} x column of the output
 * @param {number} y row of the output
 */
export function convolve(input, { kernel, bias }, convolution, channel, outputs, x, y) {
  const { stride, dilation, groups } = convolution;
  const [above, before] = margins(convolution, kernel);
  const top = y * stride[0] - above;
  const left = x * stride[1] - before;
  const first = Math.floor(channel / (outputs / groups)) * kernel.length;
  const terms = kernel.map((weights, i) => {
    const map = input[first + i];
    const patch = weights.map((line, r) =>
      line.map((_, c) => map?.[top + r * dilation[0]]?.[left + c * dilation[1]] ?? 0),
    );
    return { channel: first + i, patch, weights, sum: dot(weights, patch) };
  });
  return { terms, total: terms.reduce((sum, term) => sum + term.sum, bias) };
}

/**
 * @param {Value[][]} weights
 * @param {number[][]} patch of the same shape
 */
function dot(weights, patch) {
  let sum = 0;
  for (const [r, line] of weights.entries()) {
    for (const [c, weight] of line.entries()) sum += (weight ?? 0) * (patch[r]?.[c] ?? 0);
  }
  return sum;
}

/**
 * Whether the real values of a channel follow from an input: in the middle and at two corners.
 * @param {Maps} input
 * @param {Weights} weights
 * @param {Convolution} convolution
 * @param {Pick<ChannelLook, "channel" | "layer" | "values">} look
 */
export function follows(input, weights, convolution, { channel, layer, values }) {
  const [outputs = 1, height = 1, width = 1] = layer.output_shape;
  const scale = largest(values.flat(), 1e-6);
  /** @type {Pair[]} */
  const places = [
    [0, 0],
    [width >> 1, height >> 1],
    [width - 1, height - 1],
  ];
  return places.every(([x, y]) => {
    const { total } = convolve(input, weights, convolution, channel, outputs, x, y);
    return Math.abs(total - (values[y]?.[x] ?? 0)) <= TOLERANCE * scale;
  });
}

/**
 * The terms with the largest sums (largest first), how many others there are, and their sum.
 * @param {Term[]} terms
 * @param {number} count
 */
export function ranked(terms, count) {
  const sorted = [...terms].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const others = sorted.slice(count);
  const rest = others.reduce((sum, term) => sum + term.sum, 0);
  return { shown: sorted.slice(0, count), others: others.length, rest };
}
