import assert from "node:assert/strict";
import { test } from "node:test";

import {
  flat,
  largest,
  mapsOf,
  percent,
  range,
  shape,
  short,
} from "../../service/static/playground/numbers.js";

test("numbers are short", () => {
  assert.deepEqual([0, 1.23456, -0.5, 999.9999, 1000, -12345, 0.0009].map(short), [
    "0.000",
    "1.235",
    "-0.500",
    "1000.000",
    "1.0e+3",
    "-1.2e+4",
    "9.0e-4",
  ]);
});

test("a number that is not finite is told as such", () => {
  assert.equal(short(null), "not finite");
  assert.equal(short(undefined), "not finite");
});

test("fractions as per cent, and sides as a shape", () => {
  assert.equal(percent(0.98765), "98.8 %");
  assert.equal(shape([3, 32, 28]), "3 × 32 × 28");
});

test("the range leaves out what is not finite", () => {
  assert.deepEqual(range([3, null, -2, 5]), [-2, 5]);
  assert.deepEqual(range([3, null, 5]), [3, 5]);
  assert.deepEqual(range([null]), [Infinity, -Infinity]);
});

test("the largest absolute value, or the floor", () => {
  assert.equal(largest([1, -7, null]), 7);
  assert.equal(largest([0.1], 0.5), 0.5);
  assert.equal(largest([]), 0);
});

test("nested lists become one list", () => {
  assert.deepEqual(flat([1, [2, [null, 3]]]), [1, 2, null, 3]);
});

test("channels behind pixels or tokens become maps", () => {
  /** @type {[number, number, number]} */
  const maps = [2, 1, 3];
  const expected = [[[1, 3, 5]], [[2, 4, 6]]];
  const pixels = [1, 3, 5].map(value => [value, value + 1]);
  /** @type {Pick<Layer, "axes" | "maps">} */
  const last = { axes: ["row", "column", "channel"], maps };
  assert.deepEqual(mapsOf([pixels], last), expected);
  assert.deepEqual(mapsOf([[9, 9], ...pixels], { axes: ["token", "channel"], maps }), expected);
});

test("maps have channels, rows and columns", () => {
  const maps = [[[1, null]], [[3, 4]]];
  assert.equal(mapsOf(maps), maps);
  for (const other of [undefined, 1, [1], [[1]], [[[[1]]]], []]) {
    assert.throws(() => mapsOf(other), TypeError);
  }
});
