import assert from "node:assert/strict";
import { test } from "node:test";

import {
  captionOf,
  covered,
  isSigned,
  methodsOf,
} from "../../service/static/playground/inside/explanations.js";
import { detail, explanation } from "./examples.js";

test("the methods are those that the service tells", () => {
  const methods = [
    { name: "grad-cam", title: "Grad-CAM", description: "where the last maps are active" },
    { name: "toy", title: "Toy", description: "a method that this page has never heard of" },
  ];
  assert.deepEqual(methodsOf(detail({ explain_methods: methods })), [
    ["grad-cam", "Grad-CAM", "where the last maps are active"],
    ["toy", "Toy", "a method that this page has never heard of"],
  ]);
  assert.deepEqual(methodsOf(undefined), []);
});

test("a heat map with values below 0 is signed", () => {
  assert.equal(isSigned(explanation({ min: -0.1 })), true);
  assert.equal(isSigned(explanation({ min: 0 })), false);
});

test("the caption tells what the colours mean", () => {
  assert.equal(
    captionOf(explanation({}), "blocks.3"),
    "The redder, the more it counts for “bird”. Seen by blocks.3.",
  );
  assert.equal(
    captionOf(explanation({ min: -1, convergence_delta: 0.25 }), undefined),
    "Red speaks for “bird”, blue against it. Convergence delta 0.250.",
  );
  assert.match(captionOf(explanation({ convergence_delta: 0 }), undefined), /delta 0\.000\.$/);
});

test("a heat map covers the part that the network gets", () => {
  const canvas = { width: 200, height: 100 };
  assert.deepEqual(covered([0, 0, 1, 1], canvas), [0, 0, 200, 100]);
  assert.deepEqual(covered([0.25, 0.5, 0.75, 1], canvas), [50, 50, 100, 50]);
});
