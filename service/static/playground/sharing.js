// The foot of the page: the last request in numbers, and as commands that make it again.

import { hasKey } from "./api.js";
import { curl, python, timing } from "./commands.js";
import { byId } from "./elements.js";

/** Start the foot of the page; tell `last` of each request that was answered. */
export function sharing() {
  const buttons = {
    curl: byId("curl", HTMLButtonElement),
    python: byId("python", HTMLButtonElement),
  };
  /** @type {Answered | null} */
  let predicted = null;

  /**
   * @param {string} text
   * @param {string} what
   */
  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      byId("copied").textContent = `${what} copied`;
    } catch {
      byId("copied").textContent = text; // where the page may not write to the clipboard
    }
  }

  /**
   * @param {typeof curl} write
   * @param {string} what
   */
  async function copyCommand(write, what) {
    if (!predicted) return;
    const url = new URL(predicted.target, document.baseURI).href;
    await copy(write({ url, pictures: predicted.pictures, secured: hasKey() }), what);
  }

  buttons.curl.addEventListener("click", () => copyCommand(curl, "curl command"));
  buttons.python.addEventListener("click", () => copyCommand(python, "Python"));
  byId("share").addEventListener("click", () => copy(location.href, "address"));
  return {
    /** @param {Answered} request */
    last(request) {
      if (!request.target.includes("/predict")) return;
      predicted = request;
      buttons.curl.disabled = buttons.python.disabled = false;
      byId("timing").textContent = timing(request);
    },
  };
}
