/**
 * Morphs a photo into its drawing along the motion between them.
 *
 * A drawing moves features (larger eyes, slimmer jaw), so a plain cross-fade shows them twice. Here
 * both are first warped to the shape in between. The motion is measured by Lucas and Kanade's
 * method on a pyramid, and smoothed where it is not certain.
 */

import { enlargePlane } from "./masks.js";
import { blur, eachSlope, gaussian } from "./planes.js";
import { fitSize, makePixels, resizeArea } from "./resize.js";

const SIDE = 256; // px of the longer side at which motion is measured
const LEVELS = 3; // below it, each half as large
const ROUNDS = 4;
const WINDOW = gaussian(6, 3);
const FLAT = 0.02; // slopes below this say nothing of a motion

/**
 * @param {import("./resize.js").Pixels} photo
 * @param {import("./resize.js").Pixels} toon of the same size
 * @param {number} strength 0 (the photo) to 1 (the toon)
 * @returns {import("./resize.js").Pixels}
 */
export function morph(photo, toon, strength) {
  if (strength >= 1) return toon;
  if (strength <= 0) return photo;
  const { width, height } = photo;
  const there = findMotion(photo, toon);
  const result = makePixels(width, height);
  const across = enlargePlane(there.right, there.width, there.height, width, height);
  const down = enlargePlane(there.down, there.width, there.height, width, height);
  const scale = width / there.width;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const [u, v] = [across[i] * scale, down[i] * scale];
      // A place in between comes from a little behind in the photo, and ahead in the drawing.
      const from = lookup(photo, x - u * strength, y - v * strength);
      const to = lookup(toon, x + u * (1 - strength), y + v * (1 - strength));
      for (let c = 0; c < 3; c++) {
        result.data[4 * i + c] = from[c] + strength * (to[c] - from[c]);
      }
      result.data[4 * i + 3] = 255;
    }
  }
  return result;
}

const found = [new Float32Array(3), new Float32Array(3)];
let turn = 0;

/** A color between four pixels; valid until the next but one call. */
function lookup({ data, width, height }, x, y) {
  x = Math.min(Math.max(x, 0), width - 1);
  y = Math.min(Math.max(y, 0), height - 1);
  const [x0, y0] = [Math.floor(x), Math.floor(y)];
  const [fx, fy] = [x - x0, y - y0];
  const a = (y0 * width + x0) * 4;
  const right = x0 < width - 1 ? 4 : 0;
  const below = y0 < height - 1 ? 4 * width : 0;
  const color = found[(turn ^= 1)];
  for (let c = 0; c < 3; c++) {
    const above = data[a + c] + fx * (data[a + right + c] - data[a + c]);
    const low = data[a + below + c] + fx * (data[a + below + right + c] - data[a + below + c]);
    color[c] = above + fy * (low - above);
  }
  return color;
}

/** Where in the drawing the places of the photo lie: moves in pixels of a small field. */
function findMotion(photo, toon) {
  const [width, height] = fitSize(photo.width, photo.height, SIDE);
  const there = track(shapes(photo, width, height), shapes(toon, width, height), width, height);
  const back = track(shapes(toon, width, height), shapes(photo, width, height), width, height);
  const trust = new Float32Array(width * height);
  const side = Math.max(width, height);
  const backRight = sample(back.right, there, width, height);
  const backDown = sample(back.down, there, width, height);
  for (let i = 0; i < trust.length; i++) {
    const [u, v] = [there.right[i], there.down[i]];
    const missed = (u + backRight[i]) ** 2 + (v + backDown[i]) ** 2;
    const near = u * u + v * v < (0.08 * side) ** 2;
    trust[i] = near ? Math.exp(-missed / (2 * (0.006 * side) ** 2)) : 0;
  }
  const kernel = gaussian(10, 0.015 * side);
  const weight = blur(trust, width, height, kernel);
  const calm = (plane) => blur(plane.map((value, i) => value * trust[i]), width, height, kernel)
    .map((value, i) => value / (weight[i] + 0.05));
  return { width, height, right: calm(there.right), down: calm(there.down) };
}

/** Pyramid of light with its local contrast evened out, so that shapes are compared. */
function shapes(pixels, width, height) {
  const small = resizeArea(pixels, width, height);
  let plane = new Float32Array(width * height);
  for (let i = 0; i < plane.length; i++) {
    const [r, g, b] = small.data.subarray(4 * i, 4 * i + 3);
    plane[i] = (0.299 * r + 0.587 * g + 0.114 * b) / 255;
  }
  plane = blur(plane, width, height, gaussian(3, 1));
  const wide = gaussian(20, 10);
  const mean = blur(plane, width, height, wide);
  const square = blur(plane.map((value) => value * value), width, height, wide);
  return plane.map((value, i) =>
    (value - mean[i]) / (Math.sqrt(Math.max(square[i] - mean[i] ** 2, 0)) + 0.03));
}

/** Motion from one plane to another, coarse to fine. */
function track(from, to, width, height) {
  let motion = null;
  for (let level = LEVELS; level >= 0; level--) {
    const w = Math.max(16, Math.round(width / 2 ** level));
    const h = Math.max(16, Math.round(height / 2 ** level));
    const [a, b] = [from, to].map((plane) => shrink(plane, width, height, w, h, level));
    motion = motion ? enlarge(motion, w, h) : {
      width: w, height: h, right: new Float32Array(w * h), down: new Float32Array(w * h),
    };
    for (let round = 0; round < ROUNDS; round++) follow(a, b, motion);
  }
  return motion;
}

function shrink(plane, width, height, w, h, level) {
  const smooth = level ? blur(plane, width, height, gaussian(3 * level, 0.6 * 2 ** level)) : plane;
  return enlargePlane(smooth, width, height, w, h);
}

function enlarge({ width, height, right, down }, w, h) {
  const grow = (plane, factor) =>
    enlargePlane(plane, width, height, w, h).map((value) => value * factor);
  return { width: w, height: h, right: grow(right, w / width), down: grow(down, h / height) };
}

/** A plane looked up where the motion points. */
function sample(plane, { right, down }, width, height) {
  const result = new Float32Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const u = Math.min(Math.max(x + right[i], 0), width - 1.001);
      const v = Math.min(Math.max(y + down[i], 0), height - 1.001);
      const at = Math.floor(v) * width + Math.floor(u);
      const [fx, fy] = [u % 1, v % 1];
      const above = plane[at] + fx * (plane[at + 1] - plane[at]);
      const low = plane[at + width] + fx * (plane[at + width + 1] - plane[at + width]);
      result[i] = above + fy * (low - above);
    }
  }
  return result;
}

/** One round of Lucas and Kanade's method: changes the motion. */
function follow(from, to, motion) {
  const { width, height, right, down } = motion;
  const moved = sample(to, motion, width, height);
  const [xx, xy, yy, xt, yt] = [0, 0, 0, 0, 0].map(() => new Float32Array(from.length));
  eachSlope(moved, width, height, (i, dx, dy) => {
    const change = moved[i] - from[i];
    xx[i] = dx * dx;
    xy[i] = dx * dy;
    yy[i] = dy * dy;
    xt[i] = dx * change;
    yt[i] = dy * change;
  });
  const [a, b, d, p, q] = [xx, xy, yy, xt, yt].map((part) => blur(part, width, height, WINDOW));
  for (let i = 0; i < from.length; i++) {
    const [A, D] = [a[i] + FLAT, d[i] + FLAT];
    const det = A * D - b[i] * b[i];
    right[i] -= (D * p[i] - b[i] * q[i]) / det;
    down[i] -= (A * q[i] - b[i] * p[i]) / det;
  }
}
