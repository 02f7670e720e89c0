// A request as commands that make it again.

/** @param {string} text */
const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The request as a curl command for a POSIX shell.
 * @param {Command} command
 */
export function curl({ url, pictures, secured }) {
  // in double quotes curl takes commas and semicolons of a name as they are
  const files = pictures.map(
    ({ name }) => `-F ${quoted(`images=@"${name.replaceAll(/["\\]/g, "\\$&")}"`)}`,
  );
  const key = secured ? ['-H "Authorization: Bearer $FANLIGHT_API_KEY"'] : [];
  return ["curl", ...key, ...files, quoted(url)].join(" ");
}

/**
 * The request as a Python program that uses `requests`.
 * @param {Command} command
 */
export function python({ url, pictures, secured }) {
  const files = pictures.map(({ name }) => `("images", open(${JSON.stringify(name)}, "rb"))`);
  const key = secured
    ? `, headers={"Authorization": f"Bearer {os.environ['FANLIGHT_API_KEY']}"}`
    : "";
  return `${secured ? "import os\n\n" : ""}import requests

files = [${files.join(", ")}]
answer = requests.post(${JSON.stringify(url)}, files=files${key})
print(answer.json())
`;
}

/**
 * How long a prediction took, as a sentence.
 * @param {Timed} request
 */
export function timing({ pictures, milliseconds, server, batch }) {
  const parts = [
    `Last prediction: ${pictures.length} ${pictures.length > 1 ? "pictures" : "picture"} in ${milliseconds.toFixed(0)} ms`,
  ];
  if (server) parts.push(`${server} ms of them in the service`);
  if (batch) parts.push(`in a batch of ${batch}`);
  return `${parts.join(", ")}.`;
}
