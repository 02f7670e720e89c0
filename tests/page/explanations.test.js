import assert from "node:assert/strict";
import { test } from "node:test";

import {
  captionOf,
  covered,
  isSigned,
  methodsOf,
  strongest,
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

test("the caption of a class map tells which labels are where", () => {
  const shares = [
    { label: "airplane", share: 0.75, places: 9 },
    { label: "bird", share: 0.25, places: 3 },
  ];
  assert.equal(
    captionOf(explanation({ map: { shares }, note: "The image is made smaller." }), undefined),
    "The redder, the more probable is “bird”. Of 12 places in the whole picture, the network " +
      "sees airplane at 75.0 %, bird at 25.0 %. The image is made smaller.",
  );
  const many = Array.from({ length: 8 }, (_, i) => ({ label: `${i}`, share: 1 / 8, places: 1 }));
  assert.match(captionOf(explanation({ map: { shares: many } }), undefined), /, 3 more\.$/);
});

test("a class map is as strong as its probabilities, others as their largest value", () => {
  assert.equal(strongest(explanation({ min: 0, max: 0.2, map: { shares: [] } })), 1);
  assert.equal(strongest(explanation({ min: -3, max: 2 })), 3);
});
