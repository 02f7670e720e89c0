import assert from "node:assert/strict";
import { test } from "node:test";

import { onDark, samples } from "../../service/static/playground/samples.js";

const DIGITS = Array.from({ length: 10 }, (_, digit) => String(digit));

/** @param {string[]} labels */
const names = labels => samples(labels).map(([name]) => name);

test("samples suit the labels of the model", () => {
  assert.deepEqual(names(["circles", "crosses"]), ["a cross", "a circle"]);
  assert.deepEqual(names(DIGITS), ["a seven", "a zero"]);
  assert.deepEqual(names(["Trouser", "Coat"]), ["a shirt", "trousers"]);
  assert.deepEqual(names(["airplane", "bird"]), ["a plane", "a bird"]);
});

test("a model of other labels gets some of each kind", () => {
  assert.deepEqual(names(["tulip"]), ["a cross", "a seven", "a plane", "a bird"]);
});

test("digits and clothes are light on dark", () => {
  assert.equal(onDark(DIGITS), true);
  assert.equal(onDark(["Trouser"]), true);
  assert.equal(onDark(["circles", "crosses"]), false);
});
