/** Backgrounds of drawings, and stickers. */

import { enlargePlane } from "./planes.js";
import { cropPixels, fitSize, makePixels, resizeArea, resizeCubic } from "./resize.js";

export const BACKGROUNDS = ["keep", "soften", "plain", "transparent"];
const SOFT_SIDE = 48; // px to which what is softened is reduced
const STICKER_SIDE = 512; // px: what messengers take
const OUTLINE = 9; // px of white around a sticker
const DIRECTIONS = 48; // in which the outline grows
const LEAST = 0.5; // of the mask, where there is a person

const smoothstep = (low, high, value) => {
  const part = Math.min(Math.max((value - low) / (high - low), 0), 1);
  return part * part * (3 - 2 * part);
};

/**
 * A drawing with another background.
 *
 * @param {import("./resize.js").Pixels} toon
 * @param {import("./masks.js").Mask} people
 * @param {"soften"|"plain"|"transparent"} kind
 * @param {[number, number, number]} color of a plain background
 * @returns {import("./resize.js").Pixels}
 */
export function changeBackground(toon, people, kind, color) {
  const { width, height } = toon;
  const mask = enlargePlane(people.data, people.width, people.height, width, height);
  const result = makePixels(width, height);
  const behind = kind === "soften" ? soften(toon, mask) : null;
  for (let i = 0, o = 0; i < mask.length; i++, o += 4) {
    const part = smoothstep(0.15, 0.85, mask[i]);
    for (let c = 0; c < 3; c++) {
      const under = behind ? behind.data[o + c] : color[c];
      const mixed = under + part * (toon.data[o + c] - under);
      result.data[o + c] = kind === "transparent" ? toon.data[o + c] : mixed;
    }
    result.data[o + 3] = kind === "transparent" ? 255 * part : 255;
  }
  return result;
}

/** What lies around the people, blurred without them, so that no color of theirs leaks into it. */
function soften(toon, mask) {
  const { width, height } = toon;
  const [colors, weights] = [makePixels(width, height), makePixels(width, height)];
  for (let i = 0, o = 0; i < mask.length; i++, o += 4) {
    const weight = 1 - mask[i];
    weights.data[o] = 255 * weight;
    for (let c = 0; c < 3; c++) colors.data[o + c] = weight * toon.data[o + c];
  }
  const [w, h] = fitSize(width, height, SOFT_SIDE);
  const small = resizeArea(colors, w, h);
  const shares = resizeArea(weights, w, h);
  fillHoles(small, shares);
  return resizeCubic(small, width, height);
}

/** Divides colors by their weights; where there is none, those of all others are taken. */
function fillHoles(small, shares) {
  const sums = [0, 0, 0, 0];
  for (let o = 0; o < small.data.length; o += 4) {
    sums[3] += shares.data[o] / 255;
    for (let c = 0; c < 3; c++) sums[c] += small.data[o + c];
  }
  const mean = sums.map((sum) => sum / Math.max(sums[3], 1e-6));
  for (let o = 0; o < small.data.length; o += 4) {
    const weight = shares.data[o] / 255;
    for (let c = 0; c < 3; c++) {
      small.data[o + c] = (small.data[o + c] + 0.02 * mean[c]) / (weight + 0.02);
    }
  }
}

/**
 * The people of a drawing, cut out with a white outline.
 *
 * @param {import("./resize.js").Pixels} toon
 * @param {import("./masks.js").Mask} people
 * @returns {import("./resize.js").Pixels|null} up to 512 px a side; null if there is nobody
 */
export function makeSticker(toon, people) {
  const bounds = findBounds(people);
  if (!bounds) return null;
  const [sx, sy] = [toon.width / people.width, toon.height / people.height];
  const [x0, y0] = [Math.floor(bounds[0] * sx), Math.floor(bounds[1] * sy)];
  const x1 = Math.min(toon.width, Math.ceil(bounds[2] * sx));
  const y1 = Math.min(toon.height, Math.ceil(bounds[3] * sy));
  const part = cropPixels(toon, x0, y0, x1, y1);
  const inner = STICKER_SIDE - 2 * OUTLINE - 2;
  const scale = inner / Math.max(part.width, part.height);
  const width = Math.max(1, Math.round(part.width * scale));
  const height = Math.max(1, Math.round(part.height * scale));
  const small = (scale < 1 ? resizeArea : resizeCubic)(part, width, height);
  const whole = enlargePlane(
    people.data, people.width, people.height,
    Math.round(people.width * sx * scale), Math.round(people.height * sy * scale),
  );
  const stride = Math.round(people.width * sx * scale);
  const [left, top] = [Math.round(x0 * scale), Math.round(y0 * scale)];
  const margin = OUTLINE + 1;
  const mask = new Float32Array((width + 2 * margin) * (height + 2 * margin));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = whole[(y + top) * stride + x + left] ?? 0;
      mask[(y + margin) * (width + 2 * margin) + x + margin] = smoothstep(0.3, 0.7, value);
    }
  }
  return outline(small, mask, margin);
}

/** x0, y0, x1, y1 of where there are people. */
function findBounds({ data, width, height }) {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] < LEAST) continue;
      x0 = Math.min(x0, x);
      x1 = Math.max(x1, x + 1);
      y0 = Math.min(y0, y);
      y1 = Math.max(y1, y + 1);
    }
  }
  return x1 - x0 > 8 && y1 - y0 > 8 ? [x0, y0, x1, y1] : null;
}

/** The drawing under its mask, on white that reaches further. */
function outline(small, mask, margin) {
  const width = small.width + 2 * margin;
  const height = small.height + 2 * margin;
  const moves = Array.from({ length: DIRECTIONS }, (_, i) => {
    const angle = (2 * Math.PI * i) / DIRECTIONS;
    return [Math.round(OUTLINE * Math.cos(angle)), Math.round(OUTLINE * Math.sin(angle))];
  });
  const result = makePixels(width, height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      let most = mask[i];
      for (const [dx, dy] of moves) {
        const [u, v] = [x + dx, y + dy];
        if (u < 0 || v < 0 || u >= width || v >= height) continue;
        most = Math.max(most, mask[v * width + u]);
      }
      const column = Math.min(Math.max(x - margin, 0), small.width - 1);
      const row = Math.min(Math.max(y - margin, 0), small.height - 1);
      const from = (row * small.width + column) * 4;
      for (let c = 0; c < 3; c++) {
        result.data[4 * i + c] = 255 + mask[i] * (small.data[from + c] - 255);
      }
      result.data[4 * i + 3] = 255 * most;
    }
  }
  return result;
}
