import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, isAbort, lastLine } from "../../service/static/playground/api.js";
import { milestone } from "../../service/static/playground/inside/waiting.js";
import { lines } from "../../service/static/playground/lines.js";

/**
 * A stream of these pieces of text, cut without regard to lines or characters; then it breaks off
 * with the error, if there is one.
 * @param {string} text
 * @param {number} size bytes of a piece
 * @param {Error} [error]
 */
function stream(text, size, error) {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.slice(at, at + size));
      else if (error) controller.error(error);
      else controller.close();
      at += size;
    },
  });
}

/** @param {ReadableStream<Uint8Array>} body */
async function heard(body) {
  /** @type {Progress[]} */
  const told = [];
  const last = await lastLine(new Response(body), progress => told.push(progress));
  return { told, last };
}

const STEPS = '{"done":0,"of":4}\n{"done":3,"of":4}\n';
const END = '{"explanations":[{"target":{"label":"Käfer"}}]}\n';

test("lines are whole, wherever the stream is cut", async () => {
  for (const size of [1, 2, 7, 1000]) {
    const found = [];
    for await (const line of lines(stream(STEPS + END, size))) found.push(line);
    assert.deepEqual(
      found,
      (STEPS + END)
        .trim()
        .split("\n")
        .map(text => JSON.parse(text)),
    );
  }
});

test("the last line is the answer, and the others tell how far it is", async () => {
  const { told, last } = await heard(stream(STEPS + END, 5));
  assert.deepEqual(told, [
    { done: 0, of: 4 },
    { done: 3, of: 4 },
  ]);
  assert.deepEqual(last, JSON.parse(END));
});

test("an answer in one piece, as of a service that knows no lines", async () => {
  assert.deepEqual((await heard(stream(END, 1000))).last, JSON.parse(END));
});

test("a problem in the last line is an error", async () => {
  const problem = { status: 504, title: "Deadline passed", detail: "too slow" };
  await assert.rejects(heard(stream(`${STEPS}${JSON.stringify(problem)}\n`, 9)), error => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.message], [504, "Deadline passed: too slow"]);
    return true;
  });
});

test("an answer without its last line was broken off", async () => {
  const broken = [
    stream("", 1),
    stream(STEPS, 4),
    stream(STEPS + END.slice(0, -3), 4),
    stream(STEPS, 4, new TypeError("network error")),
  ];
  for (const each of broken) await assert.rejects(heard(each), /Broken off/);
});

test("a request that was given up is no broken answer", async () => {
  const abort = AbortSignal.abort().reason;
  await assert.rejects(heard(stream(STEPS, 4, abort)), isAbort);
});

test("a screen reader hears of quarters", () => {
  const said = [0, 24, 25, 99, 100].map(done => milestone({ done, of: 100 }));
  assert.deepEqual(said, [0, 0, 25, 75, 100]);
  assert.equal(milestone({ done: 2, of: 3 }), 50);
});
