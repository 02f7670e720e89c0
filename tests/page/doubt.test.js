import assert from "node:assert/strict";
import { test } from "node:test";
import { doubt, grounds } from "../../service/static/playground/doubt.js";

test("an answer that is sure, or of a model that is not calibrated, needs no words", () => {
  assert.equal(doubt({ unsure: false, familiarity: 0.4, set: ["bird"] }), "");
  assert.equal(doubt({}), "");
  assert.equal(grounds({}), "");
});

test("a strange picture is unlike what the model was trained on, whatever it may be", () => {
  const text = "unsure: unlike what it was trained on";
  assert.equal(doubt({ unsure: true, why: "unfamiliar", set: ["bird", "plane"] }), text);
  assert.equal(doubt({ unsure: true, why: "unfamiliar" }), text);
});

test("an ambiguous answer names the labels, not all of many", () => {
  /** @param {string[]} set */
  const between = (...set) => doubt({ unsure: true, why: "ambiguous", set });
  assert.equal(between("3", "8"), "unsure: between 3 and 8");
  assert.equal(between("3", "8", "5", "9"), "unsure: between 3, 8, 5 and 9");
  assert.equal(between("3", "8", "5", "9", "2", "1"), "unsure: between 3, 8, 5 and 3 more");
  assert.equal(between("חתול", "3"), "unsure: between \u2068חתול\u2069 and 3");
  assert.equal(between(), "unsure");
});

test("the grounds are how familiar the picture is, and what it may be", () => {
  assert.equal(
    grounds({ familiarity: 0.0312, set: ["3", "8"] }),
    "Familiarity 0.03 of 1; it may be 3 or 8.",
  );
  assert.equal(grounds({ set: ["3"] }), "No other label is likely.");
  assert.equal(grounds({ familiarity: 0, set: ["3"], unsure: true }), "Familiarity 0.00 of 1.");
  assert.equal(
    grounds({ set: ["3"], warnings: ["the ground is light", "cut it"] }),
    "No other label is likely. The ground is light. Cut it.",
  );
});
