// How far a long answer is, and a button that gives it up.

import { element } from "../elements.js";

const PATIENCE = 400; // milliseconds before it is shown: most answers are quicker
const STEP = 25; // percent between two that a screen reader says

/**
 * How much is done, in percent, in steps that are worth saying.
 * @param {Progress} progress
 */
export const milestone = ({ done, of }) => STEP * Math.floor((100 * done) / of / STEP);

/**
 * A place on the page for one answer at a time.
 * @param {string} what is awaited, such as “heat map”
 * @param {() => void} leave where the focus goes when the button that has it vanishes
 */
export function waiting(what, leave) {
  const bar = element("progress", { max: 1, "aria-label": `Progress of the ${what}` });
  const said = element("span", { class: "quiet", role: "status" });
  const button = element("button");
  const place = element("div", { class: "waiting", hidden: true }, said, bar, button);
  let pressed = () => {};
  let runs = 0; // of which the last is shown
  let timer = 0;
  button.addEventListener("click", () => pressed());

  function hide() {
    clearTimeout(timer);
    const left = document.activeElement === button;
    place.hidden = true;
    if (left) leave();
  }

  return {
    place,
    /**
     * Wait for an answer, in place of the one before.
     * @param {() => void} cancel gives it up
     */
    begin(cancel) {
      runs += 1;
      const run = runs;
      clearTimeout(timer);
      bar.value = 0;
      bar.hidden = false;
      button.textContent = "Cancel";
      pressed = cancel;
      const show = () => {
        said.textContent = `Making the ${what} …`;
        place.hidden = false;
      };
      if (place.hidden) timer = window.setTimeout(show, PATIENCE);
      else show();
      return {
        /** @param {Progress} progress */
        told(progress) {
          if (run !== runs) return;
          bar.value = progress.done / progress.of;
          const percent = milestone(progress);
          const text = `Making the ${what}: ${percent} %`;
          if (percent && !place.hidden && said.textContent !== text) said.textContent = text;
        },
        /** The answer is there, or why there is none. */
        end() {
          if (run === runs) hide();
        },
        /**
         * It was given up by the button, which now asks again.
         * @param {() => void} again
         */
        cancelled(again) {
          if (run !== runs) return;
          clearTimeout(timer);
          said.textContent = `The ${what} was cancelled.`;
          bar.hidden = true;
          button.textContent = `Make the ${what}`;
          pressed = again;
        },
      };
    },
  };
}
