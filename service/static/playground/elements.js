// Elements of the page. Text that comes from elsewhere only ever becomes text, never markup.

/**
 * The step (x, y) of each arrow key.
 * @type {Record<string, Pair>}
 */
export const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * @template {HTMLElement} T
 * @overload
 * @param {string} id
 * @param {{ new (): T }} type
 * @returns {T}
 */
/**
 * @overload
 * @param {string} id
 * @returns {HTMLElement}
 */
/**
 * The element with that id, which is of that class; raises an Error where there is none.
 * @param {string} id
 * @param {{ new (): HTMLElement }} type
 */
export function byId(id, type = HTMLElement) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} with id ${id}.`);
  return found;
}

/**
 * An element with children, and with its class, or with properties, `class` and attributes (with a
 * hyphen or `role`). Buttons submit no form.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string | Record<string, string | number | boolean>} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  if (made instanceof HTMLButtonElement) made.type = "button";
  const named = typeof properties === "string" ? { class: properties } : properties;
  for (const [name, value] of Object.entries(named)) {
    if (name === "class") made.className = String(value);
    else if (name.includes("-") || name === "role") made.setAttribute(name, String(value));
    else Reflect.set(made, name, value);
  }
  made.append(...children);
  return made;
}

/**
 * Make the buttons of a container one stop for the tab key; arrow keys move between them. Call the
 * function that it returns whenever the buttons were made anew.
 * @param {HTMLElement} container
 */
export function rove(container) {
  const all = () => [...container.querySelectorAll("button")];
  const stop = (/** @type {Element | null | undefined} */ chosen) => {
    for (const each of all()) each.tabIndex = each === chosen ? 0 : -1;
  };
  container.addEventListener("focusin", ({ target }) => {
    if (target instanceof Element) stop(target.closest("button"));
  });
  container.addEventListener("keydown", event => {
    const now = document.activeElement;
    const next = now instanceof HTMLButtonElement && neighbour(event.key, all(), now);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return () => stop(all()[0]);
}

/**
 * The button that a key moves to.
 * @param {string} key
 * @param {HTMLButtonElement[]} buttons
 * @param {HTMLButtonElement} now
 */
function neighbour(key, buttons, now) {
  const at = buttons.indexOf(now);
  const column = buttons.filter(each => each.offsetLeft === now.offsetLeft);
  const level = column.indexOf(now);
  return new Map([
    ["ArrowRight", buttons[at + 1]],
    ["ArrowLeft", buttons[at - 1]],
    ["ArrowDown", column[level + 1]],
    ["ArrowUp", column[level - 1]],
    ["Home", buttons[0]],
    ["End", buttons.at(-1)],
  ]).get(key);
}

/**
 * Fill a select with options; chooses `value` if it is among them, else the first.
 * @param {HTMLSelectElement} select
 * @param {Choice[]} options
 * @param {string} value
 */
export function offer(select, options, value) {
  select.replaceChildren(
    ...options.map(([key, text, title = ""]) => element("option", { value: key, title }, text)),
  );
  select.value = options.some(([key]) => key === value) ? value : (options[0]?.[0] ?? "");
}
