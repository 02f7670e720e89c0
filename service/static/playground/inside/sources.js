// What a convolution gets: its weights, and the values that its sum is made of.

import { json, only, path } from "../api.js";
import { mapsOf } from "../numbers.js";
import { follows } from "./arithmetic.js";

const MOST_CANDIDATES = 8; // layers that are tried as the source of a convolution

/**
 * The weights of the convolution's channel.
 * @param {ChannelLook} look
 * @returns {Promise<Weights>}
 */
export async function weightsOf({ layer, channel, model, signal }) {
  const parameters = { version: model.version, values: true, channel };
  const asked = path(model.name, ["kernels", layer.name], parameters);
  const { values, bias } = await json(asked, { signal });
  return { kernel: mapsOf(values?.[0]), bias: bias?.[0] ?? 0 };
}

/**
 * What feeds a convolution: the layer, or the picture, from which its real values follow; null
 * where they follow from none.
 * @param {ChannelLook} look
 * @param {Convolution} convolution
 * @param {Weights} weights
 * @returns {Promise<{ name: string, input: Maps } | null>}
 */
export async function source(look, convolution, weights) {
  for (const [name, load] of candidates(look).slice(0, MOST_CANDIDATES)) {
    const maps = await load();
    /** @type {[string, Maps][]} */
    const inputs = [
      [name, maps],
      [`what is above 0 of ${name}`, positive(maps)], // a ReLU that the layer list lacks
    ];
    for (const [told, input] of inputs) {
      if (follows(input, weights, convolution, look)) return { name: told, input };
    }
  }
  return null;
}

/**
 * The layers before a layer whose maps would fit, nearest first, and the picture.
 * @param {ChannelLook} look
 * @returns {Candidate[]}
 */
function candidates(look) {
  const { layers, card } = look.model.detail;
  const fits = (/** @type {number[]} */ sides) => String(sides) === String(look.layer.input_shape);
  const before = layers.slice(0, layers.indexOf(look.layer)).reverse();
  /** @type {Candidate[]} */
  const found = before
    .filter(each => fits(each.output_shape))
    .map(({ name }) => [name, () => activation(look, name)]);
  if (fits([card.input.channels, card.input.height, card.input.width]))
    found.push(["the picture", async () => normalized(look)]);
  return found;
}

/**
 * @param {Look} look
 * @param {string} name of the layer
 */
async function activation({ model, picture, signal }, name) {
  const parameters = { version: model.version, layer: name, values: true };
  const asked = path(model.name, "features", parameters);
  const answer = await json(asked, { pictures: [picture], signal });
  return mapsOf(only(only(answer.layers).images).values);
}

/** @param {Maps} maps */
const positive = maps =>
  maps.map(map => map.map(line => line.map(value => Math.max(0, value ?? 0))));

/**
 * The picture as the first layer gets it.
 * @param {Look} look
 */
function normalized({ model, input }) {
  const { mean, std } = model.detail.card.input;
  return input.map((map, c) =>
    map.map(line => line.map(value => ((value ?? 0) / 255 - (mean[c] ?? 0)) / (std[c] ?? 1))),
  );
}
