import assert from "node:assert/strict";
import { test } from "node:test";

import { format, parse } from "../../service/static/playground/address.js";

const NOTHING = {
  model: "",
  version: "",
  compare: "",
  method: "",
  target: "",
  layer: "",
  channel: "",
};

test("a view is read from a query; other parameters are left out", () => {
  assert.deepEqual(parse("?model=mnist&channel=3&other=1"), {
    ...NOTHING,
    model: "mnist",
    channel: "3",
  });
  assert.deepEqual(parse(""), NOTHING);
});

test("only what is chosen is written, always in one order", () => {
  assert.equal(format({ ...NOTHING, layer: "stem", model: "xo" }), "?model=xo&layer=stem");
  assert.equal(format(NOTHING), "");
});

test("a view that is written is read again", () => {
  const view = { ...NOTHING, model: "a b", target: "T-shirt/top & more", layer: "blocks.0" };
  assert.deepEqual(parse(format(view)), view);
});
