// Pictures to begin with, drawn here. Shapes are SVG paths on a square of 128 pixels.

import { penOf } from "./inside/maps.js";

const SIDE = 128; // pixels

/** @param {string} ground */
function canvas(ground) {
  const made = document.createElement("canvas");
  made.width = made.height = SIDE;
  const pen = penOf(made);
  pen.fillStyle = ground;
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.lineCap = pen.lineJoin = "round";
  return { made, pen };
}

/**
 * @param {string} ground
 * @param {string} ink
 * @param {number} width pixels
 * @param {string} path
 */
function strokes(ground, ink, width, path) {
  const { made, pen } = canvas(ground);
  pen.strokeStyle = ink;
  pen.lineWidth = width;
  pen.stroke(new Path2D(path));
  return made;
}

/**
 * @param {string} ground
 * @param {string} ink
 * @param {number} width pixels
 * @param {[across: number, down: number, turn: number]} ellipse pixels, and radians
 */
function ring(ground, ink, width, ellipse) {
  const { made, pen } = canvas(ground);
  pen.strokeStyle = ink;
  pen.lineWidth = width;
  pen.ellipse(SIDE / 2, SIDE / 2, ...ellipse, 0, 7);
  pen.stroke();
  return made;
}

/**
 * @param {string} ink
 * @param {string} path
 */
function clothes(ink, path) {
  const { made, pen } = canvas("#000");
  pen.fillStyle = ink;
  pen.fill(new Path2D(path));
  return made;
}

function plane() {
  const { made, pen } = canvas("#4f86c6");
  const sky = pen.createLinearGradient(0, 0, 0, SIDE);
  sky.addColorStop(0, "#4f86c6");
  sky.addColorStop(1, "#bcd6ee");
  pen.fillStyle = sky;
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.fillStyle = "#eef1f4";
  for (const part of [
    "M8 62 20 56 104 54 120 62 104 70 20 68", // body
    "M70 58 42 16 54 16 90 58", // wings
    "M70 66 44 108 56 108 90 66",
    "M16 58 6 38 14 38 30 58", // tail
  ])
    pen.fill(new Path2D(part));
  return made;
}

function bird() {
  const { made, pen } = canvas("#6f8f4e");
  pen.fillStyle = "#6b4a2b";
  pen.beginPath();
  pen.ellipse(62, 72, 34, 22, -0.35, 0, 7);
  pen.fill();
  pen.fill(new Path2D("M38 78 4 104 16 84 34 68")); // tail
  pen.fillStyle = "#8a6238";
  pen.beginPath();
  pen.ellipse(90, 48, 15, 14, 0, 0, 7);
  pen.fill();
  pen.fillStyle = "#e0a030";
  pen.fill(new Path2D("M103 44 120 50 102 54")); // beak
  pen.fillStyle = "#111";
  pen.fillRect(93, 43, 4, 4);
  pen.strokeStyle = "#3b2c1c";
  pen.lineWidth = 3;
  pen.stroke(new Path2D("M56 92V114M70 92V114")); // legs
  return made;
}

const SHIRT = "M46 16H82L118 40 108 58 92 48V114H36V48L20 58 10 40";
const TROUSERS = "M40 10H88L94 118H72L64 44 56 118H34";
/** @type {Sample} */
const CROSS = ["a cross", () => strokes("#fff", "#000", 8, "M30 26 98 102M96 28 32 100")];
/** @type {Sample} */
const SEVEN = ["a seven", () => strokes("#000", "#fff", 13, "M36 32H92L58 100")];
/** @type {Sample[]} */
const ANIMALS = [
  ["a plane", plane],
  ["a bird", bird],
];
/**
 * Samples, and the labels of models that they suit.
 * @type {{ labels: string[], samples: Sample[] }[]}
 */
const SUITING = [
  {
    labels: ["crosses"],
    samples: [CROSS, ["a circle", () => ring("#fff", "#000", 8, [40, 36, 0.3])]],
  },
  { labels: ["7"], samples: [SEVEN, ["a zero", () => ring("#000", "#fff", 13, [26, 40, 0.15])]] },
  {
    labels: ["Trouser", "trouser"],
    samples: [
      ["a shirt", () => clothes("#cfcfcf", SHIRT)],
      ["trousers", () => clothes("#b5b5b5", TROUSERS)],
    ],
  },
  { labels: ["bird", "airplane"], samples: ANIMALS },
];

/**
 * The samples that suit a model with those labels; some of each kind where none does.
 * @param {string[]} labels
 * @returns {Sample[]}
 */
export function samples(labels) {
  const suiting = SUITING.find(each => each.labels.some(label => labels.includes(label)));
  return suiting?.samples ?? [CROSS, SEVEN, ...ANIMALS];
}

/**
 * Whether pictures of these labels are light on dark.
 * @param {string[]} labels
 */
export const onDark = labels => labels.includes("7") || labels.some(each => /trouser/i.test(each));
