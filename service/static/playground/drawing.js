// A pad to draw on, by pointer or keys.

import { ARROWS, byId } from "./elements.js";
import { penOf } from "./inside/maps.js";

const STEP = 8; // pixels that an arrow key moves the pen

/** @param {(blob: Blob | null) => void} changed gets the drawing after a stroke, null for none */
export function pad(changed) {
  const canvas = byId("pad", HTMLCanvasElement);
  const width = byId("pen", HTMLInputElement);
  const dark = byId("dark", HTMLInputElement);
  const pen = penOf(canvas);
  const keys = { x: 140, y: 140, down: false, seen: false }; // the pen that keys move
  /** @type {Stroke[]} */
  let strokes = [];
  /** @type {Stroke | null} */
  let current = null; // the stroke that is being drawn
  let usual = false; // whether the model's pictures are light on dark

  function draw() {
    pen.fillStyle = dark.checked ? "#000" : "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.strokeStyle = dark.checked ? "#fff" : "#000";
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of strokes) {
      pen.lineWidth = stroke.width;
      pen.beginPath();
      for (const [x, y] of stroke.points) pen.lineTo(x, y);
      const [only, second] = stroke.points;
      if (only && !second) pen.lineTo(only[0] + 0.1, only[1]);
      pen.stroke();
    }
  }

  function mark() {
    draw();
    if (!keys.seen) return;
    pen.strokeStyle = "#c9781f";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(keys.x, keys.y, width.valueAsNumber / 2 + 2, 0, 7);
    pen.stroke();
  }

  function tell() {
    draw();
    if (!strokes.length) changed(null);
    else canvas.toBlob(changed);
    mark();
  }

  function undo() {
    strokes.pop();
    tell();
  }

  /**
   * @param {MouseEvent} event
   * @returns {Pair}
   */
  const place = event => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };

  /** @param {Pair} point */
  function begin(point) {
    current = { width: width.valueAsNumber, points: [point] };
    strokes.push(current);
  }

  canvas.addEventListener("pointerdown", event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    Object.assign(keys, { down: false, seen: false });
    begin(place(event));
    draw();
  });
  canvas.addEventListener("pointermove", event => {
    if (!current || keys.down) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) current.points.push(place(each));
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (current && !keys.down) {
        current = null;
        tell();
      }
    });
  }
  canvas.addEventListener("keydown", event => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      undo();
      return;
    }
    const arrow = ARROWS[event.key];
    if (event.key === " ") {
      keys.down = !keys.down;
      if (keys.down) begin([keys.x, keys.y]);
      else current = null;
    } else if (!arrow) return;
    const [dx, dy] = arrow ?? [0, 0];
    event.preventDefault();
    keys.seen = true;
    keys.x = Math.max(0, Math.min(canvas.width, keys.x + STEP * dx));
    keys.y = Math.max(0, Math.min(canvas.height, keys.y + STEP * dy));
    if (keys.down) current?.points.push([keys.x, keys.y]);
    if (event.key === " " && !keys.down) tell();
    else mark();
    byId("pen-state").textContent = `pen ${keys.down ? "down" : "up"} at ${keys.x}, ${keys.y}`;
  });
  canvas.addEventListener("blur", () => {
    if (keys.down) tell();
    Object.assign(keys, { down: false, seen: false });
    current = null;
    draw();
  });
  byId("undo").addEventListener("click", undo);
  byId("clear").addEventListener("click", () => {
    strokes = [];
    tell();
  });
  dark.addEventListener("change", tell);
  draw();
  return {
    /**
     * Take the ground that suits a model. The person's choice stays where the last model had the
     * same ground.
     * @param {boolean} isDark
     */
    ground(isDark) {
      if (isDark === usual) return;
      dark.checked = usual = isDark;
      if (strokes.length) tell();
      else draw();
    },
  };
}
