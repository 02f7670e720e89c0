// How a convolution comes to a value: patch × kernel, summed, plus bias.

import { json, path } from "./api.js";
import { range } from "./maps.js";

const MOST_CANDIDATES = 8; // layers that are tried as the source of a convolution

/** What a layer lays around its input: zeros above, and to the left. */
function margins({ padding, dilation }, kernel) {
  if (padding === "valid") return [0, 0];
  if (padding !== "same") return padding;
  return [kernel[0].length, kernel[0][0].length].map((side, i) => Math.floor((dilation[i] * (side - 1)) / 2));
}

/**
 * What a convolution does at a place: a term for each input channel, and their sum with the bias.
 *
 * `input` is (C, H, W), `kernel` (C / groups, h, w) that of one of the `outputs` channels.
 */
export function convolve(input, { kernel, bias }, parameters, channel, outputs, x, y) {
  const { stride: [down, across], dilation, groups } = parameters, [top, left] = margins(parameters, kernel);
  const first = Math.floor(channel / (outputs / groups)) * kernel.length;
  const terms = kernel.map((weights, i) => {
    const map = input[first + i];
    const patch = weights.map((line, r) => line.map((_, c) =>
      map[y * down - top + r * dilation[0]]?.[x * across - left + c * dilation[1]] ?? 0));
    let sum = 0;
    weights.forEach((line, r) => line.forEach((weight, c) => { sum += weight * patch[r][c]; }));
    return { channel: first + i, patch, weights, sum };
  });
  return { terms, total: terms.reduce((sum, term) => sum + term.sum, bias) };
}

/** The kernel (C, h, w) and bias of a convolution's channel. */
export async function weightsOf({ layer, channel, model, signal }) {
  const asked = path(model.name, ["kernels", layer.name], { version: model.version, values: true, channel });
  const { values, bias } = await json(asked, { signal });
  return { kernel: values[0], bias: bias?.[0] ?? 0 };
}

/**
 * What feeds a convolution: `{name, input}` of the layer, or of the picture, from which its real
 * values follow; null where they follow from none.
 */
export async function source(context, weights) {
  const { layer, model, values } = context, { layers, card } = model.detail;
  const fits = (sides) => String(sides) === String(layer.input_shape);
  const candidates = layers.slice(0, layers.indexOf(layer)).reverse().filter((each) => fits(each.output_shape))
    .map(({ name }) => [name, () => activation(context, name)]);
  if (fits([card.input.channels, card.input.height, card.input.width])) candidates.push(["the picture", () => normalized(context)]);
  for (const [name, load] of candidates.slice(0, MOST_CANDIDATES)) {
    const maps = await load();
    const positive = maps.map((map) => map.map((line) => line.map((value) => Math.max(0, value))));
    for (const [told, input] of [[name, maps], [`what is above 0 of ${name}`, positive]]) {
      if (explains(input, weights, values, context)) return { name: told, input };
    }
  }
  return null;
}

async function activation({ model, picture, signal }, name) {
  const asked = path(model.name, "features", { version: model.version, layer: name, values: true });
  return (await json(asked, { pictures: [picture], signal })).layers[0].images[0].values;
}

/** The picture as the first layer gets it. */
function normalized({ model, input }) {
  const { mean, std } = model.detail.card.input;
  return input.map((map, c) => map.map((line) => line.map((value) => (value / 255 - mean[c]) / std[c])));
}

/** Whether the real values of a channel follow from an input, in its middle and at two corners. */
function explains(input, weights, values, { layer, channel }) {
  const [outputs, height, width] = layer.output_shape;
  const scale = Math.max(...range(values.flat()).map(Math.abs), 1e-6);
  return [[0, 0], [width >> 1, height >> 1], [width - 1, height - 1]].every(([x, y]) =>
    Math.abs(convolve(input, weights, layer.arguments, channel, outputs, x, y).total - values[y][x]) <= 1e-3 * scale);
}
