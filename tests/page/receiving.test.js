import assert from "node:assert/strict";
import { test } from "node:test";

import { named } from "../../service/static/playground/receiving.js";

test("files keep their names, and those without one are numbered", () => {
  const files = ["a.png", "", ""].map(name => new File(["x"], name));
  assert.deepEqual(
    named(files).map(({ name }) => name),
    ["a.png", "pasted-2.png", "pasted-3.png"],
  );
  assert.equal(named(files)[0]?.blob, files[0]);
  assert.deepEqual(named([]), []);
});
