// Values → colours.

/** @typedef {[number, number, number]} Colour red, green, blue, 0 to 255 */

/**
 * As in models/images/colours.py; a test compares them.
 * @type {Colour[]}
 */
const VIRIDIS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

/**
 * Where a value lies between two others, clamped to 0 to 1.
 * @param {Value} value null counts as `least`
 * @param {number} least
 * @param {number} most
 */
export function level(value, least, most) {
  if (most <= least) return 0;
  return Math.max(0, Math.min(1, ((value ?? least) - least) / (most - least)));
}

/**
 * The colour of a level: of viridis, or grey.
 * @param {number} level 0 to 1
 * @param {boolean} coloured
 * @returns {Colour}
 */
export function colour(level, coloured) {
  if (!coloured) return [255 * level, 255 * level, 255 * level];
  const place = level * (VIRIDIS.length - 1);
  const at = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const [from, to] = VIRIDIS.slice(at, at + 2);
  if (!from || !to) throw new RangeError(`The level ${level} is not in 0 to 1.`);
  const [r, g, b] = from;
  const part = place - at;
  return [r + (to[0] - r) * part, g + (to[1] - g) * part, b + (to[2] - b) * part];
}

/**
 * The colour and opacity of a heat map's value: red above 0, blue below it.
 * @param {Value} value
 * @param {number} largest the absolute value that is opaque
 * @returns {Quad}
 */
export function heat(value, largest) {
  const opacity = 255 * strength(value, largest);
  return (value ?? 0) >= 0 ? [178, 24, 43, opacity] : [33, 102, 172, opacity];
}

/**
 * The background of a cell in a table of numbers.
 * @param {Value} value
 * @param {number} largest the absolute value that is strongest
 */
export function tint(value, largest) {
  const opacity = strength(value, largest) * 0.55;
  return (value ?? 0) >= 0 ? `rgb(201 120 31 / ${opacity})` : `rgb(33 102 172 / ${opacity})`;
}

/**
 * @param {Value} value
 * @param {number} largest
 */
const strength = (value, largest) => Math.min(1, Math.abs(value ?? 0) / (largest || 1));
