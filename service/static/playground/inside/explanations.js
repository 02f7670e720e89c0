// Heat maps in words, and the methods that make them.

import { inSentence } from "../labels.js";
import { largest, percent, short } from "../numbers.js";

const MOST_LABELS = 5; // that are told of a class map

/**
 * The methods that the service offers for a model, as options of a select.
 * @param {ModelDetail | undefined} detail
 * @returns {Choice[]}
 */
export function methodsOf(detail) {
  const methods = detail?.explain_methods ?? [];
  return methods.map(({ name, title, description }) => [name, title, description]);
}

/**
 * Whether a heat map has values against its class.
 * @param {Explanation} explanation
 */
export const isSigned = ({ min }) => min < 0;

/**
 * The value that is drawn strongest: of a class map the probability 1, of others their largest.
 * @param {Explanation} explanation
 */
export const strongest = ({ map, min, max }) => (map ? 1 : largest([min, max]));

/**
 * Which labels are seen where in the whole picture, in a sentence.
 * @param {LabelMap} map
 */
function told({ shares }) {
  const places = shares.reduce((sum, each) => sum + each.places, 0);
  const most = shares.slice(0, MOST_LABELS);
  const parts = most.map(({ label, share }) => `${inSentence(label)} at ${percent(share)}`);
  const rest = shares.length - most.length;
  if (rest) parts.push(`${rest} more`);
  const many = places === 1 ? "one place" : `${places.toLocaleString("en")} places`;
  return `Of ${many} in the whole picture, the network sees ${parts.join(", ")}.`;
}

/**
 * What a heat map shows, in sentences.
 * @param {Explanation} explanation
 * @param {string | undefined} layer the layer that Grad-CAM looks at
 */
export function captionOf(explanation, layer) {
  const { target, convergence_delta: delta, map, note } = explanation;
  const named = inSentence(target.label);
  const sentences = isSigned(explanation)
    ? [`Red speaks for “${named}”, blue against it.`]
    : [`The redder, the more ${map ? `probable is “${named}”` : `it counts for “${named}”`}.`];
  if (map) sentences.push(told(map));
  if (layer) sentences.push(`Seen by ${layer}.`);
  if (delta !== undefined) sentences.push(`Convergence delta ${short(delta)}.`);
  if (note) sentences.push(note);
  return sentences.join(" ");
}

/**
 * The pixels of a canvas that a heat map covers.
 * @param {Box} box the part of the picture that the network gets
 * @param {{ width: number, height: number }} canvas
 * @returns {Quad}
 */
export function covered([left, top, right, bottom], { width, height }) {
  return [left * width, top * height, (right - left) * width, (bottom - top) * height];
}
