// The page as a whole: which model, which picture, what of it is shown.

import * as address from "./address.js";
import { answer } from "./answers.js";
import { ApiError, heard, json, latest, path, useKey } from "./api.js";
import { pad } from "./drawing.js";
import { byId, element, offer } from "./elements.js";
import { gallery } from "./gallery.js";
import { network } from "./network.js";
import { camera, receive } from "./receiving.js";
import { onDark, samples } from "./samples.js";
import { commands } from "./sharing.js";

const USUAL = { model: "birds-vs-planes", method: "grad-cam" };
const state = address.read();
const [choosing, comparing, looking, heating] = [latest(), latest(), latest(), latest()];
let models = [], model = null, other = null; // those listed; the one in use, the one beside it
let open = null, looked = looking(), columns = []; // the picture looked into, and its answers
let told = null;

const pictures = gallery({ opened: look, failed: tell });
const layers = network((layer, channel) => change({ layer, channel }, () => showLayer(true)));
const drawing = pad(drawn);
const share = commands();

function tell(error) {
  if (error?.name === "AbortError") return;
  told = error;
  byId("notice").textContent = error?.message ?? "";
  byId("notice").hidden = !error;
}

heard.last = (request) => {
  if (told instanceof ApiError) tell(null);
  share.last(request);
};
heard.unauthorized = () => { byId("key").hidden = false; byId("key").key.focus(); };

/** Change what is looked at, keep it in the address, and show it. */
function change(values, show) {
  Object.assign(state, values);
  address.write(state, true);
  return show().catch(tell);
}

async function start() {
  models = (await json("v1/models")).models.filter((each) => each.versions.some((v) => v.state === "ready"));
  if (!models.length) throw new Error("No model is ready yet; look at v1/models for the reason, and load this page again.");
  const names = models.map(({ name }) => name);
  const usual = names.includes(USUAL.model) ? USUAL.model : names[0];
  offer(byId("model"), names.map((name) => [name, name]), names.includes(state.model) ? state.model : usual);
  state.model = byId("model").value;
  showMethod();
  await useModel();
}

/** Show the method of the address; one that there isn't counts as the usual one. */
function showMethod() {
  byId("method").value = state.method;
  if (!byId("method").value) byId("method").value = USUAL.method;
}

async function detail(name, version, signal) {
  const found = await json(path(name, [], { version }), { signal });
  return { name, version, detail: found, labels: found.card.labels };
}

async function useModel() {
  const signal = choosing();
  const ready = models.find(({ name }) => name === state.model).versions.filter((v) => v.state === "ready");
  offer(byId("version"), [["", "latest"], ...ready.map((v) => [String(v.version), String(v.version)])], state.version);
  byId("version-label").hidden = ready.length < 2;
  state.version = ready.length < 2 ? "" : byId("version").value;
  const others = models.map(({ name }) => name).filter((name) => name !== state.model);
  offer(byId("compare"), [["", "none"], ...others.map((name) => [name, name])], state.compare);
  state.compare = byId("compare").value;
  model = await detail(state.model, state.version, signal);
  offer(byId("target"), [["", "it sees"], ...model.labels.map((label) => [label, label])], state.target);
  state.target = byId("target").value;
  address.write(state);
  describe(model);
  await useOther();
  signal.throwIfAborted();
  await pictures.use(model);
  signal.throwIfAborted();
  if (open) await look(open, false);
}

function describe({ name, labels, detail: { card } }) {
  const accuracy = card.metrics?.test_accuracy;
  document.title = `${name} · Fanlight`;
  byId("facts").textContent = `${labels.length} classes: ${labels.slice(0, 12).join(", ")}${labels.length > 12 ? ", …" : ""}. `
    + `${card.parameters.toLocaleString("en")} parameters${accuracy ? `, ${(100 * accuracy).toFixed(1)} % right on its test pictures` : ""}.`;
  byId("samples").replaceChildren(...samples(labels).map(([name, canvas]) => {
    const made = element("button", { class: "sample", type: "button" }, canvas, name);
    made.addEventListener("click", () => canvas.toBlob((blob) => add([{ name: `${name}.png`, blob }])));
    return made;
  }));
  drawing.ground(onDark(labels));
  byId("drawing").open = card.input.channels === 1;
}

async function useOther() {
  const signal = comparing();
  other = null;
  if (state.compare) other = await detail(state.compare, "", signal);
}

async function add(given) {
  tell(null);
  const added = await pictures.add(given);
  if (added.length === 1 && added[0].prediction && !open) look(added[0], false);
}

let drawnPicture = null, drawnBlob = null, drawingBusy = false;

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
  open = picture?.prediction ? picture : null;
  looked = looking();
  pictures.current(open);
  byId("inside").hidden = !open;
  if (!open) return;
  byId("inside-title").textContent = `Inside: ${open.name}`;
  Object.assign(byId("save"), { href: open.url, download: open.name });
  if (focus) {
    byId("inside-title").focus({ preventScroll: true });
    byId("inside").scrollIntoView({ block: "start" });
  }
  await show().catch(tell);
}

const both = () => (other ? [model, other] : [model]);

/** What an answer is asked about, by a model; `signal` is of the picture that is looked into. */
const asked = (each, signal = looked) => ({
  model: each, signal, method: byId("method").value, picture: open,
  target: each.labels.includes(state.target) ? state.target : "",
});

async function show() {
  const signal = looked;
  byId("inside").setAttribute("aria-busy", "true");
  if (columns.length !== both().length) columns = both().map(answer);
  byId("answers").replaceChildren(...columns.map((each) => each.place));
  fade();
  try {
    const filled = both().map((each, i) => columns[i].fill(asked(each), i ? null : open.prediction));
    const [values] = await Promise.all([filled[0], ...filled.slice(1).map((each, i) => each.catch(columns[i + 1].fail))]);
    signal.throwIfAborted();
    const shown = layers.show({ model, picture: open, input: values, signal });
    byId("inside").removeAttribute("aria-busy");
    await Promise.all([shown, showHeat(), showLayer()]);
  } finally {
    if (signal === looked) byId("inside").removeAttribute("aria-busy");
  }
}

async function showLayer(jump = false) {
  if (open) await layers.open(state.layer, state.channel, jump);
}

async function showHeat() {
  const signal = heating(looked);
  if (open) await Promise.all(both().map((each, i) => columns[i]?.explain(asked(each, signal))));
}

const fade = () => columns.forEach((each) => each.fade(byId("opacity").value / 100));

function close() {
  const back = open?.button;
  look(null);
  back?.focus();
}

byId("model").addEventListener("change", (event) => change({ model: event.target.value, version: "", layer: "", channel: "", target: "" }, useModel));
byId("version").addEventListener("change", (event) => change({ version: event.target.value }, useModel));
byId("compare").addEventListener("change", (event) => change({ compare: event.target.value }, async () => {
  await useOther();
  if (open) await look(open, false);
}));
byId("method").addEventListener("change", (event) => change({ method: event.target.value }, showHeat));
byId("target").addEventListener("change", (event) => change({ target: event.target.value }, showHeat));
byId("opacity").addEventListener("input", fade);
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
  showMethod();
  byId("target").value = state.target;
  return Promise.all([showHeat(), showLayer()]).catch(tell);
});
receive(add);
camera(add, tell);
start().catch(tell);
