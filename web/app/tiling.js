/** Small faces of large photos, searched for in tiles at the photo's own resolution. */

import { boxArea, intersection, isFace, overlap, roll, turnFace } from "./geometry.js";
import { View, findFaces, turnPixels } from "./mtcnn.js";
import { cropPixels, roundEven } from "./resize.js";

const MAX_FACES = 200;
const MIN_FACE = 24; // px of the photo; a smaller face has no features to draw
const CELL = 12; // px a side of what the first network sees
const TILE = 2048; // px a side, without the margin that neighbors share
const MAX_WORK = 1_600_000; // pixels of the photo as the first network sees it at the finest scale
const TURNED_WORK = 6; // a photo without faces is searched on its sides with a sixth of that each
const THRESHOLDS = [0.8, 0.8, 0.8]; // stricter, since there are many more places
const MIN_SCORE = 0.95;
const PLAIN = 0.999; // an upright face with this score needs no confirmation

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
  const rolls = known.map((face) => roll(face.points)).sort((a, b) => a - b);
  const turns = known.length ? roundEven(-median(rolls) / 90) : 0;
  const all = (quarters, work) => search(pixels, known, quarters, largest, confirm, run, work);
  let small = await all(((turns % 4) + 4) % 4, MAX_WORK);
  if (!known.length && !small.length) {
    for (const quarters of [1, 3, 2]) {
      const turned = await all(quarters, MAX_WORK / TURNED_WORK);
      if (turned.length > small.length) small = turned;
    }
  }
  return small;
}

function median(sorted) {
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** As `findSmall`, with the photo turned counter-clockwise. */
async function search(pixels, known, quarters, largest, confirm, run, work) {
  const { width, height } = pixels;
  const least = Math.max(MIN_FACE, Math.ceil(CELL * Math.sqrt((width * height) / work)));
  if (least >= largest) return [];
  const turned = turnPixels(pixels, quarters);
  const faces = [];
  for (const [x0, y0, x1, y1] of tiles(turned.width, turned.height, roundEven(largest))) {
    const view = new View(cropPixels(turned, x0, y0, x1, y1));
    for (const { box, points, score } of await findFaces(view, least, run, THRESHOLDS)) {
      const face = {
        box: [box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0],
        points: points.map(([x, y]) => [x + x0, y + y0]),
        score,
      };
      if (score >= MIN_SCORE && isFace(face.points)) faces.push(face);
    }
  }
  const seen = known.map((face) => turnFace(face, -quarters, width, height));
  const kept = [];
  for (const face of merge(faces, seen).slice(0, MAX_FACES - known.length)) {
    const isPlain = quarters === 0 && face.score >= PLAIN && Math.abs(roll(face.points)) < 30;
    const confirmed = isPlain ? face : await confirm(turned, face);
    if (confirmed) kept.push(turnFace(confirmed, quarters, turned.width, turned.height));
  }
  return kept;
}

/** Boxes that cover an image; neighbors share `margin` px. */
function tiles(width, height, margin) {
  const spans = (length) => {
    const count = Math.max(1, Math.ceil((length - margin) / TILE));
    const step = Math.ceil((length - margin) / count);
    return Array.from({ length: count }, (_, n) =>
      [n * step, Math.min(length, (n + 1) * step + margin)]);
  };
  return spans(height).flatMap(([y0, y1]) =>
    spans(width).map(([x0, x1]) => [x0, y0, x1, y1]));
}

/** The faces that share little with a better or a known one, the best first. */
function merge(faces, known) {
  const kept = [];
  const order = (a, b) => b.score - a.score || boxArea(b.box) - boxArea(a.box);
  for (const face of [...faces].sort(order)) {
    if (![...known, ...kept].some((other) => isSame(face.box, other.box))) kept.push(face);
  }
  return kept;
}

/** Whether two boxes are of one face: they share a third, or the first lies on the other. */
function isSame(one, other) {
  const smaller = Math.min(boxArea(one), boxArea(other));
  return overlap(one, other) > 0.3 || intersection(one, other) > 0.5 * smaller;
}
