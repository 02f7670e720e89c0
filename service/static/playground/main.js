// The page as a whole: which model, which picture, what of it is shown.

import * as address from "./address.js";
import { ApiError, heard, isAbort, json, latest, MODELS, messageOf, path, useKey } from "./api.js";
import { pad } from "./drawing.js";
import { byId, element, offer } from "./elements.js";
import { gallery } from "./gallery.js";
import { answer } from "./inside/answers.js";
import { methodsOf } from "./inside/explanations.js";
import { network } from "./inside/network.js";
import { inSentence } from "./labels.js";
import { percent } from "./numbers.js";
import { camera, receive } from "./receiving.js";
import { onDark, samples } from "./samples.js";
import { sharing } from "./sharing.js";

/** @import { View } from "./address.js" */

const FEW = 1000; // test pictures, whose accuracy is told with its interval
const USUAL = { model: "birds-vs-planes", method: "grad-cam" };
const select = {
  model: byId("model", HTMLSelectElement),
  version: byId("version", HTMLSelectElement),
  compare: byId("compare", HTMLSelectElement),
  method: byId("method", HTMLSelectElement),
  target: byId("target", HTMLSelectElement),
};
const opacity = byId("opacity", HTMLInputElement);
const keyForm = byId("key", HTMLFormElement);
const view = address.read();
const [choosing, comparing, looking, heating] = [latest(), latest(), latest(), latest()];
/** @type {ModelList["models"]} */
let models = [];
/** @type {Model | null} */
let model = null; // the one in use
/** @type {Model | null} */
let other = null; // the one that it is compared with
/** @type {Picture | null} */
let open = null; // the picture that is looked into
let looked = looking(); // aborts when another picture is
/** @type {Picture | null} */
let wanted = null; // the picture to look into once the model that is coming has classified it
/** @type {ReturnType<typeof answer>[]} */
let columns = []; // the answers of `model` and `other`
/** @type {unknown} */
let told = null; // the error that is shown

const pictures = gallery({ opened: look, failed: tell });
const layers = network((layer, channel) => change({ layer, channel }, () => showLayer(true)));
const drawing = pad(drawn);
const foot = sharing();

/**
 * Show an error, or take it away.
 * @param {unknown} error null for none
 */
function tell(error) {
  if (isAbort(error)) return;
  told = error;
  byId("notice").textContent = error ? messageOf(error) : "";
  byId("notice").hidden = !error;
}

heard.last = request => {
  if (told instanceof ApiError) tell(null);
  foot.last(request);
};
heard.unauthorized = () => {
  keyForm.hidden = false;
  keyForm.querySelector("input")?.focus();
};

/**
 * Change the view, keep it in the address, and show it.
 * @param {Partial<View>} values
 * @param {() => Promise<void>} show
 */
function change(values, show) {
  Object.assign(view, values);
  address.write(view, true);
  return show().catch(tell);
}

async function start() {
  const listed = (await json(MODELS)).models;
  models = listed.filter(each => each.versions.some(v => v.state === "ready"));
  const names = models.map(({ name }) => name);
  const [first] = names;
  if (first === undefined)
    throw new Error(
      "No model is ready yet; look at v1/models for the reason, and load this page again.",
    );
  const usual = names.includes(USUAL.model) ? USUAL.model : first;
  const chosen = names.includes(view.model) ? view.model : usual;
  offer(
    select.model,
    names.map(name => [name, name]),
    chosen,
  );
  view.model = select.model.value;
  await useModel();
}

/** Offer the methods of the model, and choose that of the view, else the usual one. */
function showMethod() {
  const methods = methodsOf(model?.detail);
  const known = methods.some(([name]) => name === view.method);
  offer(select.method, methods, known ? view.method : USUAL.method);
}

/**
 * @param {string} name
 * @param {string} version
 * @param {AbortSignal} signal
 * @returns {Promise<Model>}
 */
async function describedBy(name, version, signal) {
  const detail = await json(path(name, [], { version }), { signal });
  return { name, version, detail, labels: detail.card.labels };
}

async function useModel() {
  const signal = choosing();
  const versions = models.find(({ name }) => name === view.model)?.versions ?? [];
  const ready = versions.filter(v => v.state === "ready").map(v => String(v.version));
  offer(select.version, [["", "latest"], ...options(ready)], view.version);
  byId("version-label").hidden = ready.length < 2;
  view.version = ready.length < 2 ? "" : select.version.value;
  const others = models.map(({ name }) => name).filter(name => name !== view.model);
  offer(select.compare, [["", "none"], ...options(others)], view.compare);
  view.compare = select.compare.value;
  const chosen = await describedBy(view.model, view.version, signal);
  model = chosen;
  showMethod();
  offer(select.target, [["", "it sees"], ...chosen.labels.map(named)], view.target);
  view.target = select.target.value;
  address.write(view);
  describe(chosen);
  await useOther();
  signal.throwIfAborted();
  await pictures.use(chosen);
  signal.throwIfAborted();
  const shown = open ?? wanted;
  wanted = null;
  if (shown && pictures.has(shown)) await look(shown, false);
}

/**
 * Options of a select that read as their values.
 * @param {string[]} values
 * @returns {Choice[]}
 */
const options = values => values.map(each => [each, each]);

/**
 * The option of a label, whose title has the whole of it.
 * @param {string} label
 * @returns {Choice}
 */
const named = label => [label, inSentence(label), label];

/** @param {ModelDetail["reliance"]} reliance */
function trusted({ calibrated, knows_strangers }) {
  if (!calibrated) return "Not calibrated";
  return knows_strangers ? "Calibrated, and knows strangers" : "Calibrated";
}

/**
 * How often it is right on its test pictures; where these are few, with the 95 % interval.
 * @param {NonNullable<ModelDetail["card"]["metrics"]>} metrics
 */
function right(metrics) {
  const { test_accuracy: once, test_accuracy_with_second_look: served } = metrics;
  const { test_pictures: count, test_accuracy_95_low: low, test_accuracy_95_high: high } = metrics;
  const accuracy = served ?? once;
  if (accuracy === undefined) return "";
  const many = count === undefined ? "" : `${count.toLocaleString("en")} `;
  const said = `, ${percent(accuracy)} right on its ${many}test pictures`;
  if (count === undefined || count >= FEW || low === undefined || high === undefined) return said;
  return `${said} (of ever more, ${percent(low)} to ${percent(high)} with 95 % confidence)`;
}

/** @param {Model} model */
function describe({ name, labels, detail: { card, reliance } }) {
  const classes = `${labels.slice(0, 12).map(inSentence).join(", ")}${labels.length > 12 ? ", …" : ""}`;
  document.title = `${name} · Fanlight`;
  byId("facts").textContent =
    `${labels.length} classes: ${classes}. ${card.parameters.toLocaleString("en")} parameters${right(card.metrics ?? {})}.`;
  byId("reliance").textContent = trusted(reliance);
  byId("reliance-words").textContent = reliance.description;
  byId("expects").textContent = reliance.expects;
  byId("samples").replaceChildren(
    ...samples(labels).map(([name, draw]) => {
      const canvas = draw();
      const made = element("button", "sample", canvas, name);
      made.addEventListener("click", () =>
        canvas.toBlob(blob => blob && add([{ name: `${name}.png`, blob }])),
      );
      return made;
    }),
  );
  drawing.ground(onDark(labels));
  byId("drawing", HTMLDetailsElement).open = card.input.channels === 1;
}

async function useOther() {
  const signal = comparing();
  other = null;
  if (view.compare) other = await describedBy(view.compare, "", signal);
}

/** @param {Given[]} given */
async function add(given) {
  tell(null);
  const [first, second] = await pictures.add(given);
  if (!first || second || open) return;
  if (first.prediction) await look(first, false);
  else if (!first.error) wanted = first;
}

/** @type {Picture | null} */
let drawnPicture = null;
/** @type {Blob | null} */
let drawnBlob = null;
let drawingBusy = false;

/**
 * Classify a drawing; of those that come meanwhile, only the last.
 * @param {Blob | null} blob null for none
 */
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
    } else [drawnPicture = null] = await pictures.add([{ name: "drawing.png", blob: next }]);
  }
  drawingBusy = false;
}

/**
 * Look into a picture, or into none.
 * @param {Picture | null} picture
 */
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
  await show(open).catch(tell);
}

const both = () => [model, other].filter(each => each !== null);

/**
 * @param {Model} model
 * @param {Picture} picture
 * @param {AbortSignal} signal
 */
const question = (model, picture, signal) => ({
  model,
  picture,
  signal,
  method: select.method.value,
  target: model.labels.includes(view.target) ? view.target : "",
});

/** @param {Picture} picture */
async function show(picture) {
  const signal = looked;
  const inside = byId("inside");
  inside.setAttribute("aria-busy", "true");
  if (columns.length !== both().length) columns = both().map(answer);
  byId("answers").replaceChildren(...columns.map(each => each.place));
  fade();
  try {
    const [first, ...others] = both().map((each, i) => ({ model: each, column: columns[i] }));
    if (!first) return;
    const [input] = await Promise.all([
      first.column?.fill(question(first.model, picture, signal), picture.prediction),
      ...others.map(({ model, column }) =>
        column?.fill(question(model, picture, signal), null).catch(column.fail),
      ),
    ]);
    signal.throwIfAborted();
    if (!input) return;
    const shown = layers.show({ model: first.model, picture, input, signal });
    inside.removeAttribute("aria-busy");
    await Promise.all([shown, showHeat(), showLayer()]);
  } finally {
    if (signal === looked) inside.removeAttribute("aria-busy");
  }
}

async function showLayer(jump = false) {
  if (open) await layers.open(view.layer, view.channel, jump);
}

async function showHeat() {
  const signal = heating(looked);
  const picture = open;
  if (!picture) return;
  const asked = both().map((each, i) => columns[i]?.explain(question(each, picture, signal)));
  await Promise.all(asked);
}

function fade() {
  for (const each of columns) each.fade(opacity.valueAsNumber / 100);
}

function close() {
  const back = open?.button;
  look(null);
  back?.focus();
}

/**
 * Change the view when another option of a select is chosen.
 * @param {keyof typeof select} name
 * @param {() => Promise<void>} show
 * @param {Partial<View>} values what changes as well
 */
function listen(name, show, values = {}) {
  select[name].addEventListener("change", () => {
    change({ ...values, [name]: select[name].value }, show);
  });
}

listen("model", useModel, { version: "", layer: "", channel: "", target: "" });
listen("version", useModel);
listen("compare", async () => {
  await useOther();
  if (open) await look(open, false);
});
listen("method", showHeat);
listen("target", showHeat);
opacity.addEventListener("input", fade);
byId("close").addEventListener("click", close);
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && open) close();
});
keyForm.addEventListener("submit", event => {
  event.preventDefault();
  useKey(keyForm.querySelector("input")?.value ?? "");
  keyForm.hidden = true;
  start().catch(tell);
});
addEventListener("popstate", () => {
  const before = { ...view };
  Object.assign(view, address.read());
  if (
    view.model !== before.model ||
    view.version !== before.version ||
    view.compare !== before.compare
  ) {
    start().catch(tell);
    return;
  }
  showMethod();
  select.target.value = view.target;
  Promise.all([showHeat(), showLayer()]).catch(tell);
});
receive(add);
camera(add, tell);
start().catch(tell);
