import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { curl, python, timing } from "../../service/static/playground/commands.js";

const URL_ = "http://127.0.0.1:8000/v1/models/mnist/predict?top_k=5";
const PLAIN = { url: URL_, pictures: [{ name: "7.png" }], secured: false };

/**
 * The arguments that a shell gives a command.
 * @param {string} command
 */
function argumentsOf(command) {
  const script = command.replace(/^curl/, "printf '%s\\n'");
  const env = { ...process.env, FANLIGHT_API_KEY: "sesame" };
  return execFileSync("sh", ["-c", script], { encoding: "utf8", env }).trimEnd().split("\n");
}

test("curl sends each picture as a part", () => {
  assert.deepEqual(argumentsOf(curl(PLAIN)), ["-F", 'images=@"7.png"', URL_]);
  const two = { ...PLAIN, pictures: [{ name: "a.png" }, { name: "b.png" }] };
  assert.equal(argumentsOf(curl(two)).filter(each => each === "-F").length, 2);
});

test("a shell and curl take every name as it is", () => {
  const pictures = [{ name: `it's "a" \\ $HOME; b,c.png` }];
  const [, part] = argumentsOf(curl({ ...PLAIN, pictures }));
  assert.equal(part, String.raw`images=@"it's \"a\" \\ $HOME; b,c.png"`);
});

test("the key comes from the environment, and stands in no command", () => {
  const secured = { ...PLAIN, secured: true };
  assert.ok(argumentsOf(curl(secured)).includes("Authorization: Bearer sesame"));
  assert.match(python(secured), /^import os\n\nimport requests\n/);
  assert.match(python(secured), /os\.environ\['FANLIGHT_API_KEY'\]/);
  assert.doesNotMatch(python(PLAIN), /environ|import os/);
});

test("Python opens the pictures by name", () => {
  assert.equal(
    python(PLAIN),
    `import requests

files = [("images", open("7.png", "rb"))]
answer = requests.post("${URL_}", files=files)
print(answer.json())
`,
  );
});

test("the time of a prediction in words", () => {
  const request = { pictures: [1], milliseconds: 12.6, server: "3.1", batch: "4" };
  assert.equal(
    timing(request),
    "Last prediction: 1 picture in 13 ms, 3.1 ms of them in the service, in a batch of 4.",
  );
  assert.equal(
    timing({ pictures: [1, 2], milliseconds: 5, server: undefined, batch: null }),
    "Last prediction: 2 pictures in 5 ms.",
  );
});
