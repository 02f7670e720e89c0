// Numbers as text, and nested lists of numbers.

/** @param {number} score a fraction, 0 to 1 */
export const percent = score => `${(100 * score).toFixed(1)} %`;

/**
 * A number in three decimals, or with an exponent where it is large or small.
 * @param {Value | undefined} value
 */
export function short(value) {
  if (value === null || value === undefined) return "not finite";
  const size = Math.abs(value);
  return size >= 1000 || (size && size < 0.001) ? value.toExponential(1) : value.toFixed(3);
}

/** @param {number[]} sides */
export const shape = sides => sides.join(" × ");

/**
 * The least and the most of the finite values; infinities where there is none.
 * @param {Iterable<Value>} values
 * @returns {[number, number]}
 */
export function range(values) {
  let least = Infinity;
  let most = -Infinity;
  for (const value of values) {
    if (value === null) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

/**
 * The largest absolute value; `floor` where all are smaller.
 * @param {Iterable<Value>} values
 */
export function largest(values, floor = 0) {
  const [least, most] = range(values);
  return Math.max(floor, least === Infinity ? 0 : Math.max(Math.abs(least), Math.abs(most)));
}

/**
 * All values of nested lists in one list.
 * @param {Nested} values
 * @returns {Value[]}
 */
export const flat = values => (Array.isArray(values) ? values.flatMap(flat) : [values]);

/**
 * Nested lists as maps (C, H, W); raises a TypeError for another number of dimensions.
 * @param {Nested | undefined} values
 * @param {Pick<Layer, "axes" | "maps">} [layer] that gives the values, by default (C, H, W)
 * @returns {Maps}
 */
export function mapsOf(values, layer) {
  if (layer?.maps && layer.axes.at(-1) === "channel") return channelsFirst(values, layer.maps);
  if (!areMaps(values)) throw new TypeError("These values are no maps of channels, rows, columns.");
  return values;
}

/**
 * Of values whose last axis are channels: of pixels row by row, or of tokens, the last of which are
 * the pixels.
 * @param {Nested | undefined} values
 * @param {[number, number, number]} sides
 * @returns {Maps}
 */
function channelsFirst(values, [channels, height, width]) {
  const all = flat(values ?? []).slice(-channels * height * width);
  const line = (/** @type {number} */ start) =>
    Array.from({ length: width }, (_, column) => all[start + channels * column] ?? null);
  return Array.from({ length: channels }, (_, channel) =>
    Array.from({ length: height }, (_, row) => line(channel + channels * width * row)),
  );
}

/**
 * @param {Nested | undefined} values
 * @returns {values is Maps}
 */
function areMaps(values) {
  const map = Array.isArray(values) ? values[0] : null;
  const line = Array.isArray(map) ? map[0] : null;
  return Array.isArray(line) && !Array.isArray(line[0]);
}
