/**
 * Drawings made large, with sharp contours.
 *
 * Plain enlarging blurs contours. Here every pixel near one is taken from a little further away
 * from it, so that the contour between them is sharp again (Arad and Gotsman 1999, "Enhancement by
 * image-dependent warping"). It is done step by step, none above 2.3 times, and band by band, so
 * that memory is bounded.
 */

import { blur, enlargePlane, gaussian, gradients, mirror, shrinkPlane,
  wideGaussian } from "./planes.js";
import { cropPixels, makePixels, resizeArea, resizeCubic, resizeLanczos, resizeLinear, roundEven }
  from "./resize.js";

const NEAR = 1.25; // an enlargement below this blurs too little to be worth the time
const MAX_SIDE = 32_766; // beyond which the library enlarges plainly
const BAND_PIXELS = 1_000_000;
const FINE = 32; // places per pixel to which moves are rounded
const STRENGTH = 1.6; // of the pull
const EDGE = 1.2; // half the width of an edge after one step, in pixels
const REACH = 1.3; // pixels from an edge at which its pull is greatest
const FAINT = 7; // levels per pixel: gradients far below this are shades, and stay as they are
const LINE = 3; // sigma in pixels around a place in which its line's direction is measured
const ALONG = 3.5; // pixels along a line, to either side, whose mean is taken when a step doubles
const COARSE = 1.5; // an enlargement from this on blurs edges visibly
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
  if (whole <= 1 || Math.max(width, height) > MAX_SIDE) {
    return resizeLanczos(drawing, width, height);
  }
  if (whole < NEAR) return resizeCubic(drawing, width, height);
  const steps = Math.max(1, Math.ceil(Math.log2(whole) - 0.2));
  const growth = whole ** (1 / steps);
  const sizes = Array.from({ length: steps }, (_, i) => [
    between(drawing.width, width, (i + 1) / steps),
    between(drawing.height, height, (i + 1) / steps),
  ]);
  const [first, ...others] = sizes;
  const step = { size: first, growth, ways: movesAlongLines(drawing, growth), pause };
  let image = await firstStep(await compensate(drawing, step), step);
  for (const size of others) image = await nextStep(image, ...size, growth, pause);
  return image;
}

/** The size a part of the way from one to the other, in equal ratios. */
function between(small, large, part) {
  return roundEven(small * (large / small) ** part);
}

/** The drawing changed so that, enlarged and reduced again, it is the one that was drawn. */
async function compensate(source, step) {
  // Where little is enlarged, a rough first step hardly changes what is compared here.
  const large = await firstStep(source, step, step.growth < COARSE);
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

/**
 * A drawing enlarged, with the steps in its slanting lines smoothed.
 *
 * @param {import("./resize.js").Pixels} source
 * @param {{size: number[], growth: number, ways: Field, pause: () => Promise<void>}} step
 * @param {boolean} [rough] smooths less and leaves edges blurred
 */
async function firstStep(source, { size: [width, height], growth, ways, pause }, rough = false) {
  const result = makePixels(width, height);
  const plain = enlarge(source, width, height);
  for (const [top, bottom, above, below] of bands(width, height, FIRST_MARGIN)) {
    await pause();
    let rows = cropPixels(plain, 0, above, width, below);
    const along = enlargeMoves(ways, width, height, above, below);
    for (let i = 0; i < (rough ? 1 : 2); i++) {
      const there = remap(rows, along, SAME, 1);
      mix(rows.data, there.data, remap(rows, along, SAME, -1).data);
    }
    if (!rough) rows = remap(rows, movesFromEdges(rows, growth), SAME, 1);
    putRows(result, top, rows, top - above, bottom - top);
  }
  return result;
}

/** Half of some colors and a quarter of two others, each mean rounded. */
function mix(colors, one, other) {
  for (let i = 0; i < colors.length; i++) {
    const both = one[i] + other[i];
    const sum = colors[i] + ((both >> 1) + (both & (both >> 1) & 1));
    colors[i] = (sum >> 1) + (sum & (sum >> 1) & 1);
  }
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
    const [from, to] = [(top - above) * width, (bottom - above) * width];
    const inner = {
      width,
      height: bottom - top,
      right: moves.right.subarray(from, to),
      down: moves.down.subarray(from, to),
    };
    const sharp = remap(source, inner, { ...grid, top: (top + 0.5) * down - 0.5 }, 1);
    putRows(result, top, sharp, 0, bottom - top);
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

const SAME = { left: 0, top: 0, across: 1, down: 1 }; // the grid of an image itself

/**
 * Pixels looked up on a grid, each `way` times its move further; those beyond the border are of the
 * last one.
 */
function remap(source, { width, height, right, down }, grid, way) {
  const result = makePixels(width, height);
  const out = result.data;
  const { data } = source;
  const [lastX, lastY] = [source.width - 1, source.height - 1];
  const { left, top, across, down: step } = grid;
  for (let y = 0, i = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++, o += 4) {
      let u = left + x * across;
      let v = top + y * step;
      if (way !== 0) {
        u += way * right[i] * across;
        v += way * down[i] * step;
      }
      u = u < 0 ? 0 : u > lastX ? lastX : u;
      v = v < 0 ? 0 : v > lastY ? lastY : v;
      const x0 = u | 0, y0 = v | 0;
      const fx = u - x0, fy = v - y0;
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

const ACROSS_EDGE = gaussian(5, EDGE);
const [CENTER, NEXT, SECOND] = [146, 53, 2]; // 256ths: a Gaussian with a sigma of 0.7, as OpenCV's

/** Colors blurred along both axes, mirrored beyond the border. */
function soften({ data, width, height }) {
  const result = makePixels(width, height);
  const out = result.data;
  const row = new Int32Array(width * 4);
  const places = Int32Array.from({ length: width + 4 }, (_, x) => 4 * mirror(x - 2, width));
  for (let y = 0, o = 0; y < height; y++) {
    const [a, b, c, d, e] = [-2, -1, 0, 1, 2].map((k) => 4 * width * mirror(y + k, height));
    for (let i = 0; i < row.length; i++) {
      row[i] = CENTER * data[c + i] + NEXT * (data[b + i] + data[d + i])
        + SECOND * (data[a + i] + data[e + i]);
    }
    for (let x = 0; x < width; x++, o += 4) {
      const p = places[x], q = places[x + 1], r = places[x + 3], s = places[x + 4];
      for (let n = 0, m = 4 * x; n < 3; n++, m++) {
        const sum = CENTER * row[m] + NEXT * (row[q + n] + row[r + n])
          + SECOND * (row[p + n] + row[s + n]);
        out[o + n] = (sum + 32768) >> 16;
      }
    }
  }
  return result;
}

/**
 * Squares and product of the gradients of colors, summed over channels (Di Zenzo 1986).
 *
 * @returns {Float32Array[]} right by right, right by down, down by down
 */
function structure(rows) {
  const { data, width, height } = soften(rows);
  const [xx, xy, yy] = [0, 0, 0].map(() => new Float32Array(width * height));
  for (let y = 0, i = 0; y < height; y++) {
    const up = 4 * width * mirror(y - 1, height);
    const here = 4 * width * y;
    const low = 4 * width * mirror(y + 1, height);
    for (let x = 0; x < width; x++, i++) {
      const left = 4 * (x > 0 ? x - 1 : mirror(-1, width));
      const right = 4 * (x < width - 1 ? x + 1 : mirror(width, width));
      let sxx = 0, sxy = 0, syy = 0;
      for (let c = 0; c < 3; c++) {
        const p = data[up + left + c], q = data[up + right + c];
        const r = data[low + left + c], s = data[low + right + c];
        const dx = 3 * (q - p + s - r) + 10 * (data[here + right + c] - data[here + left + c]);
        const dy = 3 * (r - p + s - q) + 10 * (data[low + 4 * x + c] - data[up + 4 * x + c]);
        sxx += dx * dx;
        sxy += dx * dy;
        syy += dy * dy;
      }
      xx[i] = sxx / 1024; // Scharr's filter weighs a step with 32
      xy[i] = sxy / 1024;
      yy[i] = syy / 1024;
    }
  }
  return [xx, xy, yy];
}

/**
 * Moves along the line that runs through each place, shorter where it has no one direction.
 *
 * Directions change slowly, so that they are those of the drawing at half its size.
 *
 * @typedef {{width: number, height: number, right: Float32Array, down: Float32Array}} Field
 * @returns {Field} in pixels of the enlarged drawing
 */
function movesAlongLines(drawing, growth) {
  const [width, height] = [Math.ceil(drawing.width / 2), Math.ceil(drawing.height / 2)];
  const around = wideGaussian(LINE / growth / 2);
  const [xx, xy, yy] = structure(drawing).map((part) =>
    blur(shrinkPlane(part, drawing.width, drawing.height, width, height), width, height, around));
  for (let i = 0; i < xx.length; i++) {
    const difference = xx[i] - yy[i];
    const product = 2 * xy[i];
    const length = Math.sqrt(difference * difference + product * product);
    const cosine = difference / (length + 1e-6); // of twice the angle at which the gradient rises
    const across = Math.sqrt(0.5 + 0.5 * cosine);
    const steep = Math.sqrt(Math.max(0.5 - 0.5 * cosine, 0));
    const down = product < 0 ? -steep : steep;
    const reach = (ALONG * (growth - 1) * length) / (xx[i] + yy[i] + growth ** -2);
    xx[i] = -down * reach;
    yy[i] = across * reach;
  }
  return { width, height, right: xx, down: yy };
}

/** Rows of moves at the size of an image, rounded. @returns {Field} */
function enlargeMoves(moves, width, height, top, bottom) {
  const grow = (plane) => enlargePlane(plane, moves.width, moves.height, width, height, top, bottom)
    .map((move) => Math.round(move * FINE) / FINE);
  return { width, height: bottom - top, right: grow(moves.right), down: grow(moves.down) };
}

/** Moves that make the edges of an image, just enlarged, as steep as they were. @returns {Field} */
function movesFromEdges(rows, growth) {
  const { width, height } = rows;
  const strength = STRENGTH * (growth * growth - 1);
  const limit = (strength * REACH) ** 2;
  const [xx, , yy] = structure(rows);
  for (let i = 0; i < xx.length; i++) xx[i] = Math.sqrt(xx[i] + yy[i]);
  const edges = blur(xx, width, height, ACROSS_EDGE);
  const field = { width, height, right: xx, down: yy };
  gradients(edges, width, height, field.right, field.down);
  for (let i = 0; i < edges.length; i++) {
    // An edge is a ridge here, about a Gaussian: its gradient by its height is how far it is away.
    const scale = (-strength * EDGE * EDGE) / (edges[i] + FAINT);
    const u = xx[i] * scale, v = yy[i] * scale;
    // Far from it moves become shorter again, slowly enough that no pixel overtakes another.
    const shorter = FINE / (1 + (u * u + v * v) / limit);
    xx[i] = Math.round(u * shorter) / FINE;
    yy[i] = Math.round(v * shorter) / FINE;
  }
  return field;
}
