/** Blurs and slopes of planes of numbers. */

/**
 * Weights of a Gaussian of 2 reach + 1 pixels.
 *
 * @param {number} reach
 * @param {number} sigma
 * @returns {Float32Array}
 */
export function gaussian(reach, sigma) {
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma)));
  const sum = weights.reduce((a, b) => a + b, 0);
  return Float32Array.from(weights, (weight) => weight / sum);
}

/** The index of a pixel, mirrored beyond the border. */
function mirror(index, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const place = Math.abs(index) % period;
  return place < length ? place : period - place;
}

/**
 * A plane blurred along both axes, mirrored beyond the border.
 *
 * @param {Float32Array} plane
 * @param {number} width
 * @param {number} height
 * @param {Float32Array} kernel symmetric, of an odd length
 * @returns {Float32Array}
 */
export function blur(plane, width, height, kernel) {
  const reach = kernel.length >> 1;
  const rows = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const start = y * width;
    for (let x = 0; x < width; x++) {
      let sum = 0;
      if (x >= reach && x < width - reach) {
        const i = start + x;
        sum = kernel[reach] * plane[i];
        for (let k = 1; k <= reach; k++) sum += kernel[reach + k] * (plane[i - k] + plane[i + k]);
      } else {
        for (let k = 0; k < kernel.length; k++) {
          sum += kernel[k] * plane[start + mirror(x + k - reach, width)];
        }
      }
      rows[start + x] = sum;
    }
  }
  const result = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const out = result.subarray(y * width, (y + 1) * width);
    const middle = kernel[reach];
    for (let x = 0; x < width; x++) out[x] = middle * rows[y * width + x];
    for (let k = 1; k <= reach; k++) {
      const weight = kernel[reach + k];
      const above = mirror(y - k, height) * width;
      const below = mirror(y + k, height) * width;
      for (let x = 0; x < width; x++) out[x] += weight * (rows[above + x] + rows[below + x]);
    }
  }
  return result;
}

/**
 * Calls `use(i, right, down)` with the slopes per pixel of a plane (Scharr's filter).
 *
 * @param {Float32Array} plane
 * @param {number} width
 * @param {number} height
 * @param {(i: number, right: number, down: number) => void} use
 */
export function eachSlope(plane, width, height, use) {
  for (let y = 0, i = 0; y < height; y++) {
    const up = mirror(y - 1, height) * width;
    const here = y * width;
    const low = mirror(y + 1, height) * width;
    for (let x = 0; x < width; x++, i++) {
      const left = x > 0 ? x - 1 : mirror(-1, width);
      const right = x < width - 1 ? x + 1 : mirror(width, width);
      const a = plane[up + left], b = plane[up + right];
      const c = plane[low + left], d = plane[low + right];
      use(
        i,
        (3 * (b - a + d - c) + 10 * (plane[here + right] - plane[here + left])) / 32,
        (3 * (c - a + d - b) + 10 * (plane[low + x] - plane[up + x])) / 32,
      );
    }
  }
}
