// The network as a row of layers, from the input to the answer, and a row of blocks of layers.

import { image, isAbort, json, latest, messageOf, path } from "../api.js";
import { byId, element, rove } from "../elements.js";
import { shape } from "../numbers.js";
import { opened } from "./layer.js";
import { drawPixels } from "./maps.js";
import { isMap, levelOf } from "./structure.js";

const AT_ONCE = 4; // thumbnails that are asked for at the same time

/** @param {(name: string, channel: string) => void} chosen gets what to open, empty for none */
export function network(chosen) {
  const row = byId("network");
  const blocks = byId("blocks");
  const opening = latest();
  const layer = opened(chosen);
  const keepStops = [rove(row), rove(blocks)];
  const canvas = element("canvas", { class: "crisp", role: "img", "aria-label": "the input" });
  /** @type {Map<Layer, HTMLImageElement>} */
  const pictures = new Map();
  const unmeasured = byId("unmeasured");
  /** @type {Look | null} */
  let look = null;
  /** @type {Model | null} whose layers' levels are told */
  let levelsOf = null;

  /** @param {Layer} each */
  function node(each) {
    const { name, type, parameters } = each;
    const picture = element("img", { alt: "", class: isMap(each) ? "" : "crisp" });
    const count = parameters ? `${parameters.toLocaleString("en")} parameters` : "no parameters";
    const made = element(
      "button",
      { class: "node", "aria-expanded": "false" },
      picture,
      element("strong", {}, name),
      element("span", {}, type),
      element("span", {}, shape(each.output_shape)),
      element("span", "quiet", count),
      element("span", "level"),
    );
    made.addEventListener("click", () =>
      chosen(made.getAttribute("aria-expanded") === "true" ? "" : name, ""),
    );
    made.dataset.layer = name;
    pictures.set(each, picture);
    return made;
  }

  /** The nodes of layers and blocks. */
  const nodes = () => [...row.querySelectorAll("button"), ...blocks.querySelectorAll("button")];

  /** @param {Model} model */
  function build({ detail }) {
    const { channels, height, width } = detail.card.input;
    pictures.forEach(forget);
    pictures.clear();
    unmeasured.hidden = true;
    row.replaceChildren(
      element(
        "div",
        "node",
        canvas,
        element("strong", {}, "input"),
        element("span", {}, shape([channels, height, width])),
      ),
      ...detail.layers.map(node),
    );
    blocks.replaceChildren(...detail.blocks.map(node));
    byId("of-layers").hidden = !detail.blocks.length;
    row.scrollLeft = blocks.scrollLeft = 0;
    for (const keep of keepStops) keep();
  }

  /**
   * Tell each layer's level, once the service has measured what they see; or why it has not. With
   * the next picture it is asked again.
   * @param {Look} look
   */
  async function tellLevels({ model, signal }) {
    const said = await json(path(model.name, "receptive-fields", { version: model.version }), {
      signal,
    }).catch(error => {
      if (isAbort(error)) throw error;
      return { layers: [], note: messageOf(error) };
    });
    const fields = new Map(said.layers.map(each => [each.layer, each]));
    for (const each of nodes()) {
      const field = fields.get(each.dataset.layer ?? "");
      const place = each.querySelector(".level");
      if (field && place) place.textContent = levelOf(field);
    }
    unmeasured.textContent = `No levels: ${said.note}`;
    unmeasured.hidden = !said.note;
    if (!said.note) levelsOf = model;
  }

  /**
   * Scroll the node's row, and not the page, to where it is.
   * @param {HTMLElement} made
   */
  function reveal(made) {
    const along = made.parentElement ?? row;
    const box = along.getBoundingClientRect();
    const { left, right } = made.getBoundingClientRect();
    along.scrollLeft += Math.min(0, left - box.left) + Math.max(0, right - box.right);
  }

  /** @param {HTMLImageElement} picture */
  function forget(picture) {
    if (picture.src) URL.revokeObjectURL(picture.src);
  }

  /**
   * @param {Look} look
   * @param {Layer} each
   * @param {HTMLImageElement} place
   */
  async function thumbnail({ model, picture, signal }, each, place) {
    const drawn = isMap(each) ? { tile: 32 } : { tile: 8, normalize: "layer" };
    const asked = path(model.name, "features", {
      version: model.version,
      layer: each.name,
      format: "png",
      colormap: "viridis",
      ...drawn,
    });
    const url = await image(asked, { pictures: [picture], signal });
    forget(place);
    place.src = url;
    place.alt = isMap(each) ? "feature maps" : "values";
  }

  /** @param {Look} look */
  async function thumbnails(look) {
    const left = [...pictures];
    const next = async () => {
      for (let each = left.shift(); each && !look.signal.aborted; each = left.shift()) {
        await thumbnail(look, ...each);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  return {
    /** @param {Look} given */
    async show(given) {
      const fresh = look?.model !== given.model;
      look = given;
      if (fresh) build(given.model);
      drawPixels(canvas, given.input);
      if (fresh) levelsOf = null;
      await Promise.all([thumbnails(given), levelsOf === given.model || tellLevels(given)]);
    },
    /**
     * Open a layer or a block, and a channel of it; the empty name closes.
     * @param {string} name
     * @param {string} channel
     * @param {boolean} jump whether the page scrolls there
     */
    async open(name, channel, jump) {
      if (!look) return;
      for (const each of nodes()) {
        const isOpen = each.dataset.layer === name;
        each.setAttribute("aria-expanded", String(isOpen));
        if (isOpen) reveal(each);
      }
      const { layers, blocks } = look.model.detail;
      const found = [...layers, ...blocks].find(each => each.name === name);
      await layer.show({ ...look, signal: opening(look.signal) }, found, channel, jump);
    },
  };
}
