/**
 * Optical flow: where the places of one image lie in another.
 *
 * Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", with the settings of
 * OpenCV's medium preset, so that motions are those of the library. Overlapping patches are
 * followed from coarse to fine, their motions averaged, and the field refined.
 *
 * @typedef {{right: Float32Array, down: Float32Array}} Motion in pixels, row by row
 * @typedef {{width: number, height: number, from: Uint8ClampedArray, to: Uint8ClampedArray,
 *   wide: Uint8ClampedArray, across: Int16Array, steep: Int16Array}} Level
 *   wide: `to` with a border; across and steep: the gradients of `from`
 */

import { refineFlow } from "./flow_refinement.js";
import { enlargePlane, mirror, shrinkPlane } from "./planes.js";

const PATCH = 8; // px a side
const STRIDE = 3; // px between patches
const DESCENTS = 12; // steps of a patch in each of two rounds
const STRIPES = 8; // rows of patches between which motions do not spread
const BORDER = 16; // px around an image in which patches may lie
const MARGIN = 0.001;

/**
 * @param {Uint8ClampedArray} from gray, row by row
 * @param {Uint8ClampedArray} to of the same size
 * @param {number} width at least 16
 * @param {number} height at least 16
 * @returns {Motion}
 */
export function findFlow(from, to, width, height) {
  const levels = makePyramid(from, to, width, height);
  const { width: w, height: h } = levels.at(-1);
  let motion = { right: new Float32Array(w * h), down: new Float32Array(w * h) };
  for (let i = levels.length - 1; i >= 0; i--) {
    const level = levels[i];
    const grid = new PatchGrid(level);
    grid.search(motion);
    motion = refineFlow(level, grid.densify());
    const next = levels[i - 1] ?? { width, height };
    motion = enlargeMotion(motion, level, next);
  }
  return motion;
}

/** The images at a half of their size and below. @returns {Level[]} */
function makePyramid(from, to, width, height) {
  const byLonger = Math.trunc(Math.log2(Math.max(width, height) / (4 * PATCH)) + 0.5);
  const byShorter = Math.trunc(Math.log2(Math.trunc(Math.min(width, height) / PATCH)));
  const count = Math.max(1, Math.min(byLonger, byShorter));
  const levels = [];
  let last = { width, height, from, to };
  for (let i = 0; i < count; i++) {
    const [w, h] = [last.width >> 1, last.height >> 1];
    const half = (plane) =>
      Uint8ClampedArray.from(shrinkPlane(plane, last.width, last.height, w, h), Math.round);
    last = makeLevel(half(last.from), half(last.to), w, h);
    levels.push(last);
  }
  return levels;
}

/** @returns {Level} */
function makeLevel(from, to, width, height) {
  const [across, steep] = [0, 0].map(() => new Int16Array(width * height));
  for (let y = 0, i = 0; y < height; y++) {
    const [up, here, low] = [-1, 0, 1].map((step) => mirror(y + step, height) * width);
    for (let x = 0; x < width; x++, i++) { // Sobel's filter
      const before = mirror(x - 1, width), after = mirror(x + 1, width);
      across[i] = from[up + after] - from[up + before] + from[low + after] - from[low + before]
        + 2 * (from[here + after] - from[here + before]);
      steep[i] = from[low + before] - from[up + before] + from[low + after] - from[up + after]
        + 2 * (from[low + x] - from[up + x]);
    }
  }
  const stride = width + 2 * BORDER;
  const wide = new Uint8ClampedArray(stride * (height + 2 * BORDER));
  const clip = (place, length) => Math.min(Math.max(place - BORDER, 0), length - 1);
  for (let y = 0, o = 0; y < height + 2 * BORDER; y++) {
    const row = clip(y, height) * width;
    for (let x = 0; x < stride; x++, o++) wide[o] = to[row + clip(x, width)];
  }
  return { width, height, from, to, wide, across, steep };
}

function enlargeMotion({ right, down }, { width, height }, next) {
  const grow = (plane) => enlargePlane(plane, width, height, next.width, next.height)
    .map((value) => 2 * value);
  return { right: grow(right), down: grow(down) };
}

/** Overlapping patches of a level, each with a motion of its own. */
class PatchGrid {
  /** @param {Level} level */
  constructor(level) {
    this.level = level;
    this.columns = 1 + Math.trunc((level.width - PATCH) / STRIDE);
    this.rows = 1 + Math.trunc((level.height - PATCH) / STRIDE);
    const count = this.columns * this.rows;
    this.right = new Float32Array(count);
    this.down = new Float32Array(count);
    this.step = new Float64Array(2); // by which the compared patch should move
  }

  /** Follows all patches, beginning at a coarser level's motion. @param {Motion} motion */
  search(motion) {
    const stripe = Math.ceil(this.rows / STRIPES);
    for (let top = 0; top < this.rows; top += stripe) {
      const bottom = Math.min(top + stripe, this.rows);
      for (let row = top; row < bottom; row++) {
        for (let column = 0; column < this.columns; column++) {
          const at = row * this.columns + column;
          const [x, y] = [column, row].map((place) => place * STRIDE + PATCH / 2); // its middle
          this.right[at] = motion.right[y * this.level.width + x];
          this.down[at] = motion.down[y * this.level.width + x];
          this.follow(row, column, column > 0, row > top, -1);
        }
      }
      for (let row = bottom - 1; row >= top; row--) {
        for (let column = this.columns - 1; column >= 0; column--) {
          this.follow(row, column, column < this.columns - 1, row < bottom - 1, 1);
        }
      }
    }
  }

  /** Moves a patch from the best of its own and its neighbors' motions to where it fits. */
  follow(row, column, hasBeside, hasAbove, way) {
    const at = row * this.columns + column;
    const [x, y] = [column * STRIDE, row * STRIDE];
    let least = this.compare(x, y, this.right[at], this.down[at]);
    const neighbors = [hasBeside && at + way, hasAbove && at + way * this.columns];
    for (const other of neighbors) {
      if (other === false) continue;
      const difference = this.compare(x, y, this.right[other], this.down[other]);
      if (difference >= least) continue;
      least = difference;
      this.right[at] = this.right[other];
      this.down[at] = this.down[other];
    }
    const { xx, xy, yy, sumX, sumY } = this.measure(x, y);
    let det = xx * yy - xy * xy;
    if (Math.abs(det) < MARGIN) det = MARGIN;
    let [u, v, last] = [this.right[at], this.down[at], Infinity];
    for (let i = 0; i < DESCENTS; i++) {
      const difference = this.compare(x, y, u, v, sumX, sumY);
      const [p, q] = this.step;
      u -= (yy * p - xy * q) / det;
      v -= (xx * q - xy * p) / det;
      if (difference >= last) break;
      last = difference;
    }
    if (Math.hypot(u - this.right[at], v - this.down[at]) > PATCH) return; // it got lost
    this.right[at] = u;
    this.down[at] = v;
  }

  /** Sums of the gradients of a patch, of their squares and products. */
  measure(x, y) {
    const { width, across, steep } = this.level;
    let xx = 0, xy = 0, yy = 0, sumX = 0, sumY = 0;
    for (let j = 0; j < PATCH; j++) {
      for (let i = 0, at = (y + j) * width + x; i < PATCH; i++, at++) {
        const [dx, dy] = [across[at], steep[at]];
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
        sumX += dx;
        sumY += dy;
      }
    }
    return { xx, xy, yy, sumX, sumY };
  }

  /**
   * The squared difference of a patch to where it is moved, apart from their brightness.
   *
   * @param {number} x @param {number} y its upper left pixel
   * @param {number} u @param {number} v its motion
   * @param {number} [sumX] of its gradients to the right; @param {number} [sumY] and down
   */
  compare(x, y, u, v, sumX = 0, sumY = 0) {
    const { width, height, from, wide, across, steep } = this.level;
    const low = BORDER - PATCH + 1;
    const left = Math.min(Math.max(x + u + BORDER, low), BORDER + width - 1);
    const top = Math.min(Math.max(y + v + BORDER, low), BORDER + height - 1);
    const x0 = Math.floor(left), y0 = Math.floor(top);
    const fx = left - x0, fy = top - y0;
    const wd = fx * fy, wb = fx - wd, wc = fy - wd, wa = 1 - fx - wc;
    const stride = width + 2 * BORDER;
    let sum = 0, squares = 0, p = 0, q = 0;
    for (let j = 0; j < PATCH; j++) {
      let at = (y + j) * width + x;
      for (let i = 0, to = (y0 + j) * stride + x0; i < PATCH; i++, at++, to++) {
        const difference = wa * wide[to] + wb * wide[to + 1] + wc * wide[to + stride]
          + wd * wide[to + stride + 1] - from[at];
        sum += difference;
        squares += difference * difference;
        p += difference * across[at];
        q += difference * steep[at];
      }
    }
    const mean = sum / (PATCH * PATCH);
    this.step[0] = p - mean * sumX;
    this.step[1] = q - mean * sumY;
    return squares - sum * mean;
  }

  /** Motions of all pixels: means over their patches, by how well these fit. @returns {Motion} */
  densify() {
    const { width, height, from } = this.level;
    const [right, down] = [0, 0].map(() => new Float32Array(width * height));
    const first = (place, last) =>
      Math.min(Math.max(Math.ceil((place - PATCH + 1) / STRIDE), 0), last);
    for (let y = 0, i = 0; y < height; y++) {
      const low = Math.min(Math.trunc(y / STRIDE), this.rows - 1);
      for (let x = 0; x < width; x++, i++) {
        const end = Math.min(Math.trunc(x / STRIDE), this.columns - 1);
        let total = 0, sumU = 0, sumV = 0;
        for (let row = first(y, low); row <= low; row++) {
          for (let column = first(x, end); column <= end; column++) {
            const u = this.right[row * this.columns + column];
            const v = this.down[row * this.columns + column];
            const weight = 1 / Math.max(1, Math.abs(this.lookup(x + u, y + v) - from[i]));
            total += weight;
            sumU += weight * u;
            sumV += weight * v;
          }
        }
        right[i] = sumU / total;
        down[i] = sumV / total;
      }
    }
    return { right, down };
  }

  /** The brightness of a place in the other image. */
  lookup(x, y) {
    const { width, height, to } = this.level;
    x = Math.min(Math.max(x, 0), width - 1 - MARGIN);
    y = Math.min(Math.max(y, 0), height - 1 - MARGIN);
    const x0 = x | 0, y0 = y | 0;
    const at = y0 * width + x0;
    const above = to[at] + (x - x0) * (to[at + 1] - to[at]);
    const below = to[at + width] + (x - x0) * (to[at + width + 1] - to[at + width]);
    return above + (y - y0) * (below - above);
  }
}
