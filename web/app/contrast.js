/** Contrast evened out place by place (CLAHE). */

import { mirror } from "./planes.js";

const TILES = 4; // along each side
const LIMIT = 2; // of how often a brightness may count, in parts of the mean

/**
 * Evens out the local contrast of a gray image, as OpenCV does (Zuiderveld 1994, "Contrast Limited
 * Adaptive Histogram Equalization").
 *
 * @param {Uint8ClampedArray} gray row by row
 * @param {number} width
 * @param {number} height
 * @returns {Uint8ClampedArray}
 */
export function evenContrast(gray, width, height) {
  const whole = width % TILES === 0 && height % TILES === 0;
  const [w, h] = [width, height].map((side) =>
    (whole ? side : side + TILES - (side % TILES)) / TILES);
  const tables = [];
  for (let row = 0; row < TILES; row++) {
    for (let column = 0; column < TILES; column++) {
      const counts = new Int32Array(256);
      for (let y = row * h; y < (row + 1) * h; y++) {
        const start = mirror(y, height) * width;
        for (let x = column * w; x < (column + 1) * w; x++) {
          counts[gray[start + mirror(x, width)]]++;
        }
      }
      tables.push(equalize(counts, w * h));
    }
  }
  return interpolate(gray, width, height, tables, w, h);
}

/** The brightness that each one becomes. @returns {Uint8ClampedArray} */
function equalize(counts, total) {
  const limit = Math.max(Math.trunc((LIMIT * total) / 256), 1);
  let excess = 0;
  for (let i = 0; i < 256; i++) {
    excess += Math.max(counts[i] - limit, 0);
    counts[i] = Math.min(counts[i], limit);
  }
  let rest = excess % 256;
  const step = Math.max(Math.trunc(256 / rest), 1);
  for (let i = 0; i < 256 && rest > 0; i += step, rest--) counts[i]++;
  const table = new Uint8ClampedArray(256);
  for (let i = 0, sum = 0; i < 256; i++) {
    sum += counts[i] + Math.trunc(excess / 256);
    table[i] = (sum * 255) / total;
  }
  return table;
}

/** Each pixel by the tables of the four tiles around it. */
function interpolate(gray, width, height, tables, w, h) {
  const around = (place, side) => {
    const tile = place / side - 0.5;
    const first = Math.floor(tile);
    return [Math.max(first, 0), Math.min(first + 1, TILES - 1), tile - first];
  };
  const columns = Array.from({ length: width }, (_, x) => around(x, w));
  const result = new Uint8ClampedArray(gray.length);
  for (let y = 0, i = 0; y < height; y++) {
    const [top, low, fy] = around(y, h);
    for (let x = 0; x < width; x++, i++) {
      const [left, right, fx] = columns[x];
      const value = gray[i];
      const a = tables[top * TILES + left][value], b = tables[top * TILES + right][value];
      const c = tables[low * TILES + left][value], d = tables[low * TILES + right][value];
      result[i] = (a + fx * (b - a)) * (1 - fy) + (c + fx * (d - c)) * fy;
    }
  }
  return result;
}
