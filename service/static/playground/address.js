// What is looked at, kept in the address: a view can be shared, and the back button works.

const NAMES = ["model", "version", "compare", "method", "target", "layer", "channel"];

export function read() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
}

/** Write the state; `step` makes it a place that the back button returns to. */
export function write(state, step = false) {
  const query = new URLSearchParams(NAMES.filter((n) => state[n] !== "").map((n) => [n, state[n]]));
  const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
  if (address === location.pathname + location.search) return;
  history[step ? "pushState" : "replaceState"](null, "", address);
}
