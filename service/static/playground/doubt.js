// Whether an answer is sure, in words. A model that is not calibrated says nothing of it.

import { element } from "./elements.js";
import { inSentence } from "./labels.js";

const MOST = 4; // labels that are named in a sentence

/**
 * Why the answer is unsure; empty if it is sure, or if the model doesn't tell.
 * @param {Doubt} prediction
 */
export function doubt({ unsure, why, set }) {
  if (!unsure) return "";
  if (why === "unfamiliar") return "unsure: unlike what it was trained on";
  return set && set.length > 1 ? `unsure: between ${list(set, "and")}` : "unsure";
}

/**
 * The same as an element, in a list of the parts to show.
 * @param {Doubt} prediction
 */
export function doubtShown(prediction) {
  const text = doubt(prediction);
  return text ? [element("span", "unsure", text)] : [];
}

/**
 * How familiar the picture is, the labels that it may be, and in what it is unlike those that the
 * model expects; empty if the model doesn't tell.
 * @param {Doubt} prediction
 */
export function grounds({ familiarity, set, unsure, warnings = [] }) {
  const parts = [];
  if (familiarity !== undefined) parts.push(`familiarity ${familiarity.toFixed(2)} of 1`);
  if (set && set.length > 1) parts.push(`it may be ${list(set, "or")}`);
  else if (set && !unsure) parts.push("no other label is likely");
  return [parts.join("; "), ...warnings]
    .filter(Boolean)
    .map(text => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`)
    .join(" ");
}

/**
 * @param {string[]} labels two or more
 * @param {string} joint
 */
function list(labels, joint) {
  const named = labels.slice(0, labels.length > MOST ? MOST - 1 : MOST).map(inSentence);
  const left = labels.length - named.length;
  if (left) named.push(`${left} more`);
  return `${named.slice(0, -1).join(", ")} ${joint} ${named.at(-1)}`;
}
