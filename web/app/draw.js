/**
 * Draws a photo in a style: the rules of the library's `AnimeGANPipeline`.
 *
 * @typedef {{eyeDistance: [number, number], shortSide: number, scope: string, patch: number}} Style
 * @typedef {import("./resize.js").Pixels} Pixels
 * @typedef {import("./geometry.js").Face} Face
 * @typedef {{run: (tensor: Float32Array, width: number, height: number) => Promise<Float32Array>,
 *   report: (fraction: number, text: string) => void, pause: () => Promise<void>}} Tools
 *   run: the network, (1, 3, H, W) in [-1, 1]; pause: lets others work, and throws to stop
 */

import { ffhqMatrix, frontalEyeDistance, scaleOf, widenMatrix } from "./geometry.js";
import { copyPixels, makePixels, resizeCubic, resizeLanczos, roundEven } from "./resize.js";
import { upscale } from "./upscale.js";
import { cut, pasteInto } from "./warp.js";

const MAX_DRAWN_PIXELS = 1_500_000; // what the network draws at once
const MAX_STEP = 2.5; // how many times finer a face's strokes may be before they are given steps
const MAX_REFINEMENT = 1.4;
const MAX_RINGS = 2; // of surroundings between a face and the photo
const FEATHER = 0.25;
const RING_FEATHER = 0.6;
const FINE_SCALE = 1 / 3; // a photo drawn smaller than this has detail for faces of their own
const SLIGHTLY = 0.8; // the least scale at which a cubic filter skips no pixel
const MULTIPLE = 8;
const MIN_SIDE = 32;

/**
 * @param {Pixels} photo
 * @param {Face[]} faces the largest first
 * @param {Style} style
 * @param {Tools} tools
 * @returns {Promise<{toon: Pixels, drawnFaces: number}>}
 */
export async function drawPhoto(photo, faces, style, tools) {
  let toon = photo;
  let scale = 0;
  if (style.scope === "photo") {
    tools.report(0.1, "Drawing the photo");
    await tools.pause();
    scale = refineScale(photo, faces, style, drawingScale(photo, faces, style));
    toon = await draw(photo, scale, photo.width, photo.height, style, tools);
  }
  const least = leastEyeDistance(style, scale);
  const chosen = faces.filter((face) => frontalEyeDistance(face.points) * scale < least);
  if (chosen.length) {
    if (toon === photo) toon = copyPixels(photo);
    await drawFaces(photo, toon, chosen, style, scale, tools);
  }
  return { toon, drawnFaces: chosen.length };
}

/** The scale, at most 1, that bounds the pixels and suits strokes and the largest face. */
function drawingScale({ width, height }, faces, style) {
  let scale = Math.min(1, Math.sqrt(MAX_DRAWN_PIXELS / (width * height)));
  if (style.shortSide) scale = Math.min(scale, style.shortSide / Math.min(width, height));
  if (faces.length) {
    scale = Math.min(scale, style.eyeDistance[1] / frontalEyeDistance(faces[0].points));
  }
  return scale;
}

/** The scale, raised where faces need finer strokes than it has. */
function refineScale({ width, height }, faces, style, scale) {
  if (!faces.some((face) => countRings(face, style, scale))) return scale;
  const largest = style.eyeDistance[1] / frontalEyeDistance(faces[0].points);
  const most = Math.sqrt(MAX_DRAWN_PIXELS / (width * height));
  return Math.max(scale, Math.min(MAX_REFINEMENT * scale, largest, most, 1));
}

/** A photo drawn at `scale`, then at the size `toWidth` x `toHeight`. */
async function draw(photo, scale, toWidth, toHeight, style, { run, pause }) {
  const width = Math.max(1, roundEven(photo.width * scale));
  const height = Math.max(1, roundEven(photo.height * scale));
  const same = width === photo.width && height === photo.height;
  const small = same ? photo : shrink(photo, width, height);
  const toon = await drawPixels(small, style.patch, run);
  if (width === toWidth && height === toHeight) return toon;
  return upscale(toon, toWidth, toHeight, pause);
}

/** The photo at a smaller size; hardly smaller ones in less time. */
function shrink(photo, width, height) {
  const slightly = Math.min(width / photo.width, height / photo.height) >= SLIGHTLY;
  return slightly ? resizeCubic(photo, width, height) : resizeLanczos(photo, width, height, 3);
}

/**
 * An image drawn as it is.
 *
 * @param {Pixels} pixels
 * @param {number} patch side of the pixel blocks that the network works on
 * @param {Tools["run"]} run
 * @returns {Promise<Pixels>}
 */
export async function drawPixels(pixels, patch, run) {
  const [width, height] = [padded(pixels.width, patch), padded(pixels.height, patch)];
  const drawn = await run(toTensor(pixels, width, height), width, height);
  return toPixels(drawn, width, height, pixels.width, pixels.height);
}

/** The next length that a network takes which works on blocks of `patch` px. */
function padded(side, patch) {
  const multiple = MULTIPLE * patch;
  return Math.max(MIN_SIDE * patch, Math.ceil(side / multiple) * multiple);
}

/**
 * Pixels as a tensor in [-1, 1], continued below and to the right by reflection.
 *
 * @param {Pixels} pixels
 * @param {number} toWidth
 * @param {number} toHeight
 * @returns {Float32Array} (3, toHeight, toWidth)
 */
export function toTensor({ data, width, height }, toWidth, toHeight) {
  const plane = toWidth * toHeight;
  const tensor = new Float32Array(3 * plane);
  const columns = reflected(width, toWidth);
  const rows = reflected(height, toHeight);
  for (let y = 0, o = 0; y < toHeight; y++) {
    const row = rows[y] * width;
    for (let x = 0; x < toWidth; x++, o++) {
      const i = (row + columns[x]) * 4;
      tensor[o] = data[i] / 127.5 - 1;
      tensor[o + plane] = data[i + 1] / 127.5 - 1;
      tensor[o + 2 * plane] = data[i + 2] / 127.5 - 1;
    }
  }
  return tensor;
}

function reflected(length, target) {
  const period = Math.max(1, 2 * (length - 1));
  return Int32Array.from({ length: target }, (_, i) => {
    const place = i % period;
    return length > 1 ? Math.min(place, period - place) : 0;
  });
}

/**
 * The upper left part of a tensor in [-1, 1] as pixels.
 *
 * @returns {Pixels}
 */
export function toPixels(tensor, fromWidth, fromHeight, width, height) {
  const plane = fromWidth * fromHeight;
  const result = makePixels(width, height);
  const { data } = result;
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0, i = y * fromWidth; x < width; x++, i++, o += 4) {
      data[o] = (tensor[i] + 1) * 127.5;
      data[o + 1] = (tensor[i + plane] + 1) * 127.5;
      data[o + 2] = (tensor[i + 2 * plane] + 1) * 127.5;
      data[o + 3] = 255;
    }
  }
  return result;
}

/** Draws each face on its own and pastes it in, after rings of its surroundings if need be. */
async function drawFaces(photo, toon, faces, style, scale, tools) {
  for (let ring = MAX_RINGS; ring > 0; ring--) { // the outer ones first
    const done = [];
    for (const face of faces) {
      const steps = countRings(face, style, scale) + 1;
      if (ring >= steps) continue;
      const widen = coarseness(face, style, scale) ** (ring / steps);
      const side = 4 * frontalEyeDistance(face.points) * widen;
      const center = [0, 1].map((axis) => face.points.reduce((sum, p) => sum + p[axis], 0) / 5);
      if (done.some((other) => liesWithin(center, side, other))) continue;
      done.push({ center, side });
      await drawInto(photo, toon, face, cropSize(face, style, scale), widen, style, tools);
    }
  }
  for (const [i, face] of [...faces].reverse().entries()) { // near faces cover far ones
    tools.report(0.6 + (0.35 * i) / faces.length, `Drawing face ${i + 1} of ${faces.length}`);
    await tools.pause();
    await drawInto(photo, toon, face, cropSize(face, style, scale), 1, style, tools);
  }
}

async function drawInto(photo, toon, face, size, widen, style, tools) {
  let matrix = ffhqMatrix(face.points, size);
  if (widen !== 1) matrix = widenMatrix(matrix, size, widen);
  const crop = cut(photo, matrix, size);
  if (!crop) return;
  const side = Math.max(size, roundEven(size / scaleOf(matrix))); // the face's own resolution
  const drawn = await draw(crop, 1, side, side, style, tools);
  pasteInto(toon, matrix, size, drawn, widen === 1 ? FEATHER : RING_FEATHER);
}

/** Pixels between the eyes in a photo drawn at `scale`, below which a face is drawn anew. */
function leastEyeDistance(style, scale) {
  const [low, high] = style.eyeDistance;
  if (style.scope === "face") return Infinity;
  return scale < FINE_SCALE ? Math.sqrt(low * high) : low;
}

/** Pixels a side of a face's crop: its own resolution, within what the style draws well. */
function cropSize(face, style, scale) {
  const [low, high] = style.eyeDistance;
  const own = Math.max(frontalEyeDistance(face.points), Math.sqrt(low * high));
  const eyes = isFar(face, style, scale) ? low : Math.min(own, high);
  return padded(roundEven(4 * eyes), style.patch);
}

/** Whether a photo drawn at `scale`, so that it is enlarged, shows nothing of a face. */
function isFar(face, style, scale) {
  const drawn = frontalEyeDistance(face.points) * scale;
  return scale > 0 && scale < FINE_SCALE && drawn < style.eyeDistance[0] / 2;
}

/** How many times as coarse as a far face's strokes those of the photo are. */
function coarseness(face, style, scale) {
  if (!isFar(face, style, scale)) return 1;
  return cropSize(face, style, scale) / (4 * frontalEyeDistance(face.points) * scale);
}

/** Rings of surroundings that a face needs. */
function countRings(face, style, scale) {
  const coarse = Math.max(coarseness(face, style, scale), 1);
  const steps = Math.ceil(Math.log(coarse) / Math.log(MAX_STEP));
  return Math.min(Math.max(steps - 1, 0), MAX_RINGS);
}

/** Whether a square can do without a ring of its own, as it lies in the middle of another. */
function liesWithin(center, side, other) {
  const away = Math.max(...[0, 1].map((axis) => Math.abs(center[axis] - other.center[axis])));
  return away < 0.25 * other.side && side < 1.25 * other.side;
}
