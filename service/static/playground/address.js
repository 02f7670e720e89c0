// The view in the page's address: a view can be shared, and the back button works.

/** A view in which nothing is chosen. */
const EMPTY = {
  model: "",
  version: "",
  compare: "",
  method: "",
  target: "",
  layer: "",
  channel: "",
};
const NAMES = /** @type {(keyof View)[]} */ (Object.keys(EMPTY));

/** @typedef {typeof EMPTY} View */

/**
 * The view that a query tells.
 * @param {string} query
 * @returns {View}
 */
export function parse(query) {
  const given = new URLSearchParams(query);
  const view = { ...EMPTY };
  for (const name of NAMES) view[name] = given.get(name) ?? "";
  return view;
}

/**
 * The query of a view, with its question mark; empty where nothing is chosen.
 * @param {View} view
 */
export function format(view) {
  const query = new URLSearchParams(
    NAMES.filter(name => view[name] !== "").map(name => [name, view[name]]),
  );
  return query.size ? `?${query}` : "";
}

export const read = () => parse(location.search);

/**
 * Write the view; `step` makes it a place that the back button returns to.
 * @param {View} view
 */
export function write(view, step = false) {
  const query = format(view);
  if (query === location.search) return;
  history[step ? "pushState" : "replaceState"](null, "", `${location.pathname}${query}`);
}
