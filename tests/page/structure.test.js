import assert from "node:assert/strict";
import { test } from "node:test";

import {
  channelOf,
  isMap,
  levelOf,
  purposeOf,
} from "../../service/static/playground/inside/structure.js";

/** @type {{ maps: [number, number, number] }} */
const MAPS = { maps: [8, 4, 4] };
const VECTOR = {};

test("a layer has maps where the service tells so", () => {
  assert.equal(isMap(MAPS), true);
  assert.equal(isMap(VECTOR), false);
});

test("a channel of the address counts only where the layer has it", () => {
  assert.equal(channelOf("7", MAPS), 7);
  for (const other of ["8", "-1", "1.5", "", "no"]) assert.equal(channelOf(other, MAPS), null);
  assert.equal(channelOf("0", VECTOR), null);
  assert.equal(channelOf("0", undefined), null);
});

test("a layer's level is told with what it sees of the picture", () => {
  const field = { layer: "stem", height: 3, width: 5, level: /** @type {const} */ ("low") };
  assert.equal(levelOf(field), "low level: sees 3×5 pixels");
});

test("the purpose of a layer is told where its type is known", () => {
  assert.match(purposeOf("Conv2d"), /^It slides its kernels .*\. $/);
  assert.match(purposeOf("ReLU6"), /^It keeps what is above 0/);
  assert.match(purposeOf("AdaptiveAvgPool2d"), /^It takes the mean/);
  assert.equal(purposeOf("Dropout"), "");
});
