// Heat maps in words, and the methods that make them.

import { inSentence } from "../labels.js";
import { short } from "../numbers.js";

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
 * What a heat map shows, in sentences.
 * @param {Explanation} explanation
 * @param {string | undefined} layer the layer that Grad-CAM looks at
 */
export function captionOf(explanation, layer) {
  const { target, convergence_delta: delta } = explanation;
  const named = inSentence(target.label);
  const sentences = isSigned(explanation)
    ? [`Red speaks for “${named}”, blue against it.`]
    : [`The redder, the more it counts for “${named}”.`];
  if (layer) sentences.push(`Seen by ${layer}.`);
  if (delta !== undefined) sentences.push(`Convergence delta ${short(delta)}.`);
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
