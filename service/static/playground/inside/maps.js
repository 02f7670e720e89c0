// Maps of numbers on canvases.

import { colour, heat, level } from "./colours.js";

/** @param {HTMLCanvasElement} canvas */
export function penOf(canvas) {
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("This browser can't draw on a canvas.");
  return pen;
}

/**
 * Draw rows of values on a canvas, one pixel a value.
 * @param {HTMLCanvasElement} canvas
 * @param {Value[][]} rows
 * @param {(value: Value, i: number) => Quad} colourOf RGB and opacity
 */
function paint(canvas, rows, colourOf) {
  canvas.width = rows[0]?.length ?? 1;
  canvas.height = rows.length;
  const pen = penOf(canvas);
  const picture = pen.createImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, i) => {
    picture.data.set(colourOf(value, i), 4 * i);
  });
  pen.putImageData(picture, 0, 0);
}

/**
 * Draw a map: darkest at `least`, lightest at `most`.
 * @param {HTMLCanvasElement} canvas
 * @param {Value[][]} rows
 * @param {[number, number]} range least, most
 * @param {boolean} coloured
 */
export function drawMap(canvas, rows, [least, most], coloured) {
  paint(canvas, rows, value => [...colour(level(value, least, most), coloured), 255]);
}

/**
 * Draw pixels of 0 to 255, (C, H, W), of one channel or three.
 * @param {HTMLCanvasElement} canvas
 * @param {Maps} channels
 */
export function drawPixels(canvas, channels) {
  const [red = [], green = red, blue = red] = channels.map(channel => channel.flat());
  paint(canvas, channels[0] ?? [], (_, i) => [red[i] ?? 0, green[i] ?? 0, blue[i] ?? 0, 255]);
}

/**
 * A heat map as a canvas: the larger a value, the more opaque; red above 0, blue below it.
 * @param {Value[][]} rows
 * @param {number} largest the absolute value that is opaque
 */
export function heatLayer(rows, largest) {
  const canvas = document.createElement("canvas");
  paint(canvas, rows, value => heat(value, largest));
  return canvas;
}
