// What is known of layers without asking for their values.

/** @type {[RegExp, string][]} */
const PURPOSES = [
  [/^Conv/, "slides its kernels over the maps before it: each channel looks for one pattern."],
  [/ReLU/, "keeps what is above 0 and makes the rest 0."],
  [/Tanh|Sigmoid/, "squeezes every value into a fixed range."],
  [/MaxPool/, "keeps the largest value of each patch: smaller maps, less bound to a place."],
  [/AvgPool/, "takes the mean of each patch: smaller maps, less bound to a place."],
  [/BatchNorm/, "shifts and scales each channel to what training found usual."],
  [/Linear/, "weighs all values before it, one sum for each of its own."],
  [/Flatten/, "lays all maps in one row."],
];

/**
 * What a layer of that type does, as a sentence with a space after it; empty if not known.
 * @param {string} type
 */
export function purposeOf(type) {
  const found = PURPOSES.find(([pattern]) => pattern.test(type));
  return found ? `It ${found[1]} ` : "";
}

/**
 * Whether a layer gives maps of more than one value.
 * @param {Shaped} layer
 */
export const isMap = ({ maps }) => maps !== undefined;

/**
 * The number of a channel that a layer has, else null.
 * @param {string} channel as the address has it
 * @param {Shaped | undefined} layer
 */
export function channelOf(channel, layer) {
  if (!layer || !isMap(layer) || !/^\d+$/.test(channel)) return null;
  return Number(channel) < (layer.maps?.[0] ?? 0) ? Number(channel) : null;
}

/**
 * How much of the picture a layer sees, in words.
 * @param {ReceptiveField} field
 */
export const levelOf = ({ level, height, width }) =>
  `${level} level: sees ${height}×${width} pixels`;
