// The page as a whole: which model, which picture, what of it is shown.

import * as address from "./address.js";
import { answer } from "./answers.js";
import { heard, json, path, useKey } from "./api.js";
import { camera, receive } from "./receiving.js";
import { pad } from "./drawing.js";
import { byId, element, offer } from "./elements.js";
import { gallery } from "./gallery.js";
import { network } from "./network.js";
import { onDark, samples } from "./samples.js";
import { commands } from "./sharing.js";

const USUAL = "grad-cam";
const state = address.read();
let models = [], open = null, looking = new AbortController(), columns = [];

const pictures = gallery({ opened: look, failed: tell });
const layers = network((layer, channel) => change({ layer, channel }, showLayer));
const drawing = pad(drawn);
const share = commands();
let drawnPicture = null, drawnBlob = null, drawingBusy = false;

function tell(error) {
  if (error?.name === "AbortError") return;
  byId("notice").textContent = error?.message ?? "";
  byId("notice").hidden = !error;
}

heard.last = (request) => { tell(null); share.last(request); };
heard.unauthorized = () => { byId("key").hidden = false; byId("key").key.focus(); };

/** Change what is looked at, keep it in the address, and show it. */
function change(values, show) {
  Object.assign(state, values);
  address.write(state, true);
  return show().catch(tell);
}

async function detail(name, version) {
  const found = await json(path(name, "", { version }));
  return { name, version: version || "", detail: found, labels: found.card.labels };
}

async function start() {
  models = (await json("v1/models")).models.filter((each) => each.versions.some((v) => v.state === "ready"));
  if (!models.length) throw new Error("No model is ready yet; look at v1/models for the reason, and load this page again.");
  const names = models.map(({ name }) => [name, name]);
  const usual = names.some(([name]) => name === "birds-vs-planes") ? "birds-vs-planes" : names[0][0];
  offer(byId("model"), names, state.model || usual);
  offer(byId("compare"), [["", "none"], ...names], state.compare);
  Object.assign(state, { model: byId("model").value, compare: byId("compare").value });
  byId("method").value = state.method || USUAL;
  await useModel();
}

let model = null, other = null;

async function useModel() {
  const ready = models.find(({ name }) => name === state.model).versions.filter((v) => v.state === "ready");
  offer(byId("version"), [["", "latest"], ...ready.map((v) => [String(v.version), String(v.version)])], state.version);
  byId("version-label").hidden = ready.length < 2;
  state.version = ready.length < 2 ? "" : byId("version").value;
  model = await detail(state.model, state.version);
  offer(byId("target"), [["", "it sees"], ...model.labels.map((label) => [label, label])], state.target);
  state.target = byId("target").value;
  address.write(state);
  const { card } = model.detail, accuracy = card.metrics?.test_accuracy;
  byId("facts").textContent = `${model.labels.length} classes: ${model.labels.slice(0, 12).join(", ")}${model.labels.length > 12 ? ", …" : ""}. `
    + `${card.parameters.toLocaleString("en")} parameters${accuracy ? `, ${(100 * accuracy).toFixed(1)} % right on its test pictures` : ""}.`;
  byId("samples").replaceChildren(...samples(model.labels).map(([name, canvas]) => {
    const made = element("button", { class: "sample", type: "button" }, canvas, name);
    made.addEventListener("click", () => canvas.toBlob((blob) => add([{ name: `${name}.png`, blob }])));
    return made;
  }));
  drawing.ground(onDark(model.labels));
  byId("drawing").hidden = card.input.channels !== 1;
  await useOther();
  await pictures.use(model);
  if (open) await look(open, false);
}

async function useOther() {
  other = state.compare ? await detail(state.compare, "") : null;
}

async function add(given) {
  const added = await pictures.add(given).catch(tell);
  if (added?.length === 1 && added[0].prediction && !open) look(added[0], false);
}

async function drawn(blob) {
  drawnBlob = blob;
  if (drawingBusy) return;
  drawingBusy = true;
  while (drawnBlob) {
    const next = drawnBlob;
    drawnBlob = null;
    if (drawnPicture && pictures.has(drawnPicture)) {
      await pictures.replace(drawnPicture, next);
      if (open === drawnPicture) look(open, false);
    } else [drawnPicture] = await pictures.add([{ name: "drawing.png", blob: next }]);
  }
  drawingBusy = false;
}

/** Look into a picture, or into none. */
async function look(picture, focus = true) {
  looking.abort();
  looking = new AbortController();
  open = picture;
  pictures.current(picture);
  byId("inside").hidden = !picture;
  if (!picture) return;
  byId("inside-title").textContent = `Inside: ${picture.name}`;
  if (focus) {
    byId("inside-title").focus({ preventScroll: true });
    byId("inside").scrollIntoView({ block: "start" });
  }
  await show(looking.signal).catch(tell);
}

const asked = (each, signal) => ({
  model: each, signal, method: byId("method").value,
  target: each.labels.includes(state.target) ? state.target : "",
  picture: open,
});

async function show(signal) {
  const both = other ? [model, other] : [model];
  columns = both.map(() => answer());
  byId("answers").replaceChildren(...columns.map((each) => each.place));
  const strength = byId("opacity").value / 100;
  const filled = both.map(async (each, i) => {
    const said = each === model ? open.prediction
      : (await json(path(each.name, "predict", { version: each.version }), { pictures: [open], signal })).predictions[0];
    columns[i].fade(strength);
    const given = asked(each, signal);
    return columns[i].fill({ ...given, picture: { ...open, said } });
  });
  const [values] = await Promise.all(filled);
  const shown = layers.show({ model, picture: open, values, signal });
  await Promise.all([shown, showLayer()]);
}

async function showLayer() {
  if (open) await layers.open(state.layer, state.channel);
}

async function showHeat() {
  const { signal } = looking, both = other ? [model, other] : [model];
  await Promise.all(columns.map((each, i) => each.explain(asked(both[i], signal))));
}

byId("model").addEventListener("change", (event) => change({ model: event.target.value, version: "", layer: "", channel: "", target: "" }, useModel));
byId("version").addEventListener("change", (event) => change({ version: event.target.value }, useModel));
byId("compare").addEventListener("change", (event) => change({ compare: event.target.value }, async () => {
  await useOther();
  if (open) await look(open, false);
}));
byId("method").addEventListener("change", (event) => change({ method: event.target.value }, showHeat));
byId("target").addEventListener("change", (event) => change({ target: event.target.value }, showHeat));
byId("opacity").addEventListener("input", (event) => columns.forEach((each) => each.fade(event.target.value / 100)));
function close() {
  const back = open?.button;
  look(null);
  back?.focus();
}
byId("close").addEventListener("click", close);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && open) close(); });
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").key.value);
  byId("key").hidden = true;
  start().catch(tell);
});
addEventListener("popstate", () => {
  const before = { ...state };
  Object.assign(state, address.read());
  if (["model", "version", "compare"].some((name) => state[name] !== before[name])) return start().catch(tell);
  byId("method").value = state.method || USUAL;
  byId("target").value = state.target;
  return Promise.all([showHeat(), showLayer()]).catch(tell);
});
receive(add);
camera(add, tell);
start().catch(tell);
