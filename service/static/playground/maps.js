// Numbers → canvases.

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export function range(values) {
  let least = Infinity, most = -Infinity;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

/** A colour of the scale for a level in 0..1. */
function colour(level, coloured) {
  if (!coloured) return [255 * level, 255 * level, 255 * level];
  const place = Math.min(level * (VIRIDIS.length - 1), VIRIDIS.length - 1.001);
  const [from, to] = [VIRIDIS[Math.floor(place)], VIRIDIS[Math.floor(place) + 1]];
  return from.map((each, i) => each + (to[i] - each) * (place % 1));
}

/** A map, rows of values, on a canvas of as many pixels; darkest at `least`, lightest at `most`. */
export function drawMap(canvas, rows, [least, most], coloured) {
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, i) => {
    const level = most > least ? Math.max(0, Math.min(1, ((value ?? least) - least) / (most - least))) : 0;
    picture.data.set([...colour(level, coloured), 255], 4 * i);
  });
  context.putImageData(picture, 0, 0);
}

/** Pixels 0 to 255 as (C, H, W). */
export function drawPixels(canvas, channels) {
  const [height, width] = [channels[0].length, channels[0][0].length];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (c) => channels[Math.min(c, channels.length - 1)][y][x];
      picture.data.set([at(0), at(1), at(2), 255], 4 * (y * width + x));
    }
  }
  context.putImageData(picture, 0, 0);
}

/** Heat as a canvas of its size: the stronger the more opaque, red for and blue against. */
export function heatLayer(rows, largest) {
  const canvas = document.createElement("canvas");
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, i) => {
    const ink = value >= 0 ? [178, 24, 43] : [33, 102, 172];
    picture.data.set([...ink, 255 * Math.min(1, Math.abs(value) / (largest || 1))], 4 * i);
  });
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** The background of a cell in a table of numbers. */
export function tint(value, largest) {
  const strength = Math.min(1, Math.abs(value) / (largest || 1)) * 0.55;
  return value >= 0 ? `rgb(201 120 31 / ${strength})` : `rgb(33 102 172 / ${strength})`;
}
