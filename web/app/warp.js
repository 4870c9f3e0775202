/** Crops of faces, upright, and drawings pasted back by the same matrix. */

import { covered, invert, offsetMatrix, scaledMatrix, scaleOf } from "./geometry.js";
import { mirror } from "./planes.js";
import { cropPixels, makePixels, resizeLanczos, roundEven } from "./resize.js";

const FINER = 1.25; // how much finer than the drawn image a source is left
const FRACTIONS = 32; // places per pixel at which the filter is known
const TAPS = 8;
const TABLE = makeTable();

/** Lanczos' filter over 8 pixels, for each fraction of a pixel. */
function makeTable() {
  const table = new Float32Array(FRACTIONS * TAPS);
  const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  for (let f = 0; f < FRACTIONS; f++) {
    const taps = Array.from({ length: TAPS }, (_, i) => {
      const x = f / FRACTIONS + 3 - i;
      return Math.abs(x) < 4 ? sinc(x) * sinc(x / 4) : 0;
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    taps.forEach((tap, i) => (table[f * TAPS + i] = tap / sum));
  }
  return table;
}

/**
 * An image whose pixel p is that at `toSource` p of another one.
 *
 * A source that comes out smaller is scaled down first, so that nothing aliases.
 *
 * @param {import("./resize.js").Pixels} pixels
 * @param {import("./geometry.js").Matrix} toSource
 * @param {number} width
 * @param {number} height
 * @returns {import("./resize.js").Pixels} mirrored beyond the border
 */
export function warp(pixels, toSource, width, height) {
  const step = scaleOf(toSource);
  let matrix = toSource;
  let source = pixels;
  if (step > FINER) {
    const w = Math.max(1, roundEven((pixels.width * FINER) / step));
    const h = Math.max(1, roundEven((pixels.height * FINER) / step));
    source = resizeLanczos(pixels, w, h);
    const [sx, sy] = [w / pixels.width, h / pixels.height];
    const [a, b, c, d, e, f] = matrix;
    matrix = [a * sx, b * sx, c * sx + (sx - 1) / 2, d * sy, e * sy, f * sy + (sy - 1) / 2];
  }
  const result = makePixels(width, height);
  const columns = new Int32Array(TAPS);
  const rows = new Int32Array(TAPS);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, o += 4) {
      const u = Math.round((matrix[0] * x + matrix[1] * y + matrix[2]) * FRACTIONS);
      const v = Math.round((matrix[3] * x + matrix[4] * y + matrix[5]) * FRACTIONS);
      place(u, source.width, 4, columns);
      place(v, source.height, 4 * source.width, rows);
      filter(source.data, columns, rows, (u & 31) * TAPS, (v & 31) * TAPS, result.data, o);
    }
  }
  return result;
}

/** Offsets of the 8 pixels around a place, which is counted in fractions. */
function place(at, length, stride, offsets) {
  const first = (at >> 5) - 3;
  if (first >= 0 && first + TAPS <= length) {
    for (let i = 0; i < TAPS; i++) offsets[i] = (first + i) * stride;
  } else {
    for (let i = 0; i < TAPS; i++) offsets[i] = mirror(first + i, length) * stride;
  }
}

/** One pixel: the sum over 8 x 8 pixels, by the weights of both directions. */
function filter(data, columns, rows, across, down, out, o) {
  let red = 0, green = 0, blue = 0;
  for (let j = 0; j < TAPS; j++) {
    let r = 0, g = 0, b = 0;
    for (let i = 0; i < TAPS; i++) {
      const at = rows[j] + columns[i];
      const weight = TABLE[across + i];
      r += weight * data[at];
      g += weight * data[at + 1];
      b += weight * data[at + 2];
    }
    const weight = TABLE[down + j];
    red += weight * r;
    green += weight * g;
    blue += weight * b;
  }
  out[o] = red;
  out[o + 1] = green;
  out[o + 2] = blue;
  out[o + 3] = 255;
}

/**
 * A square of a photo under a matrix, mirrored beyond the border.
 *
 * @param {import("./resize.js").Pixels} photo
 * @param {import("./geometry.js").Matrix} matrix photo -> crop
 * @param {number} size px a side
 * @returns {import("./resize.js").Pixels|null} null if it lies wholly outside of the photo
 */
export function cut(photo, matrix, size) {
  const { width, height } = photo;
  let [x0, y0, x1, y1] = covered(matrix, size, width, height);
  if (x0 >= x1 || y0 >= y1) return null;
  const margin = 8 + Math.ceil(8 / scaleOf(matrix));
  [x0, y0] = [Math.max(x0 - margin, 0), Math.max(y0 - margin, 0)];
  [x1, y1] = [Math.min(x1 + margin, width), Math.min(y1 + margin, height)];
  const part = cropPixels(photo, x0, y0, x1, y1);
  return warp(part, invert(offsetMatrix(matrix, x0, y0)), size, size);
}

/**
 * Pastes the drawing of a crop where the crop was taken from; changes the canvas.
 *
 * @param {import("./resize.js").Pixels} canvas
 * @param {import("./geometry.js").Matrix} matrix photo -> crop
 * @param {number} size px a side of the crop
 * @param {import("./resize.js").Pixels} toon square
 * @param {number} feather over which part of the way from edge to center the toon fades in
 */
export function pasteInto(canvas, matrix, size, toon, feather) {
  const scaled = scaledMatrix(matrix, toon.width / size);
  const [x0, y0, x1, y1] = covered(scaled, toon.width, canvas.width, canvas.height);
  if (x0 >= x1 || y0 >= y1) return;
  const local = offsetMatrix(scaled, x0, y0);
  const width = x1 - x0;
  const over = warp(toon, local, width, y1 - y0);
  const half = toon.width / 2;
  const unit = [...local];
  unit[2] -= half - 0.5;
  unit[5] -= half - 0.5;
  for (let y = 0, i = 0; y < y1 - y0; y++) {
    let o = ((y + y0) * canvas.width + x0) * 4;
    for (let x = 0; x < width; x++, i += 4, o += 4) {
      const across = (unit[0] * x + unit[1] * y + unit[2]) / half;
      const down = (unit[3] * x + unit[4] * y + unit[5]) / half;
      const fromCenter = Math.sqrt(Math.sqrt((across * across) ** 2 + (down * down) ** 2));
      const inside = Math.min(Math.max((1 - fromCenter) / feather, 0), 1);
      const weight = inside * inside * (3 - 2 * inside);
      if (weight === 0) continue;
      for (let c = 0; c < 3; c++) {
        canvas.data[o + c] += weight * (over.data[i + c] - canvas.data[o + c]);
      }
    }
  }
}
