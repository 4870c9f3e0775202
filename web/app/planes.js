/** Blurs, gradients and other sizes of planes of numbers. */

import { areaTaps } from "./resize.js";

/**
 * Weights of a Gaussian of 2 reach + 1 pixels.
 *
 * @param {number} reach
 * @param {number} sigma
 * @returns {Float32Array}
 */
export function gaussian(reach, sigma) {
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma)));
  const sum = weights.reduce((a, b) => a + b, 0);
  return Float32Array.from(weights, (weight) => weight / sum);
}

/**
 * Weights of a Gaussian, as wide as OpenCV makes it for fractions.
 *
 * @param {number} sigma
 * @returns {Float32Array}
 */
export function wideGaussian(sigma) {
  return gaussian(Math.round(8 * sigma + 1) >> 1, sigma);
}

/**
 * The index of a pixel, mirrored beyond the border.
 *
 * @param {number} index
 * @param {number} length
 * @returns {number}
 */
export function mirror(index, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const place = Math.abs(index) % period;
  return place < length ? place : period - place;
}

/**
 * A plane blurred along both axes, mirrored beyond the border.
 *
 * @param {Float32Array} plane
 * @param {number} width
 * @param {number} height
 * @param {Float32Array} kernel symmetric, of an odd length
 * @returns {Float32Array}
 */
export function blur(plane, width, height, kernel) {
  const reach = kernel.length >> 1;
  const rows = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const start = y * width;
    for (let x = 0; x < width; x++) {
      let sum = 0;
      if (x >= reach && x < width - reach) {
        const i = start + x;
        sum = kernel[reach] * plane[i];
        for (let k = 1; k <= reach; k++) sum += kernel[reach + k] * (plane[i - k] + plane[i + k]);
      } else {
        for (let k = 0; k < kernel.length; k++) {
          sum += kernel[k] * plane[start + mirror(x + k - reach, width)];
        }
      }
      rows[start + x] = sum;
    }
  }
  const result = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const out = result.subarray(y * width, (y + 1) * width);
    const middle = kernel[reach];
    for (let x = 0; x < width; x++) out[x] = middle * rows[y * width + x];
    for (let k = 1; k <= reach; k++) {
      const weight = kernel[reach + k];
      const above = mirror(y - k, height) * width;
      const below = mirror(y + k, height) * width;
      for (let x = 0; x < width; x++) out[x] += weight * (rows[above + x] + rows[below + x]);
    }
  }
  return result;
}

/**
 * The gradients per pixel of a plane (Scharr's filter), mirrored beyond the border.
 *
 * @param {Float32Array} plane
 * @param {number} width
 * @param {number} height
 * @param {Float32Array} right where those to the right are written
 * @param {Float32Array} down where those down are written
 */
export function gradients(plane, width, height, right, down) {
  for (let y = 0, i = 0; y < height; y++) {
    const up = mirror(y - 1, height) * width;
    const here = y * width;
    const low = mirror(y + 1, height) * width;
    for (let x = 0; x < width; x++, i++) {
      const before = x > 0 ? x - 1 : mirror(-1, width);
      const after = x < width - 1 ? x + 1 : mirror(width, width);
      const a = plane[up + before], b = plane[up + after];
      const c = plane[low + before], d = plane[low + after];
      right[i] = (3 * (b - a + d - c) + 10 * (plane[here + after] - plane[here + before])) / 32;
      down[i] = (3 * (c - a + d - b) + 10 * (plane[low + x] - plane[up + x])) / 32;
    }
  }
}

/**
 * A plane at a smaller size, by means over areas.
 *
 * @param {Float32Array} plane
 * @param {number} width
 * @param {number} height
 * @param {number} toWidth
 * @param {number} toHeight
 * @returns {Float32Array}
 */
export function shrinkPlane(plane, width, height, toWidth, toHeight) {
  const [across, down] = [areaTaps(width, toWidth), areaTaps(height, toHeight)];
  const rows = new Float32Array(toWidth * height);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < toWidth; x++, o++) {
      const start = y * width + across.starts[x];
      for (let k = 0; k < across.counts[x]; k++) {
        rows[o] += across.weights[x * across.most + k] * plane[start + k];
      }
    }
  }
  const result = new Float32Array(toWidth * toHeight);
  for (let y = 0; y < toHeight; y++) {
    for (let k = 0; k < down.counts[y]; k++) {
      const weight = down.weights[y * down.most + k];
      const from = (down.starts[y] + k) * toWidth;
      for (let x = 0; x < toWidth; x++) result[y * toWidth + x] += weight * rows[from + x];
    }
  }
  return result;
}

/**
 * A plane at another size, by linear interpolation.
 *
 * @param {Float32Array} plane
 * @param {number} width
 * @param {number} height
 * @param {number} toWidth
 * @param {number} toHeight
 * @param {number} [top] of the first row of the result
 * @param {number} [bottom] of its last row, not included
 * @returns {Float32Array}
 */
export function enlargePlane(plane, width, height, toWidth, toHeight, top = 0, bottom = toHeight) {
  const result = new Float32Array(toWidth * (bottom - top));
  const clip = (place, length) => Math.min(Math.max(place, 0), length - 1);
  const columns = Float32Array.from({ length: toWidth }, (_, x) =>
    clip(((x + 0.5) * width) / toWidth - 0.5, width));
  for (let y = top, o = 0; y < bottom; y++) {
    const v = clip(((y + 0.5) * height) / toHeight - 0.5, height);
    const above = Math.floor(v) * width;
    const below = Math.min(Math.floor(v) + 1, height - 1) * width;
    const fy = v - Math.floor(v);
    for (let x = 0; x < toWidth; x++, o++) {
      const u = columns[x];
      const left = u | 0;
      const right = left < width - 1 ? left + 1 : left;
      const fx = u - left;
      const upper = plane[above + left] + fx * (plane[above + right] - plane[above + left]);
      const lower = plane[below + left] + fx * (plane[below + right] - plane[below + left]);
      result[o] = upper + fy * (lower - upper);
    }
  }
  return result;
}

/**
 * A plane looked up where a motion points, linearly; places beyond the border are of the last one.
 *
 * @param {Float32Array|Uint8ClampedArray} plane
 * @param {Float32Array} right the motion in pixels
 * @param {Float32Array} down
 * @param {number} width
 * @param {number} height
 * @returns {Float32Array}
 */
export function samplePlane(plane, right, down, width, height) {
  const result = new Float32Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const u = Math.min(Math.max(x + right[i], 0), width - 1);
      const v = Math.min(Math.max(y + down[i], 0), height - 1);
      const x0 = u | 0, y0 = v | 0;
      const at = y0 * width + x0;
      const beside = x0 < width - 1 ? 1 : 0;
      const below = y0 < height - 1 ? width : 0;
      const above = plane[at] + (u - x0) * (plane[at + beside] - plane[at]);
      const low = plane[at + below] + (u - x0) * (plane[at + below + beside] - plane[at + below]);
      result[i] = above + (v - y0) * (low - above);
    }
  }
  return result;
}
