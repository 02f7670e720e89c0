import assert from "node:assert/strict";
import { test } from "node:test";

import { colour, heat, level, tint } from "../../service/static/playground/inside/colours.js";

test("a level is where a value lies in a range, clamped", () => {
  assert.deepEqual(
    [-1, 0, 5, 10, 11].map(value => level(value, 0, 10)),
    [0, 0, 0.5, 1, 1],
  );
  assert.equal(level(null, -1, 1), 0); // not finite: as dark as the least
  assert.equal(level(3, 3, 3), 0); // a map of one value
});

test("viridis goes from purple to yellow through its five colours", () => {
  assert.deepEqual(colour(0, true), [68, 1, 84]);
  assert.deepEqual(colour(0.5, true), [33, 145, 140]);
  assert.deepEqual(colour(1, true), [253, 231, 37]);
  assert.deepEqual(colour(0.125, true), [63.5, 41.5, 111.5]); // half way between the first two
});

test("grey goes from black to white", () => {
  assert.deepEqual(colour(0.2, false), [51, 51, 51]);
});

test("heat is red for and blue against, the more opaque the larger", () => {
  assert.deepEqual(heat(1, 2), [178, 24, 43, 127.5]);
  assert.deepEqual(heat(-2, 2), [33, 102, 172, 255]);
  assert.deepEqual(heat(0, 0), [178, 24, 43, 0]);
});

test("cells are tinted like that", () => {
  assert.equal(tint(1, 1), "rgb(201 120 31 / 0.55)");
  assert.equal(tint(-1, 1), "rgb(33 102 172 / 0.55)");
  assert.equal(tint(null, 1), "rgb(201 120 31 / 0)");
});
