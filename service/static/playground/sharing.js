// The last request in numbers, and as commands that make it again.

import { hasKey } from "./api.js";
import { byId } from "./elements.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const url = (target) => new URL(target, document.baseURI).href;

function curl({ target, pictures }) {
  // in double quotes curl takes commas and semicolons of a name as they are
  const file = ({ name }) => `-F ${quoted(`images=@"${name.replaceAll(/["\\]/g, "\\$&")}"`)}`;
  const key = hasKey() ? ' -H "Authorization: Bearer $FANLIGHT_API_KEY"' : "";
  return `curl${key} ${pictures.map(file).join(" ")} ${quoted(url(target))}`;
}

function python({ target, pictures }) {
  const files = pictures.map(({ name }) => `("images", open(${JSON.stringify(name)}, "rb"))`).join(", ");
  const key = hasKey() ? ', headers={"Authorization": f"Bearer {os.environ[\'FANLIGHT_API_KEY\']}"}' : "";
  return `import os\n\nimport requests\n\nfiles = [${files}]\nanswer = requests.post(${JSON.stringify(url(target))}, files=files${key})\nprint(answer.json())\n`
    .replace(hasKey() ? "" : "import os\n\n", "");
}

/** The foot of the page; `last` tells it of each request that was answered. */
export function commands() {
  let predicted = null;
  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
      byId("copied").textContent = `${what} copied`;
    } catch {
      byId("copied").textContent = text; // where the page is not allowed to write there
    }
  };
  byId("curl").addEventListener("click", () => copy(curl(predicted), "curl command"));
  byId("python").addEventListener("click", () => copy(python(predicted), "Python"));
  byId("share").addEventListener("click", () => copy(location.href, "address"));
  return {
    last(request) {
      if (!request.target.includes("/predict")) return;
      predicted = request;
      byId("curl").disabled = byId("python").disabled = false;
      const { milliseconds, server, batch, pictures } = request;
      byId("timing").textContent = `Last prediction: ${pictures.length} ${pictures.length > 1 ? "pictures" : "picture"} in `
        + `${milliseconds.toFixed(0)} ms${server ? `, ${server} ms of them in the service` : ""}${batch ? `, in a batch of ${batch}` : ""}.`;
    },
  };
}
