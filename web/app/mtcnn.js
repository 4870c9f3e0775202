/**
 * The cascade that finds faces: three small networks, each looking closer where the last saw one.
 *
 * Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
 * Networks". What a network is shown is a mean over windows of the image, and a table of sums gives
 * any of them from four numbers.
 *
 * @typedef {(name: string, shown: Float32Array, shape: number[]) => Promise<Float32Array>} Run
 *   runs "pnet", "rnet" or "onet" on images (N, 3, h, w); scores and answers lie last
 * @typedef {{box: number[], score: number, answers: number[]}} Candidate
 */

import { boxArea, intersection, overlap } from "./geometry.js";

export const CELL = 12; // px a side of what the first network sees
export const FACTOR = 0.709; // from one scale of the pyramid to the next
const BATCHES = { 24: 32, 48: 16 };
const THRESHOLDS = [0.6, 0.7, 0.7]; // what the networks must score

/** An image to be looked at, and the same turned without another copy. */
export class View {
  /** @param {import("./resize.js").Pixels} pixels */
  constructor(pixels) {
    this.pixels = pixels;
    this.width = pixels.width;
    this.height = pixels.height;
    this.sums = sumTable(pixels);
    this.origin = 0;
    this.down = (pixels.width + 1) * 3;
    this.across = 3;
  }

  /**
   * @param {number} quarters counter-clockwise
   * @returns {View}
   */
  turned(quarters) {
    const view = Object.assign(Object.create(View.prototype), this);
    for (let i = 0; i < quarters; i++) {
      view.origin += view.across * view.width;
      [view.down, view.across] = [-view.across, view.down];
      [view.width, view.height] = [view.height, view.width];
    }
    view.pixels = turnPixels(this.pixels, quarters);
    return view;
  }

  /**
   * All of it scaled down, in strips of rows that overlap where cells of the network do.
   *
   * @param {number} height
   * @param {number} width
   * @yields {{top: number, height: number, shown: Float32Array}}
   */
  *strips(height, width) {
    yield { top: 0, height, shown: this.means([[0, 0, this.width, this.height]], height, width) };
  }

  /**
   * Boxes scaled to a size by means over windows, from -1 to 1.
   *
   * @param {number[][]} boxes of whole pixels in the image
   * @param {number} height
   * @param {number} width
   * @returns {Float32Array} (N, 3, height, width)
   */
  means(boxes, height, width) {
    const { sums } = this;
    const plane = height * width;
    const shown = new Float32Array(boxes.length * 3 * plane);
    const sign = this.down * this.across > 0 ? 1 : -1;
    boxes.forEach(([left, top, right, bottom], n) => {
      const xs = windows(left, right, width, this.across);
      const ys = windows(top, bottom, height, this.down);
      let o = n * 3 * plane;
      for (let y = 0; y < height; y++) {
        const upper = this.origin + ys.low[y];
        const lower = this.origin + ys.high[y];
        for (let x = 0; x < width; x++, o++) {
          const area = sign * ys.lengths[y] * xs.lengths[x] * 128;
          const [a, b] = [xs.low[x], xs.high[x]];
          for (let c = 0; c < 3; c++) {
            // Sums wrap beyond 2 ** 31, which leaves their differences right.
            const sum = (sums[lower + b + c] - sums[upper + b + c]
              - sums[lower + a + c] + sums[upper + a + c]) | 0;
            shown[o + c * plane] = sum / area - 127.5 / 128;
          }
        }
      }
    });
    return shown;
  }
}

/** The colors of pixels as planes (3, h, w) from -1 to 1. */
export function toPlanes({ data, width, height }) {
  const plane = width * height;
  const shown = new Float32Array(3 * plane);
  for (let i = 0, o = 0; o < plane; i += 4, o++) {
    for (let c = 0; c < 3; c++) shown[o + c * plane] = (data[i + c] - 127.5) / 128;
  }
  return shown;
}

/** Sums over all pixels above and left of each corner, for three colors. */
function sumTable({ data, width, height }) {
  const row = (width + 1) * 3;
  const sums = new Int32Array(row * (height + 1));
  for (let y = 0, i = 0; y < height; y++) {
    let red = 0, green = 0, blue = 0;
    let o = (y + 1) * row + 3;
    for (let x = 0; x < width; x++, i += 4, o += 3) {
      red += data[i];
      green += data[i + 1];
      blue += data[i + 2];
      sums[o] = sums[o - row] + red;
      sums[o + 1] = sums[o + 1 - row] + green;
      sums[o + 2] = sums[o + 2 - row] + blue;
    }
  }
  return sums;
}

/** Pixels turned counter-clockwise by quarters. */
export function turnPixels(pixels, quarters) {
  const turns = ((quarters % 4) + 4) % 4;
  if (turns === 0) return pixels;
  const { width, height } = pixels;
  const source = new Uint32Array(pixels.data.buffer, pixels.data.byteOffset, width * height);
  const [w, h] = turns === 2 ? [width, height] : [height, width];
  const turned = new Uint32Array(width * height);
  for (let y = 0, o = 0; y < h; y++) {
    for (let x = 0; x < w; x++, o++) {
      if (turns === 1) turned[o] = source[x * width + (width - 1 - y)];
      else if (turns === 2) turned[o] = source[source.length - 1 - o];
      else turned[o] = source[(height - 1 - x) * width + y];
    }
  }
  return { data: new Uint8ClampedArray(turned.buffer), width: w, height: h };
}

/** Bounds and lengths of `count` windows over a stretch of pixels, as offsets of the sums. */
function windows(low, high, count, stride) {
  const length = high - low;
  const table = {
    low: new Int32Array(count),
    high: new Int32Array(count),
    lengths: new Float64Array(count),
  };
  for (let i = 0; i < count; i++) {
    const first = low + Math.floor((i * length) / count);
    const end = low + Math.ceil(((i + 1) * length) / count);
    table.low[i] = first * stride;
    table.high[i] = end * stride;
    table.lengths[i] = end - first;
  }
  return table;
}

/**
 * Faces from `smallest` px on, the largest first.
 *
 * @param {View} view
 * @param {number} smallest
 * @param {Run} run
 * @returns {Promise<import("./geometry.js").Face[]>}
 */
export async function findFaces(view, smallest, run) {
  return judge(view, await propose(view, smallest, run, THRESHOLDS[0]), run, THRESHOLDS.slice(1));
}

/**
 * Squares in which the first network sees faces.
 *
 * @param {Object} view with `width`, `height` and `strips` of a `View`
 * @param {number} smallest side in px of the smallest face
 * @param {Run} run
 * @param {number} threshold what the network must score
 * @param {number} [largest] side in px of the largest face
 * @returns {Promise<number[][]>} boxes
 */
export async function propose(view, smallest, run, threshold, largest = Infinity) {
  const found = await runPnet(view, smallest, run, threshold, largest);
  return nms(found, 0.7).map((each) => toSquare(regress(each.box, each.answers, 0)));
}

/**
 * The faces among candidates, the largest first.
 *
 * @param {Object} view with `width`, `height` and `means` of a `View`
 * @param {number[][]} boxes
 * @param {Run} run
 * @param {number[]} thresholds what the last two networks must score
 * @returns {Promise<import("./geometry.js").Face[]>}
 */
export async function judge(view, boxes, run, thresholds) {
  let found = await refine(view, boxes, 24, "rnet", run, thresholds[0]);
  found = nms(found, 0.7).map((each) => toSquare(regress(each.box, each.answers, 1)));
  found = await refine(view, found, 48, "onet", run, thresholds[1]);
  const faces = found.map(({ box, score, answers }) => {
    const [width, height] = [box[2] - box[0] + 1, box[3] - box[1] + 1];
    const points = [0, 1, 2, 3, 4].map((i) => [
      answers[4 + i] * width + box[0] - 1,
      answers[9 + i] * height + box[1] - 1,
    ]);
    return { box: regress(box, answers, 1), points, score };
  });
  return nmsBySmallerArea(faces, 0.7).sort((a, b) => boxArea(b.box) - boxArea(a.box));
}

/** What the first network takes for faces at all scales. */
async function runPnet(view, smallest, run, threshold, largest) {
  const { width, height } = view;
  const found = [];
  let scale = CELL / smallest;
  for (; Math.min(height, width) * scale >= CELL && CELL / scale <= largest; scale *= FACTOR) {
    const [h, w] = [Math.trunc(height * scale + 1), Math.trunc(width * scale + 1)];
    const here = [];
    for (const strip of view.strips(h, w)) {
      const answers = await run("pnet", strip.shown, [1, 3, strip.height, w]);
      here.push(...readCells(answers, strip, w, scale, threshold));
    }
    found.push(...nms(here, 0.5));
  }
  return found;
}

/** The cells of a strip that score at least `threshold`, as candidates. */
function readCells(answers, { top, height }, width, scale, threshold) {
  const [rows, columns] = [pnetSize(height), pnetSize(width)];
  const cells = [];
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i += 6) {
      const score = 1 / (1 + Math.exp(answers[i] - answers[i + 1]));
      if (score < threshold) continue;
      const [left, upper] = [2 * x, 2 * y + top];
      const corners = [left + 1, upper + 1, left + CELL, upper + CELL];
      const box = corners.map((edge) => Math.floor(Math.fround(edge / Math.fround(scale))));
      cells.push({ box, score, answers: [...answers.subarray(i + 2, i + 6)] });
    }
  }
  return cells;
}

/** The side of the first network's answer: two convolutions, a pool of 2, two convolutions. */
function pnetSize(side) {
  return Math.ceil((side - 2) / 2) - 4;
}

/** The boxes that a network takes for faces when they are scaled to `side` px. */
async function refine(view, boxes, side, name, run, threshold) {
  const there = [];
  for (const box of boxes) {
    // The networks were trained with pixels counted from 1, both ends of a box in it.
    const seen = box.map(Math.trunc);
    seen[0] = Math.max(seen[0], 1) - 1;
    seen[1] = Math.max(seen[1], 1) - 1;
    seen[2] = Math.min(seen[2], view.width);
    seen[3] = Math.min(seen[3], view.height);
    if (seen[2] > seen[0] && seen[3] > seen[1]) there.push({ box, seen });
  }
  const found = [];
  for (let start = 0; start < there.length; start += BATCHES[side]) {
    const batch = there.slice(start, start + BATCHES[side]);
    const shown = view.means(batch.map((each) => each.seen), side, side);
    const all = await run(name, shown, [batch.length, 3, side, side]);
    const size = all.length / batch.length;
    batch.forEach(({ box }, n) => {
      const answers = [...all.subarray(n * size, (n + 1) * size)];
      const score = 1 / (1 + Math.exp(answers[0] - answers[1]));
      if (score > threshold) found.push({ box, score, answers: answers.slice(2) });
    });
  }
  return found;
}

const byScore = (a, b) => b.score - a.score;

/** The best candidates, none of which shares more than `most` with a better one. */
function nms(candidates, most) {
  return suppress(candidates, (one, other) => overlap(one.box, other.box) > most);
}

/** As `nms`, with the part of the smaller of two boxes that they share. */
function nmsBySmallerArea(faces, most) {
  const wide = ([x0, y0, x1, y1]) => [x0, y0, x1 + 1, y1 + 1];
  return suppress(faces, (one, other) => {
    const [a, b] = [wide(one.box), wide(other.box)];
    return intersection(a, b) > most * Math.min(boxArea(a), boxArea(b));
  });
}

function suppress(candidates, isSame) {
  const kept = [];
  for (const candidate of [...candidates].sort(byScore)) {
    if (!kept.some((better) => isSame(better, candidate))) kept.push(candidate);
  }
  return kept;
}

/** A box with each edge moved by a share of its length; `ends` is 1 where both end pixels count. */
function regress([x0, y0, x1, y1], shifts, ends) {
  const [width, height] = [x1 - x0 + ends, y1 - y0 + ends];
  return [
    x0 + shifts[0] * width, y0 + shifts[1] * height,
    x1 + shifts[2] * width, y1 + shifts[3] * height,
  ];
}

/** A box with the shorter side made as long as the longer one, about the same center. */
function toSquare([x0, y0, x1, y1]) {
  const side = Math.max(x1 - x0, y1 - y0);
  const left = x0 + (x1 - x0) * 0.5 - side * 0.5;
  const top = y0 + (y1 - y0) * 0.5 - side * 0.5;
  return [left, top, left + side, top + side];
}
