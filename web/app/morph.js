/**
 * Morphs a photo into its drawing along the motion between them.
 *
 * A drawing moves features (larger eyes, slimmer jaw), so a plain cross-fade shows them twice. Here
 * both are first warped to the shape in between.
 */

import { evenContrast } from "./contrast.js";
import { findFlow } from "./flow.js";
import { blur, enlargePlane, samplePlane, wideGaussian } from "./planes.js";
import { fitSize, makePixels, resizeArea } from "./resize.js";

const SIDE = 512; // px of the longer side at which motion is measured
const NARROW = 16; // px below which nothing is warped
// A Gaussian with a sigma of 1, in the 256ths in which OpenCV counts.
const SOFT = Float32Array.of(1, 14, 62, 102, 62, 14, 1).map((weight) => weight / 256);
const BAND_PIXELS = 500_000;

/**
 * @param {import("./resize.js").Pixels} photo
 * @param {import("./resize.js").Pixels} toon of the same size
 * @param {number} strength 0 (the photo) to 1 (the toon)
 * @param {() => Promise<void>} [pause] awaited between bands; may throw to stop
 * @returns {Promise<import("./resize.js").Pixels>}
 */
export async function morph(photo, toon, strength, pause = async () => {}) {
  if (strength >= 1) return toon;
  if (strength <= 0) return photo;
  const { width, height } = photo;
  const flows = findFlows(photo, toon);
  const result = makePixels(width, height);
  const rows = Math.max(1, Math.floor(BAND_PIXELS / width));
  for (let top = 0; top < height; top += rows) {
    await pause();
    const bottom = Math.min(top + rows, height);
    const back = flows && scaleMotion(flows.back, flows, photo, top, bottom, strength);
    const there = flows && scaleMotion(flows.there, flows, photo, top, bottom, 1 - strength);
    for (let y = top, i = 0, o = 4 * top * width; y < bottom; y++) {
      for (let x = 0; x < width; x++, i++, o += 4) {
        const from = lookup(photo, x + (back?.right[i] ?? 0), y + (back?.down[i] ?? 0), FROM);
        const to = lookup(toon, x + (there?.right[i] ?? 0), y + (there?.down[i] ?? 0), TO);
        for (let c = 0; c < 3; c++) result.data[o + c] = from[c] + strength * (to[c] - from[c]);
        result.data[o + 3] = 255;
      }
    }
  }
  return result;
}

/** Rows of a motion at the size of an image. */
function scaleMotion({ right, down }, small, { width, height }, top, bottom, factor) {
  const grow = (plane, scale) =>
    enlargePlane(plane, small.width, small.height, width, height, top, bottom)
      .map((value) => value * scale * factor);
  return { right: grow(right, width / small.width), down: grow(down, height / small.height) };
}

const [FROM, TO] = [new Float32Array(3), new Float32Array(3)];
const [ACROSS, DOWN] = [new Float32Array(4), new Float32Array(4)];

/** Weights of the four pixels around a fraction, by the cubic of OpenCV. */
function weigh(t, weights) {
  const A = -0.75;
  const u = 1 - t;
  weights[0] = A * t * u * u;
  weights[1] = ((A + 2) * t - (A + 3)) * t * t + 1;
  weights[2] = ((A + 2) * u - (A + 3)) * u * u + 1;
  weights[3] = A * u * t * t;
}

/** Writes the color at a place into `color`; beyond the border it is that of the last pixel. */
function lookup({ data, width, height }, x, y, color) {
  const [x0, y0] = [Math.floor(x), Math.floor(y)];
  color.fill(0);
  weigh(x - x0, ACROSS);
  weigh(y - y0, DOWN);
  for (let j = 0; j < 4; j++) {
    const row = clip(y0 + j - 1, height) * width;
    for (let k = 0; k < 4; k++) {
      const at = 4 * (row + clip(x0 + k - 1, width));
      const weight = DOWN[j] * ACROSS[k];
      color[0] += weight * data[at];
      color[1] += weight * data[at + 1];
      color[2] += weight * data[at + 2];
    }
  }
  for (let c = 0; c < 3; c++) color[c] = Math.min(Math.max(color[c], 0), 255);
  return color;
}

function clip(place, length) {
  return place < 0 ? 0 : place >= length ? length - 1 : place;
}

/**
 * Where in the toon the places of the photo lie, and where in the photo those of the toon; null for
 * images that are too narrow.
 */
function findFlows(photo, toon) {
  const [width, height] = fitSize(photo.width, photo.height, SIDE);
  if (Math.min(width, height) < NARROW) return null;
  const [one, other] = [photo, toon].map((image) => makeGray(image, width, height));
  const there = findFlow(one, other, width, height);
  const back = findFlow(other, one, width, height);
  return {
    width,
    height,
    there: smooth(there, back, width, height),
    back: smooth(back, there, width, height),
  };
}

/** Gray with local contrast evened out, so that shapes are compared and not shading. */
function makeGray(image, width, height) {
  const { data } = image.width === width ? image : resizeArea(image, width, height);
  const gray = new Float32Array(width * height);
  for (let i = 0; i < gray.length; i++) { // in parts of 2 ** 15, as OpenCV's
    gray[i] = (9798 * data[4 * i] + 19235 * data[4 * i + 1] + 3735 * data[4 * i + 2] + 16384) >> 15;
  }
  const soft = Uint8ClampedArray.from(blur(gray, width, height, SOFT), Math.round);
  return evenContrast(soft, width, height);
}

/** A motion smoothed, trusting only places from which the other one returns to the start. */
function smooth({ right, down }, back, width, height) {
  const side = Math.max(width, height);
  const backRight = samplePlane(back.right, right, down, width, height);
  const backDown = samplePlane(back.down, right, down, width, height);
  const trust = right.map((u, i) => {
    const v = down[i];
    if (u * u + v * v >= (0.08 * side) ** 2) return 0;
    const missed = (u + backRight[i]) ** 2 + (v + backDown[i]) ** 2;
    return Math.exp(-missed / (2 * (0.003 * side) ** 2));
  });
  const sigma = 0.012 * side;
  const kernel = wideGaussian(sigma);
  const weight = blur(trust, width, height, kernel);
  const calm = (plane) => blur(plane.map((value, i) => value * trust[i]), width, height, kernel)
    .map((value, i) => value / (weight[i] + 0.05));
  return { right: calm(right), down: calm(down) };
}
