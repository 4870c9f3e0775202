/** Small faces of large photos, searched for at the photo's own resolution. */

import { boxArea, intersection, isFace, overlap, roll, turnFace } from "./geometry.js";
import { CELL, FACTOR, judge, propose, toPlanes, turnPixels } from "./mtcnn.js";
import { cropPixels, resizeArea, roundEven } from "./resize.js";

const MAX_FACES = 200;
const MIN_FACE = 24; // px of the photo; a smaller face has no features to draw
const MAX_WORK = 1_600_000; // pixels of the photo as the first network sees it at the finest scale
const STRIP = 256_000; // pixels that the first network is shown at once
const THRESHOLDS = [0.8, 0.8, 0.8]; // stricter, since there are many more places
const MIN_SCORE = 0.95;
const PLAIN = 0.999; // an upright face with this score needs no confirmation

/** A large photo as the networks see it: as `View`, without its table of sums. */
class Detail {
  /** @param {import("./resize.js").Pixels} pixels */
  constructor(pixels) {
    this.pixels = pixels;
    this.last = pixels;
    this.width = pixels.width;
    this.height = pixels.height;
  }

  /** All of it, scaled down from the size that was asked for last; see `View.strips`. */
  *strips(height, width) {
    if (height > this.last.height) this.last = this.pixels;
    this.last = resizeArea(this.last, width, height);
    // A step of the network is 2 pixels, and a cell reaches 10 pixels beyond its step.
    const rows = Math.max(CELL, Math.trunc(STRIP / width / 2) * 2);
    for (let top = 0; top < height - CELL + 2; top += rows) {
      const part = cropPixels(this.last, 0, top, width, Math.min(height, top + rows + CELL - 2));
      yield { top, height: part.height, shown: toPlanes(part) };
    }
  }

  /** See `View.means`. */
  means(boxes, height, width) {
    const shown = new Float32Array(boxes.length * 3 * height * width);
    boxes.forEach(([x0, y0, x1, y1], n) => {
      const part = resizeArea(cropPixels(this.pixels, x0, y0, x1, y1), width, height);
      shown.set(toPlanes(part), n * 3 * height * width);
    });
    return shown;
  }
}

/**
 * Faces below `largest` px that are not among the known ones.
 *
 * @param {import("./resize.js").Pixels} pixels
 * @param {import("./geometry.js").Face[]} known found in the reduced photo
 * @param {number} largest side in px of the faces that the reduced photo shows reliably
 * @param {Function} confirm pixels and a candidate -> the confirmed face or null
 * @param {import("./mtcnn.js").Run} run
 * @returns {Promise<import("./geometry.js").Face[]>}
 */
export async function findSmall(pixels, known, largest, confirm, run) {
  const { width, height } = pixels;
  const least = Math.max(MIN_FACE, Math.ceil(CELL * Math.sqrt((width * height) / MAX_WORK)));
  if (least >= largest) return [];
  // The first network hardly tells which way a face is up.
  const boxes = await propose(new Detail(pixels), least, run, THRESHOLDS[0], largest / FACTOR);
  const turns = countTurns(known);
  const all = (quarters) => search(pixels, boxes, known, quarters, confirm, run);
  let small = await all(turns);
  if (known.length) return small;
  // Of faces on their side, a few are seen all the same.
  const others = small.length ? [countTurns(small)] : [1, 3, 2];
  for (const quarters of others.filter((other) => other !== turns)) {
    const turned = await all(quarters);
    if (turned.length > small.length) small = turned;
  }
  return small;
}

/** Quarter turns, counter-clockwise, after which most of the faces are upright. */
function countTurns(faces) {
  const angles = faces.map((face) => (roll(face.points) * Math.PI) / 180);
  const sum = (of) => angles.reduce((total, angle) => total + of(angle), 0);
  const turns = roundEven(Math.atan2(sum(Math.sin), sum(Math.cos)) / (Math.PI / 2));
  return ((turns % 4) + 4) % 4;
}

/** The faces among candidates, looked at after turning the photo counter-clockwise. */
async function search(pixels, boxes, known, quarters, confirm, run) {
  const { width, height } = pixels;
  const turn = (face) => turnFace(face, -quarters, width, height);
  const turned = turnPixels(pixels, quarters);
  const candidates = boxes.map((box) => turn({ box, points: [] }).box);
  const found = await judge(new Detail(turned), candidates, run, THRESHOLDS.slice(1));
  const faces = found.filter((face) => face.score >= MIN_SCORE && isFace(face.points));
  const kept = [];
  for (const face of merge(faces, known.map(turn)).slice(0, MAX_FACES - known.length)) {
    const isPlain = quarters === 0 && face.score >= PLAIN && Math.abs(roll(face.points)) < 30;
    const confirmed = isPlain ? face : await confirm(turned, face);
    if (confirmed) kept.push(turnFace(confirmed, quarters, turned.width, turned.height));
  }
  return kept;
}

/** The faces that hardly overlap with a better or a known one, the best first. */
function merge(faces, known) {
  const kept = [];
  const order = (a, b) => b.score - a.score || boxArea(b.box) - boxArea(a.box);
  for (const face of [...faces].sort(order)) {
    if (![...known, ...kept].some((other) => isSame(face.box, other.box))) kept.push(face);
  }
  return kept;
}

/** Whether two boxes are of one face: they overlap by 0.3, or one covers half of the other. */
function isSame(one, other) {
  const smaller = Math.min(boxArea(one), boxArea(other));
  return overlap(one, other) > 0.3 || intersection(one, other) > 0.5 * smaller;
}
