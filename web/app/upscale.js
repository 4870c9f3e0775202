/**
 * Drawings made large, with sharp contours.
 *
 * Plain enlarging blurs contours. Here every pixel near one is taken from a little further away
 * from it, so that the contour between them is sharp again (Arad and Gotsman 1999, "Enhancement by
 * image-dependent warping"). It is done step by step, none above 2.3 times, and band by band, so
 * that memory is bounded.
 */

import { blur, eachSlope, gaussian } from "./planes.js";
import { cropPixels, makePixels, resizeArea, resizeCubic, resizeLanczos, resizeLinear, roundEven }
  from "./resize.js";

const NEAR = 1.25; // an enlargement below this blurs too little to be worth the time
const BAND_PIXELS = 1_000_000;
const FINE = 32; // places per pixel to which moves are rounded
const STRENGTH = 1.6; // of the pull
const EDGE = 1.2; // half the width of an edge after one step, in pixels
const REACH = 1.3; // pixels from an edge at which its pull is greatest
const FAINT = 7; // levels per pixel: slopes far below this are shades, and stay as they are
const LINE = 3; // sigma in pixels around a place in which its line's direction is measured
const ALONG = 3.5; // pixels along a line, to either side, whose mean is taken when a step doubles
const MARGIN = 16; // rows around a band that have a say in it
const FIRST_MARGIN = 48; // the same where lines are smoothed before

/**
 * Enlarges a drawing.
 *
 * @param {import("./resize.js").Pixels} drawing
 * @param {number} width
 * @param {number} height
 * @param {() => Promise<void>} [pause] awaited between bands; may throw to stop
 * @returns {Promise<import("./resize.js").Pixels>}
 */
export async function upscale(drawing, width, height, pause = async () => {}) {
  const whole = Math.max(width / drawing.width, height / drawing.height);
  if (whole < NEAR) return resizeLanczos(drawing, width, height);
  const steps = Math.max(1, Math.ceil(Math.log2(whole) - 0.2));
  const growth = whole ** (1 / steps);
  const sizes = Array.from({ length: steps }, (_, i) => [
    between(drawing.width, width, (i + 1) / steps),
    between(drawing.height, height, (i + 1) / steps),
  ]);
  const [[w, h], ...others] = sizes;
  let image = await firstStep(await compensate(drawing, w, h, growth, pause), w, h, growth, pause);
  for (const size of others) image = await nextStep(image, ...size, growth, pause);
  return image;
}

/** The size a part of the way from one to the other, in equal ratios. */
function between(small, large, part) {
  return roundEven(small * (large / small) ** part);
}

/** The drawing changed so that, enlarged and reduced again, it is the one that was drawn. */
async function compensate(source, width, height, growth, pause) {
  const large = await firstStep(source, width, height, growth, pause);
  const back = resizeArea(large, source.width, source.height);
  const [low, high] = rangeAround(source);
  const result = makePixels(source.width, source.height);
  for (let i = 0; i < result.data.length; i++) {
    const wanted = 2 * source.data[i] - back.data[i];
    result.data[i] = Math.min(Math.max(wanted, low.data[i]), high.data[i]);
  }
  return result;
}

/** The least and the greatest of each pixel and its eight neighbors, by channel. */
function rangeAround({ data, width, height }) {
  const [low, high] = [makePixels(width, height), makePixels(width, height)];
  const [least, most] = [new Uint8ClampedArray(width * 4), new Uint8ClampedArray(width * 4)];
  const row = width * 4;
  for (let y = 0; y < height; y++) {
    const here = y * row;
    const above = y > 0 ? here - row : here;
    const below = y < height - 1 ? here + row : here;
    for (let i = 0; i < row; i++) { // of columns of three
      const a = data[above + i], b = data[here + i], c = data[below + i];
      least[i] = a < b ? (a < c ? a : c) : b < c ? b : c;
      most[i] = a > b ? (a > c ? a : c) : b > c ? b : c;
    }
    for (let i = 0; i < row; i++) { // of three of these
      const left = i >= 4 ? i - 4 : i;
      const right = i < row - 4 ? i + 4 : i;
      low.data[here + i] = Math.min(least[left], least[i], least[right]);
      high.data[here + i] = Math.max(most[left], most[i], most[right]);
    }
  }
  return [low, high];
}

/** A drawing enlarged, cubic, which keeps thin lines, but does not overshoot. */
function enlarge(source, width, height) {
  const cubic = resizeCubic(source, width, height);
  const [low, high] = rangeAround(source).map((part) => resizeLinear(part, width, height));
  for (let i = 0; i < cubic.data.length; i++) {
    cubic.data[i] = Math.max(Math.min(cubic.data[i], high.data[i]), low.data[i]);
  }
  return cubic;
}

/** A drawing enlarged, with the steps in its slanting lines smoothed. */
async function firstStep(source, width, height, growth, pause) {
  const result = makePixels(width, height);
  const plain = enlarge(source, width, height);
  for (const [top, bottom, above, below] of bands(width, height, FIRST_MARGIN)) {
    await pause();
    let rows = cropPixels(plain, 0, above, width, below);
    const grid = { left: 0, top: 0, across: 1, down: 1 };
    const along = movesAlongLines(rows, growth);
    for (let i = 0; i < 2; i++) {
      const there = remap(rows, along, grid, 1);
      const back = remap(rows, along, grid, -1);
      const mixed = makePixels(width, below - above);
      for (let j = 0; j < mixed.data.length; j++) {
        mixed.data[j] = (2 * rows.data[j] + 2 + there.data[j] + back.data[j]) >> 2;
      }
      rows = mixed;
    }
    const sharp = remap(rows, movesFromEdges(rows, growth), grid, 1);
    putRows(result, top, sharp, top - above, bottom - top);
  }
  return result;
}

/** An image enlarged; what lay on an edge comes from beside it. */
async function nextStep(source, width, height, growth, pause) {
  const result = makePixels(width, height);
  const [across, down] = [source.width / width, source.height / height];
  for (const [top, bottom, above, below] of bands(width, height, MARGIN)) {
    await pause();
    const grid = { left: 0.5 * across - 0.5, top: (above + 0.5) * down - 0.5, across, down };
    const still = { width, height: below - above, right: null, down: null };
    const moves = movesFromEdges(remap(source, still, grid, 0), growth);
    const sharp = remap(source, moves, grid, 1);
    putRows(result, top, sharp, top - above, bottom - top);
  }
  return result;
}

/** First and last row (not included) of each band, and of the band with its margin. */
function* bands(width, height, margin) {
  const rows = Math.max(1, Math.floor(BAND_PIXELS / width));
  for (let top = 0; top < height; top += rows) {
    const bottom = Math.min(top + rows, height);
    yield [top, bottom, Math.max(0, top - margin), Math.min(height, bottom + margin)];
  }
}

function putRows(result, top, source, from, count) {
  const row = result.width * 4;
  result.data.set(source.data.subarray(from * row, (from + count) * row), top * row);
}

/**
 * Pixels looked up on a grid, each `way` times its move further.
 *
 * Places are rounded to parts of a pixel, and those beyond the border are of the last one.
 */
function remap(source, { width, height, right, down }, grid, way) {
  const result = makePixels(width, height);
  const out = result.data;
  const { data } = source;
  const [lastX, lastY] = [source.width - 1, source.height - 1];
  for (let y = 0, i = 0, o = 0; y < height; y++) {
    const baseY = grid.top + y * grid.down;
    for (let x = 0; x < width; x++, i++, o += 4) {
      let u = grid.left + x * grid.across;
      let v = baseY;
      if (way !== 0) {
        u += way * right[i] * grid.across;
        v += way * down[i] * grid.down;
      }
      u = Math.min(Math.max(Math.round(u * FINE), 0), lastX * FINE);
      v = Math.min(Math.max(Math.round(v * FINE), 0), lastY * FINE);
      const [x0, y0] = [u >> 5, v >> 5];
      const [fx, fy] = [(u & 31) / FINE, (v & 31) / FINE];
      const a = (y0 * source.width + x0) * 4;
      const b = x0 < lastX ? a + 4 : a;
      const c = y0 < lastY ? a + source.width * 4 : a;
      const d = c + b - a;
      const wd = fx * fy;
      const wb = fx - wd;
      const wc = fy - wd;
      const wa = 1 - fx - wc;
      out[o] = wa * data[a] + wb * data[b] + wc * data[c] + wd * data[d];
      out[o + 1] = wa * data[a + 1] + wb * data[b + 1] + wc * data[c + 1] + wd * data[d + 1];
      out[o + 2] = wa * data[a + 2] + wb * data[b + 2] + wc * data[c + 2] + wd * data[d + 2];
      out[o + 3] = 255;
    }
  }
  return result;
}

const SMOOTH = gaussian(3, 0.7);
const ACROSS_EDGE = gaussian(5, EDGE);
const AROUND_LINE = gaussian(12, LINE);

/** Squares and product of the slopes of the colors, summed over channels (Di Zenzo 1986). */
function structure({ data, width, height }) {
  const count = width * height;
  const [xx, xy, yy] = [0, 0, 0].map(() => new Float32Array(count));
  const plane = new Float32Array(count);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < count; i++) plane[i] = data[4 * i + c];
    eachSlope(blur(plane, width, height, SMOOTH), width, height, (i, right, down) => {
      xx[i] += right * right;
      xy[i] += right * down;
      yy[i] += down * down;
    });
  }
  return [xx, xy, yy];
}

/** Moves along the line that runs through each place, shorter where it has no one direction. */
function movesAlongLines(rows, growth) {
  const { width, height } = rows;
  const [xx, xy, yy] = structure(rows).map((part) => blur(part, width, height, AROUND_LINE));
  for (let i = 0; i < xx.length; i++) {
    const difference = xx[i] - yy[i];
    const product = 2 * xy[i];
    const length = Math.sqrt(difference * difference + product * product);
    const cosine = difference / (length + 1e-6); // of twice the angle at which the slope rises
    const across = Math.sqrt(0.5 + 0.5 * cosine);
    const steep = Math.sqrt(Math.max(0.5 - 0.5 * cosine, 0));
    const down = product < 0 ? -steep : steep;
    const reach = (ALONG * (growth - 1) * length) / (xx[i] + yy[i] + 1);
    xx[i] = rounded(-down * reach);
    yy[i] = rounded(across * reach);
  }
  return { width, height, right: xx, down: yy };
}

/** Moves that make the edges of an image, just enlarged, as steep as they were. */
function movesFromEdges(rows, growth) {
  const { width, height } = rows;
  const strength = STRENGTH * (growth * growth - 1);
  const limit = (strength * REACH) ** 2;
  const [xx, , yy] = structure(rows);
  for (let i = 0; i < xx.length; i++) xx[i] = Math.sqrt(xx[i] + yy[i]);
  const edges = blur(xx, width, height, ACROSS_EDGE);
  eachSlope(edges, width, height, (i, right, down) => {
    // An edge is a ridge here, about a Gaussian, whose slope by its height is the distance from it.
    const scale = (-strength * EDGE * EDGE) / (edges[i] + FAINT);
    const [u, v] = [right * scale, down * scale];
    // Far from it moves become shorter again, slowly enough that no pixel overtakes another.
    const shorter = 1 / (1 + (u * u + v * v) / limit);
    xx[i] = rounded(u * shorter);
    yy[i] = rounded(v * shorter);
  });
  return { width, height, right: xx, down: yy };
}

function rounded(move) {
  return Math.round(move * FINE) / FINE;
}
