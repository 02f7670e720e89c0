// Answers as lines of JSON (application/x-ndjson): a stream of bytes → one value a line.

/**
 * The values of the lines, as they arrive; what stands behind the last line break is no line.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<Line>}
 */
export async function* lines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) yield JSON.parse(part);
    }
  } finally {
    reader.cancel().catch(() => {}); // where the reading was given up, or broke off
  }
}
