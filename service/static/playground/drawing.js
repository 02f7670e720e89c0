// A pad to draw on, by pointer or keys; it tells of the picture after each stroke.

import { byId } from "./elements.js";

const STEP = 8; // pixels that an arrow key moves the pen

/** Start the pad; `changed` gets a blob after each stroke, or null when nothing is left. */
export function pad(changed) {
  const canvas = byId("pad"), width = byId("pen"), dark = byId("dark");
  const context = canvas.getContext("2d");
  let strokes = [], current = null, usual = false, keys = { x: 140, y: 140, down: false, seen: false };

  function draw() {
    context.fillStyle = dark.checked ? "#000" : "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.strokeStyle = dark.checked ? "#fff" : "#000";
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.lineWidth = stroke.width;
      context.beginPath();
      for (const [x, y] of stroke.points) context.lineTo(x, y);
      if (stroke.points.length === 1) context.lineTo(stroke.points[0][0] + 0.1, stroke.points[0][1]);
      context.stroke();
    }
  }

  function mark() {
    draw();
    if (!keys.seen) return;
    context.strokeStyle = "#c9781f";
    context.lineWidth = 2;
    context.beginPath();
    context.arc(keys.x, keys.y, width.value / 2 + 2, 0, 7);
    context.stroke();
  }

  function tell() {
    draw();
    if (!strokes.length) changed(null);
    else canvas.toBlob(changed);
    mark();
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const begin = (point) => strokes.push((current = { width: Number(width.value), points: [point] }));

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    Object.assign(keys, { down: false, seen: false });
    begin(place(event));
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
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
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return undo();
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (event.key === " ") {
      keys.down = !keys.down;
      if (keys.down) begin([keys.x, keys.y]);
      current = keys.down ? current : null;
    } else if (!dx && !dy) return;
    event.preventDefault();
    keys.seen = true;
    keys.x = Math.max(0, Math.min(canvas.width, keys.x + STEP * dx));
    keys.y = Math.max(0, Math.min(canvas.height, keys.y + STEP * dy));
    if (keys.down) current.points.push([keys.x, keys.y]);
    if (event.key === " " && !keys.down) tell();
    else mark();
    byId("pen-state").textContent = `pen ${keys.down ? "down" : "up"} at ${keys.x}, ${keys.y}`;
  });
  canvas.addEventListener("blur", () => {
    if (keys.down) tell();
    keys = { ...keys, down: false, seen: false };
    current = null;
    draw();
  });
  const undo = () => { strokes.pop(); tell(); };
  byId("undo").addEventListener("click", undo);
  byId("clear").addEventListener("click", () => { strokes = []; tell(); });
  dark.addEventListener("change", tell);
  draw();
  return {
    /** The ground that suits a model; where it is that of the one before, a person's choice stays. */
    ground(isDark) {
      if (isDark === usual) return;
      dark.checked = usual = isDark;
      if (strokes.length) tell();
      else draw();
    },
  };
}
