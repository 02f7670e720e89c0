// Elements of the page. Text that comes from elsewhere only ever becomes text, never markup.

export const byId = (id) => document.getElementById(id);

/** An element with properties, `class` and attributes (with a hyphen or `role`), and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** The classes and their probabilities, as a list of bars. */
export function bars(top) {
  return element("ul", { class: "bars" }, ...top.map(({ label, score }) => {
    const fill = element("div", { class: "fill" });
    fill.style.width = `${100 * score}%`;
    return element("li", {},
      element("span", {}, label),
      element("div", { class: "track" }, fill),
      element("span", { class: "number" }, percent(score)));
  }));
}

export const percent = (score) => `${(100 * score).toFixed(1)} %`;

export const short = (value) =>
  value === null ? "not finite" : Math.abs(value) >= 1000 || (value && Math.abs(value) < 0.001)
    ? value.toExponential(1) : value.toFixed(3);

export const shape = (sides) => sides.join(" × ");

/**
 * Make the buttons of a container one stop for the tab key, between which the arrows move; call
 * what it returns whenever the buttons were made anew.
 */
export function rove(container) {
  const all = () => [...container.querySelectorAll("button")];
  const stop = (chosen) => all().forEach((each) => { each.tabIndex = each === chosen ? 0 : -1; });
  container.addEventListener("focusin", (event) => stop(event.target.closest("button")));
  container.addEventListener("keydown", (event) => {
    const buttons = all(), now = document.activeElement, at = buttons.indexOf(now);
    const below = (each) => each.offsetLeft === now.offsetLeft && each.offsetTop > now.offsetTop;
    const above = (each) => each.offsetLeft === now.offsetLeft && each.offsetTop < now.offsetTop;
    const next = {
      ArrowRight: () => buttons[at + 1], ArrowLeft: () => buttons[at - 1], Home: () => buttons[0], End: () => buttons.at(-1),
      ArrowDown: () => buttons.find(below), ArrowUp: () => buttons.findLast(above),
    }[event.key]?.();
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return () => stop(all()[0]);
}

/** Options of a select; keeps the value if it is still among them. */
export function offer(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => element("option", { value: key }, text)));
  select.value = options.some(([key]) => key === value) ? value : options[0]?.[0] ?? "";
}
