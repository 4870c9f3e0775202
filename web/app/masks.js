/** Finds the people of a photo by the face parser, along the photo's edges. */

import { toTensor } from "./draw.js";
import { enlargePlane } from "./planes.js";
import { resizeArea, resizeLinear, roundEven } from "./resize.js";

const SIDE = 256; // px of the longer side that the network sees
const MULTIPLE = 32; // of its height and width
const GUIDE_SIDE = 512; // px of the longer side at which edges are refined
const RADIUS = 4; // px of the guided filter at that size
const FLATNESS = 9; // square of the least difference in CIELAB that is an edge

/**
 * @typedef {{data: Float32Array, width: number, height: number}} Mask 0 to 1
 * @param {import("./resize.js").Pixels} photo
 * @param {(tensor: Float32Array, shape: number[]) => Promise<Float32Array>} run the parser
 * @returns {Promise<Mask>} of the people, with a longer side of 512 px
 */
export async function findPeople(photo, run) {
  const small = scaleTo(photo, SIDE);
  const width = Math.ceil(small.width / MULTIPLE) * MULTIPLE;
  const height = Math.ceil(small.height / MULTIPLE) * MULTIPLE;
  const found = await run(toTensor(small, width, height), [1, 3, height, width]);
  const person = cropPlane(found, width, small.width, small.height); // the first of the classes
  const guide = scaleTo(photo, GUIDE_SIDE);
  const coarse = enlargePlane(person, small.width, small.height, guide.width, guide.height);
  return { ...refine(guide, coarse), width: guide.width, height: guide.height };
}

function scaleTo(photo, side) {
  const factor = side / Math.max(photo.width, photo.height);
  const width = Math.max(1, roundEven(photo.width * factor));
  const height = Math.max(1, roundEven(photo.height * factor));
  return (factor < 1 ? resizeArea : resizeLinear)(photo, width, height);
}

function cropPlane(plane, stride, width, height) {
  const part = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    part.set(plane.subarray(y * stride, y * stride + width), y * width);
  }
  return part;
}

/** A mask moved to the edges of its guide (He et al., "Guided image filtering", PAMI 2013). */
function refine(guide, mask) {
  const { width, height } = guide;
  const mean = (plane) => boxMean(plane, width, height, RADIUS);
  const times = (a, b) => mean(a.map((value, i) => value * b[i]));
  const lab = toLab(guide);
  const means = lab.map(mean);
  const maskMean = mean(mask);
  const shared = lab.map((plane) => times(plane, mask));
  const pairs = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]];
  const spread = pairs.map(([a, b]) => times(lab[a], lab[b]));
  const slopes = [0, 1, 2].map(() => new Float32Array(mask.length));
  const offset = new Float32Array(mask.length);
  for (let i = 0; i < mask.length; i++) {
    const s = pairs.map(([a, b], n) =>
      spread[n][i] - means[a][i] * means[b][i] + (a === b ? FLATNESS : 0));
    const wanted = shared.map((plane, c) => plane[i] - means[c][i] * maskMean[i]);
    const solved = solve(s, wanted);
    offset[i] = maskMean[i];
    for (let c = 0; c < 3; c++) {
      slopes[c][i] = solved[c];
      offset[i] -= solved[c] * means[c][i];
    }
  }
  const smooth = slopes.map(mean);
  const refined = mean(offset);
  for (let i = 0; i < mask.length; i++) {
    for (let c = 0; c < 3; c++) refined[i] += smooth[c][i] * lab[c][i];
    refined[i] = Math.min(Math.max(refined[i], 0), 1);
  }
  return { data: refined };
}

/** Solves a symmetric system of three equations by Cramer's rule. */
function solve([a, b, c, d, e, f], [x, y, z]) {
  const [A, B, C] = [d * f - e * e, c * e - b * f, b * e - c * d];
  const [D, E, F] = [a * f - c * c, b * c - a * e, a * d - b * b];
  const det = a * A + b * B + c * C;
  return [A * x + B * y + C * z, B * x + D * y + E * z, C * x + E * y + F * z].map((v) => v / det);
}

/** Means over squares of 2 radius + 1 pixels, mirrored beyond the border. */
function boxMean(plane, width, height, radius) {
  const side = 2 * radius + 1;
  const at = (index, length) => {
    if (index < 0) return Math.min(-index - 1, length - 1);
    return index < length ? index : Math.max(0, 2 * length - 1 - index);
  };
  const rows = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const row = plane.subarray(y * width, (y + 1) * width);
    let sum = 0;
    for (let k = -radius; k <= radius; k++) sum += row[at(k, width)];
    for (let x = 0; x < width; x++) {
      rows[y * width + x] = sum / side;
      sum += row[at(x + radius + 1, width)] - row[at(x - radius, width)];
    }
  }
  const result = new Float32Array(plane.length);
  const sums = new Float64Array(width);
  const add = (y, sign) => {
    const start = at(y, height) * width;
    for (let x = 0; x < width; x++) sums[x] += sign * rows[start + x];
  };
  for (let k = -radius; k <= radius; k++) add(k, 1);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) result[y * width + x] = sums[x] / side;
    add(y + radius + 1, 1);
    add(y - radius, -1);
  }
  return result;
}

const LINEAR = Float32Array.from({ length: 256 }, (_, i) => {
  const value = i / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
});

/** Three planes of CIELAB, L from 0 to 100. */
function toLab({ data, width, height }) {
  const count = width * height;
  const [L, A, B] = [0, 0, 0].map(() => new Float32Array(count));
  const curve = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [LINEAR[data[4 * i]], LINEAR[data[4 * i + 1]], LINEAR[data[4 * i + 2]]];
    const x = curve((0.412453 * r + 0.35758 * g + 0.180423 * b) / 0.950456);
    const y = curve(0.212671 * r + 0.71516 * g + 0.072169 * b);
    const z = curve((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754);
    L[i] = 116 * y - 16;
    A[i] = 500 * (x - y);
    B[i] = 200 * (y - z);
  }
  return [L, A, B];
}
