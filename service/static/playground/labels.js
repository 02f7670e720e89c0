// Labels of classes, which may be of any script and of up to 300 characters.

import { element } from "./elements.js";
import { percent } from "./numbers.js";

const MOST = 48; // characters in a sentence
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const characters = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * The label as an element: two lines of it are shown, and the title has the whole. Its direction is
 * its own, so that it turns around nothing beside it.
 * @param {string} text
 */
export const label = text => element("bdi", { class: "label", title: text }, text);

/**
 * The label as an element of a heading: the beginning and the end of a long one.
 * @param {string} text
 */
export const shortLabel = text => element("bdi", { title: text }, shorten(text));

/**
 * The label in a sentence, isolated from what is around where it is read from right to left.
 * @param {string} text
 */
export function inSentence(text) {
  const shown = shorten(text);
  return RIGHT_TO_LEFT.test(shown) ? `\u2068${shown}\u2069` : shown;
}

/** @param {string} text */
function shorten(text) {
  if (text.length <= MOST) return text;
  const all = Array.from(characters.segment(text), each => each.segment);
  if (all.length <= MOST) return text;
  return `${all.slice(0, MOST / 2).join("")}…${all.slice(1 - MOST / 2).join("")}`;
}

/**
 * The classes and their probabilities, as a list of bars.
 * @param {LabelScore[]} top
 */
export function bars(top) {
  return element(
    "ul",
    "bars",
    ...top.map(({ label: name, score }) => {
      const fill = element("div", "fill");
      fill.style.width = `${100 * score}%`;
      return element(
        "li",
        {},
        label(name),
        element("div", "track", fill),
        element("span", "number", percent(score)),
      );
    }),
  );
}
