import assert from "node:assert/strict";
import { test } from "node:test";

import {
  convolutionOf,
  convolve,
  follows,
  ranked,
} from "../../service/static/playground/inside/arithmetic.js";
import { layer } from "./examples.js";

/** @type {Convolution} */
const PLAIN = { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
const INPUT = [
  [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ],
];
const KERNEL = [
  [
    [1, 2],
    [3, 4],
  ],
];

/**
 * The value at a place of a convolution with one output channel and the bias 0.5.
 * @param {Partial<Convolution>} options
 * @param {number} x
 * @param {number} y
 */
const at = (options, x, y, kernel = KERNEL) =>
  convolve(INPUT, { kernel, bias: 0.5 }, { ...PLAIN, ...options }, 0, 1, x, y);

test("a value is the sum of patch × kernel, plus the bias", () => {
  const { terms, total } = at({}, 1, 0);
  assert.deepEqual(terms, [
    {
      channel: 0,
      patch: [
        [2, 3],
        [5, 6],
      ],
      weights: KERNEL[0],
      sum: 2 + 6 + 15 + 24,
    },
  ]);
  assert.equal(total, 47.5);
});

test("padding puts zeros around the input", () => {
  assert.equal(at({ padding: [1, 1] }, 0, 0).total, 4 * 1 + 0.5);
  assert.equal(at({ padding: [1, 0] }, 0, 0).total, 3 * 1 + 4 * 2 + 0.5);
  assert.equal(at({ padding: "valid" }, 0, 0).total, at({}, 0, 0).total);
});

test("padding `same` puts the smaller half above and left", () => {
  assert.equal(at({ padding: "same" }, 0, 0).total, 1 + 4 + 12 + 20 + 0.5); // a kernel of 2 × 2
  const wide = [[[0, 0, 1]]];
  assert.equal(at({ padding: "same" }, 0, 1, wide).total, 5.5);
});

test("the stride is (rows, columns), and dilation spreads the kernel", () => {
  assert.deepEqual(at({ stride: [1, 2], padding: [1, 1] }, 1, 1).terms[0]?.patch, [
    [2, 3],
    [5, 6],
  ]);
  assert.deepEqual(at({ dilation: [2, 1] }, 1, 0).terms[0]?.patch, [
    [2, 3],
    [8, 9],
  ]);
});

test("a group reads only its own input channels", () => {
  const input = [[[1]], [[10]], [[100]], [[1000]]];
  const weights = { kernel: [[[1]], [[2]]], bias: 0 };
  const first = convolve(input, weights, { ...PLAIN, groups: 2 }, 1, 4, 0, 0);
  const second = convolve(input, weights, { ...PLAIN, groups: 2 }, 2, 4, 0, 0);
  assert.deepEqual([first.total, second.total], [21, 2100]);
  assert.deepEqual(
    second.terms.map(({ channel }) => channel),
    [2, 3],
  );
});

test("only layers of type Conv2d are convolutions", () => {
  assert.deepEqual(convolutionOf(layer({ type: "Conv2d", arguments: PLAIN })), PLAIN);
  assert.equal(convolutionOf(layer({ type: "MaxPool2d", arguments: PLAIN })), null);
  assert.equal(convolutionOf(layer({ type: "Conv2d", arguments: { stride: [1, 1] } })), null);
});

test("values follow from an input if the middle and two corners agree", () => {
  const weights = { kernel: KERNEL, bias: 0 };
  const values = [0, 1].map(y =>
    [0, 1].map(x => convolve(INPUT, weights, PLAIN, 0, 1, x, y).total),
  );
  const look = { channel: 0, layer: layer({ output_shape: [1, 2, 2] }), values };
  assert.equal(follows(INPUT, weights, PLAIN, look), true);
  assert.equal(follows(INPUT, { ...weights, bias: 1e-4 }, PLAIN, look), true); // rounding
  assert.equal(follows(INPUT, { ...weights, bias: 1 }, PLAIN, look), false);
});

test("terms are ranked by size, and the rest is summed", () => {
  const terms = [1, -5, 3, -2].map((sum, channel) => ({ channel, sum, patch: [], weights: [] }));
  const { shown, others, rest } = ranked(terms, 2);
  assert.deepEqual(
    shown.map(({ sum }) => sum),
    [-5, 3],
  );
  assert.deepEqual([others, rest], [2, -1]);
  assert.equal(terms[0]?.sum, 1); // the list that was given keeps its order
});
