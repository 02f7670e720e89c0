import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ApiError,
  isAbort,
  latest,
  messageOf,
  only,
  path,
} from "../../service/static/playground/api.js";

test("the parts of a path are escaped", () => {
  assert.equal(path("mnist", "predict"), "v1/models/mnist/predict");
  assert.equal(path("a b", ["kernels", "x/y?"]), "v1/models/a%20b/kernels/x%2Fy%3F");
});

test("the empty resource is the model itself", () => {
  assert.equal(path("mnist", []), "v1/models/mnist");
  assert.equal(path("mnist", [], { version: 2 }), "v1/models/mnist?version=2");
});

test("parameters are left out where they are empty, and repeated where they are lists", () => {
  const parameters = { version: "", target: null, top_k: 0, values: true, layer: ["a", "b&c"] };
  assert.equal(
    path("m", "features", parameters),
    "v1/models/m/features?top_k=0&values=true&layer=a&layer=b%26c",
  );
});

test("an error says what the service says, and names the images that it refused", () => {
  const errors = [{ index: 1, reason: "truncated" }];
  const told = new ApiError(422, { title: "Bad image", detail: "1 of 2", errors });
  assert.equal(told.message, "Bad image: 1 of 2");
  assert.deepEqual(told.images, errors);
  assert.equal(new ApiError(500, {}).message, "The service answered 500.");
  assert.deepEqual(new ApiError(500, {}).images, []);
});

test("a new signal aborts the one before it", () => {
  const next = latest();
  const first = next();
  const second = next();
  assert.deepEqual([first.aborted, second.aborted], [true, false]);
});

test("a signal aborts with the outer one", () => {
  const outer = new AbortController();
  const signal = latest()(outer.signal);
  assert.equal(signal.aborted, false);
  outer.abort();
  assert.equal(signal.aborted, true);
});

test("errors in words, and those that only say that a request was given up", () => {
  const aborted = AbortSignal.abort().reason;
  assert.deepEqual(
    [isAbort(aborted), isAbort(new Error("x")), isAbort(null)],
    [true, false, false],
  );
  assert.deepEqual([messageOf(new Error("x")), messageOf("y")], ["x", "y"]);
});

test("an answer without what was asked for is an error", () => {
  assert.equal(only([0]), 0);
  assert.throws(() => only([]), /empty/);
});
