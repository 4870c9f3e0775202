/** Finds the faces of a photo, in any of the four orientations. */

import { apply, boxArea, ffhqMatrix, invert, isFace, overlap, roll, scaleFace, turnFace }
  from "./geometry.js";
import { View, findFaces } from "./mtcnn.js";
import { makePixels, reduce, resizeArea, resizeLinear, roundEven } from "./resize.js";
import { findSmall } from "./small_faces.js";
import { cut } from "./warp.js";

const MAX_SIDE = 1024; // px to which the longer side is reduced
const MIN_SIDE = 20; // below this the cascade has nothing to look at
const MIN_FACE = 0.08; // of the photo's short side
const NEAR_FACE = 0.15; // of the short side: whom a small photo is of
const MIN_SCORE = 0.9;
const CERTAIN = 0.97; // scores below are confirmed by a second look
const CERTAIN_TURNED = 0.995; // the same in a photo looked at lying on its side
const PLAIN = 0.9995; // an upright face scores above
const NEAR = 256; // px of the view that the second look sees

/**
 * @param {import("./resize.js").Pixels} photo upright
 * @param {import("./mtcnn.js").Run} run
 * @returns {Promise<import("./geometry.js").Face[]>} the largest first
 */
export async function detect(photo, run) {
  const { width, height } = photo;
  const shrink = Math.min(1, MAX_SIDE / Math.max(height, width));
  if (Math.min(height, width) * shrink < MIN_SIDE) return [];
  const w = Math.max(1, roundEven(width * shrink));
  const h = Math.max(1, roundEven(height * shrink));
  const view = new View(shrunk(photo, w, h));
  let found = await look(view, 0, run);
  if (best(found) < PLAIN) {
    const count = found.length;
    for (const quarters of [1, 3, 2]) {
      const turned = await look(view, quarters, run);
      if (turned.length >= count && best(turned) > best(found)) found = turned;
    }
  }
  const faces = found.map((face) => scaleFace(face, [width / w, height / h]));
  if (!isPortrait(photo, shrink, faces)) {
    const largest = Math.max(MIN_SIDE / shrink, MIN_FACE * Math.min(width, height));
    const confirm = (pixels, face) => secondLook(pixels, face, true, run);
    faces.push(...(await findSmall(photo, faces, largest, confirm, run)));
  }
  return faces.sort((a, b) => boxArea(b.box) - boxArea(a.box));
}

/** Whether all pixels of the photo were seen and a near face was found among them. */
function isPortrait({ width, height }, shrink, faces) {
  const sides = faces.map(({ box }) => Math.min(box[2] - box[0], box[3] - box[1]));
  return shrink === 1 && Math.max(0, ...sides) > NEAR_FACE * Math.min(width, height);
}

function shrunk(photo, width, height) {
  if (photo.width === width && photo.height === height) return photo;
  const times = Math.min(Math.floor(photo.width / width), Math.floor(photo.height / height));
  if (times < 2) return resizeArea(photo, width, height);
  return resizeLinear(reduce(photo, times), width, height);
}

/** Faces of a view, looked for after turning it counter-clockwise. */
async function look(upright, quarters, run) {
  const view = upright.turned(quarters);
  const smallest = Math.max(MIN_SIDE, Math.trunc(MIN_FACE * Math.min(view.width, view.height)));
  const faces = [];
  for (const first of await findCandidates(view, smallest, run)) {
    // An upright photo seems to show a face lying down here and there: it must be seen twice.
    if (first.score < MIN_SCORE) continue;
    const face = await secondLook(view.pixels, first, quarters !== 0, run);
    if (face) faces.push(turnFace(face, quarters, view.width, view.height));
  }
  return faces;
}

/**
 * Faces in a view, with points that hold at the border too.
 *
 * The detector stretches a face that the border cuts until the part it sees is a whole one. With a
 * gray margin around the image it does not.
 */
async function findCandidates(view, smallest, run) {
  const faces = (await findFaces(view, smallest, run)).filter((face) => isFace(face.points));
  const beyond = faces.filter((face) => reachesOut(face.box, view));
  if (!beyond.length) return faces;
  const sides = beyond.map(({ box }) => Math.max(box[2] - box[0], box[3] - box[1]));
  const margin = roundEven(Math.max(...sides) / 2);
  const wide = new View(addMargin(view.pixels, margin));
  const again = (await findFaces(wide, smallest, run))
    .filter((face) => isFace(face.points))
    .map(({ box, points, score }) => ({
      box: box.map((edge) => edge - margin),
      points: points.map(([x, y]) => [x - margin, y - margin]),
      score,
    }));
  return faces.map((face) => {
    if (!beyond.includes(face) || !again.length) return face;
    const shared = again.map((other) => overlap(face.box, other.box));
    const most = Math.max(...shared);
    return most > 0.3 ? again[shared.indexOf(most)] : face;
  });
}

/** Whether more than a fiftieth of a box's length or height lies beyond the border. */
function reachesOut([x0, y0, x1, y1], { width, height }) {
  const [across, down] = [0.02 * (x1 - x0), 0.02 * (y1 - y0)];
  return x0 < -across || y0 < -down || x1 > width + across || y1 > height + down;
}

function addMargin(pixels, margin) {
  const wide = makePixels(pixels.width + 2 * margin, pixels.height + 2 * margin);
  wide.data.fill(128);
  for (let y = 0; y < pixels.height; y++) {
    const row = pixels.data.subarray(y * pixels.width * 4, (y + 1) * pixels.width * 4);
    wide.data.set(row, ((y + margin) * wide.width + margin) * 4);
  }
  return wide;
}

/**
 * The face with points as seen upright and near; null for a weak one that is not seen again.
 *
 * The detector was trained on upright faces: beyond 30 degrees of roll its points are off.
 */
async function secondLook(pixels, face, doubtful, run) {
  const certain = doubtful ? CERTAIN_TURNED : CERTAIN;
  let weak = doubtful || face.score < certain;
  let { points, score } = face;
  for (let i = 0; i < 3; i++) {
    const tilted = Math.abs(roll(points)) > 30;
    if (!weak && !tilted) break;
    const matrix = ffhqMatrix(points, NEAR / 2);
    matrix[2] += NEAR / 4; // the face's square in the middle half of the view
    matrix[5] += NEAR / 4;
    const near = cut(pixels, matrix, NEAR);
    if (!near) return null; // points outside of the photo
    const again = (await findCandidates(new View(near), NEAR / 8, run))
      .filter(({ box }) => covers(box, NEAR / 2));
    if (!again.length) break;
    const seen = again.reduce((a, b) => (b.score > a.score ? b : a));
    weak = seen.score < certain;
    score = Math.max(score, seen.score);
    if (tilted) points = seen.points.map((point) => apply(invert(matrix), point));
    if (!tilted || (!weak && Math.abs(roll(seen.points)) < 15)) break;
  }
  return weak ? null : { box: face.box, points, score };
}

function covers([x0, y0, x1, y1], middle) {
  return x0 < middle && middle < x1 && y0 < middle && middle < y1;
}

function best(faces) {
  return Math.max(0, ...faces.map((face) => face.score));
}
