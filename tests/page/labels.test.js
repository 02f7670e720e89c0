import assert from "node:assert/strict";
import { test } from "node:test";
import { inSentence } from "../../service/static/playground/labels.js";

test("a short label stands in a sentence as it is", () => {
  for (const label of ["cat", "猫和狗", "🐱", "👨‍👩‍👧".repeat(40), "$x_1$ <b>&amp;"]) {
    assert.equal(inSentence(label), label);
  }
});

test("of a long label the beginning and the end are shown, and no letter is cut", () => {
  const family = "👨‍👩‍👧";
  assert.equal(inSentence(`a${"x".repeat(300)}b`), `a${"x".repeat(23)}…${"x".repeat(22)}b`);
  assert.equal(inSentence(family.repeat(60)), `${family.repeat(24)}…${family.repeat(23)}`);
});

test("a label from right to left turns nothing around that stands beside it", () => {
  assert.equal(inSentence("חתול"), "\u2068חתול\u2069");
  assert.equal(inSentence("قطة"), "\u2068قطة\u2069");
});
