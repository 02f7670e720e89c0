// Pictures to begin with, drawn here.

function canvas(ground) {
  const made = document.createElement("canvas");
  made.width = made.height = 128;
  const pen = made.getContext("2d");
  pen.fillStyle = ground;
  pen.fillRect(0, 0, 128, 128);
  pen.lineCap = pen.lineJoin = "round";
  return [made, pen];
}

function strokes(ground, ink, width, ...lines) {
  const [made, pen] = canvas(ground);
  pen.strokeStyle = ink;
  pen.lineWidth = width;
  for (const line of lines) {
    pen.beginPath();
    for (const [x, y] of line) pen.lineTo(x, y);
    pen.stroke();
  }
  return made;
}

function circle() {
  const [made, pen] = canvas("#fff");
  pen.lineWidth = 8;
  pen.ellipse(64, 64, 40, 36, 0.3, 0, 7);
  pen.stroke();
  return made;
}

function zero() {
  const [made, pen] = canvas("#000");
  pen.strokeStyle = "#fff";
  pen.lineWidth = 13;
  pen.ellipse(64, 64, 26, 40, 0.15, 0, 7);
  pen.stroke();
  return made;
}

function filled(ground, ink, ...shapes) {
  const [made, pen] = canvas(ground[0]);
  const sky = pen.createLinearGradient(0, 0, 0, 128);
  ground.forEach((each, i) => sky.addColorStop(i / Math.max(1, ground.length - 1), each));
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 128, 128);
  for (const [colour, ...points] of shapes.map((each) => [ink, ...each])) {
    pen.fillStyle = colour;
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(x, y);
    pen.fill();
  }
  return made;
}

const plane = () => filled(["#4f86c6", "#bcd6ee"], "#eef1f4",
  [[8, 62], [20, 56], [104, 54], [120, 62], [104, 70], [20, 68]],
  [[70, 58], [42, 16], [54, 16], [90, 58]], [[70, 66], [44, 108], [56, 108], [90, 66]],
  [[16, 58], [6, 38], [14, 38], [30, 58]]);

function bird() {
  const [made, pen] = canvas("#6f8f4e");
  pen.fillStyle = "#6b4a2b";
  pen.beginPath();
  pen.ellipse(62, 72, 34, 22, -0.35, 0, 7);
  pen.fill();
  pen.beginPath();
  for (const [x, y] of [[38, 78], [4, 104], [16, 84], [34, 68]]) pen.lineTo(x, y);
  pen.fill();
  pen.fillStyle = "#8a6238";
  pen.beginPath();
  pen.ellipse(90, 48, 15, 14, 0, 0, 7);
  pen.fill();
  pen.fillStyle = "#e0a030";
  pen.beginPath();
  for (const [x, y] of [[103, 44], [120, 50], [102, 54]]) pen.lineTo(x, y);
  pen.fill();
  pen.fillStyle = "#111";
  pen.fillRect(93, 43, 4, 4);
  pen.strokeStyle = "#3b2c1c";
  pen.lineWidth = 3;
  for (const x of [56, 70]) {
    pen.beginPath();
    pen.moveTo(x, 92);
    pen.lineTo(x, 114);
    pen.stroke();
  }
  return made;
}

const CLOTHES = [
  ["a shirt", () => filled(["#000"], "#cfcfcf", [[46, 16], [82, 16], [118, 40], [108, 58], [92, 48], [92, 114], [36, 114], [36, 48], [20, 58], [10, 40]])],
  ["trousers", () => filled(["#000"], "#b5b5b5", [[40, 10], [88, 10], [94, 118], [72, 118], [64, 44], [56, 118], [34, 118]])],
];
const DIGITS = [
  ["a seven", () => strokes("#000", "#fff", 13, [[36, 32], [92, 32], [58, 100]])],
  ["a zero", zero],
];
const SIGNS = [["a cross", () => strokes("#fff", "#000", 8, [[30, 26], [98, 102]], [[96, 28], [32, 100]])], ["a circle", circle]];
const ANIMALS = [["a plane", plane], ["a bird", bird]];

/** Names and canvases that suit a model with those labels. */
export function samples(labels) {
  const all = [[["crosses"], SIGNS], [["7"], DIGITS], [["Trouser", "trouser"], CLOTHES], [["bird", "airplane"], ANIMALS]];
  const suiting = all.find(([words]) => words.some((word) => labels.includes(word)));
  const chosen = suiting ? suiting[1] : [SIGNS[0], DIGITS[0], ...ANIMALS];
  return chosen.map(([name, draw]) => [name, draw()]);
}

/** Whether pictures of these labels are light on dark. */
export const onDark = (labels) => labels.includes("7") || labels.some((each) => /trouser/i.test(each));
