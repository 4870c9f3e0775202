/**
 * Faces, and the matrices between a photo and a crop.
 *
 * A point is [x, y] in pixels with the center of the first pixel at [0, 0]. A matrix
 * [a, b, c, d, e, f] maps it to [a x + b y + c, d x + e y + f].
 *
 * @typedef {[number, number]} Point
 * @typedef {[number, number, number, number, number, number]} Matrix
 * @typedef {{box: [number, number, number, number], points: Point[], score: number}} Face
 *   box: x0, y0, x1, y1; points: left and right eye, nose, left and right corner of the mouth
 */

const mean = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];

/**
 * The distance of the eyes as if the face looked ahead: a quarter of the side of its crop.
 *
 * @param {Point[]} points
 * @returns {number} at least 1
 */
export function frontalEyeDistance(points) {
  const [left, right, , mouthLeft, mouthRight] = points;
  const across = minus(right, left);
  const down = minus(mean(mouthLeft, mouthRight), mean(left, right));
  return Math.max(1, Math.hypot(...across), 0.9 * Math.hypot(...down));
}

/** A face as it lies in a resized photo. @param {Face} face @param {Point} scale @returns {Face} */
export function scaleFace({ box, points, score }, [x, y]) {
  const move = (value, scale) => (value + 0.5) * scale - 0.5;
  return {
    box: [move(box[0], x), move(box[1], y), move(box[2], x), move(box[3], y)],
    points: points.map((point) => [move(point[0], x), move(point[1], y)]),
    score,
  };
}

/** Intersection over union of two boxes. */
export function overlap(one, other) {
  const shared = intersection(one, other);
  return shared / Math.max(boxArea(one) + boxArea(other) - shared, 1e-6);
}

/** Area that two boxes share. */
export function intersection(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return Math.max(0, width) * Math.max(0, height);
}

export function boxArea([x0, y0, x1, y1]) {
  return (x1 - x0) * (y1 - y0);
}

/** Degrees by which the line between the eyes is turned clockwise. */
export function roll(points) {
  const [across, down] = minus(points[1], points[0]);
  return (Math.atan2(down, across) * 180) / Math.PI;
}

/** Whether five points can be aligned: finite, and eyes and mouth apart. */
export function isFace(points) {
  if (!points.flat().every(Number.isFinite)) return false;
  return Math.hypot(...rawAxis(points).across) > 1;
}

function rawAxis(points) {
  const eyes = mean(points[0], points[1]);
  const between = minus(points[1], points[0]);
  const toMouth = minus(mean(points[3], points[4]), eyes);
  return { eyes, between, toMouth, across: [between[0] + toMouth[1], between[1] - toMouth[0]] };
}

/**
 * The matrix from photo pixels to those of the FFHQ crop of `size` px.
 *
 * @param {Point[]} points
 * @param {number} size
 * @returns {Matrix}
 */
export function ffhqMatrix(points, size) {
  const { eyes, between, toMouth, across } = rawAxis(points);
  const length = Math.max(2 * Math.hypot(...between), 1.8 * Math.hypot(...toMouth));
  const norm = Math.hypot(...across);
  const x = (across[0] / norm) * length;
  const y = (across[1] / norm) * length;
  const center = [eyes[0] + 0.1 * toMouth[0], eyes[1] + 0.1 * toMouth[1]];
  const factor = size / 2 / (x * x + y * y);
  const [a, b, d, e] = [x * factor, y * factor, -y * factor, x * factor];
  const middle = (size - 1) / 2;
  return [a, b, middle - a * center[0] - b * center[1], d, e, middle - d * center[0] - e * center[1]];
}

/** The same map to an image `factor` times as large. @returns {Matrix} */
export function scaledMatrix(matrix, factor) {
  const scaled = matrix.map((value) => value * factor);
  scaled[2] += (factor - 1) / 2;
  scaled[5] += (factor - 1) / 2;
  return scaled;
}

/** The matrix of a square of the same size and center that shows `factor` times the side. */
export function widenMatrix(matrix, size, factor) {
  const wide = matrix.map((value) => value / factor);
  const move = ((size - 1) / 2) * (1 - 1 / factor);
  wide[2] += move;
  wide[5] += move;
  return wide;
}

/** The same map for an image that begins at (x, y). @returns {Matrix} */
export function offsetMatrix([a, b, c, d, e, f], x, y) {
  return [a, b, c + a * x + b * y, d, e, f + d * x + e * y];
}

/** @param {Matrix} matrix @returns {Matrix} */
export function invert([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  const [A, B, D, E] = [e / det, -b / det, -d / det, a / det];
  return [A, B, -A * c - B * f, D, E, -D * c - E * f];
}

/** @param {Matrix} matrix @param {Point} point @returns {Point} */
export function apply([a, b, c, d, e, f], [x, y]) {
  return [a * x + b * y + c, d * x + e * y + f];
}

/** How many pixels of the source become one: the root of the determinant. */
export function scaleOf(matrix) {
  return Math.sqrt(Math.abs(matrix[0] * matrix[4] - matrix[1] * matrix[3]));
}

/**
 * The part of a photo that the square of `size` px lies over.
 *
 * @returns {[number, number, number, number]} x0, y0, x1, y1
 */
export function covered(matrix, size, width, height) {
  const back = invert(matrix);
  const [low, high] = [-0.5, size - 0.5];
  const corners = [[low, low], [high, low], [high, high], [low, high]].map((p) => apply(back, p));
  const clip = (value, most) => Math.min(Math.max(value, 0), most);
  const xs = corners.map((corner) => corner[0]);
  const ys = corners.map((corner) => corner[1]);
  return [
    clip(Math.floor(Math.min(...xs)), width),
    clip(Math.floor(Math.min(...ys)), height),
    clip(Math.ceil(Math.max(...xs)) + 1, width),
    clip(Math.ceil(Math.max(...ys)) + 1, height),
  ];
}

/** Points of an image of `width` x `height` after it is turned clockwise by quarters. */
export function turnPoints(points, quarters, width, height) {
  const turns = [
    ([x, y]) => [x, y],
    ([x, y]) => [height - 1 - y, x],
    ([x, y]) => [width - 1 - x, height - 1 - y],
    ([x, y]) => [y, width - 1 - x],
  ];
  return points.map(turns[((quarters % 4) + 4) % 4]);
}

/** A face of an image of `width` x `height` that is turned clockwise by quarters. */
export function turnFace({ box, points, score }, quarters, width, height) {
  const corners = [[box[0], box[1]], [box[2], box[3]]];
  const [[ax, ay], [bx, by]] = turnPoints(corners, quarters, width, height);
  return {
    box: [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)],
    points: turnPoints(points, quarters, width, height),
    score,
  };
}
