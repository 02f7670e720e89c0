import assert from "node:assert/strict";
import { test } from "node:test";

import {
  channelOf,
  isMap,
  levels,
  purposeOf,
} from "../../service/static/playground/inside/structure.js";
import { layer } from "./examples.js";

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

test("the layers with maps are low, middle and high level by thirds", () => {
  const maps = [1, 2, 3].map(() => layer(MAPS));
  const vector = layer(VECTOR);
  const told = levels([...maps, vector]);
  assert.deepEqual([...told.values()], ["low level", "middle level", "high level", ""]);
});

test("the purpose of a layer is told where its type is known", () => {
  assert.match(purposeOf("Conv2d"), /^It slides its kernels .*\. $/);
  assert.match(purposeOf("ReLU6"), /^It keeps what is above 0/);
  assert.match(purposeOf("AdaptiveAvgPool2d"), /^It takes the mean/);
  assert.equal(purposeOf("Dropout"), "");
});
