/**
 * Resizing of pixels, by the filters of the library: Lanczos, area, linear and cubic.
 *
 * Canvases resize in other ways in each browser, so none is used here.
 *
 * @typedef {{data: Uint8ClampedArray, width: number, height: number}} Pixels RGBA, row by row
 * @typedef {{starts: Int32Array, counts: Int32Array, weights: Float32Array, most: number}} Taps
 */

/**
 * @param {number} width
 * @param {number} height
 * @returns {Pixels} transparent black
 */
export function makePixels(width, height) {
  return { data: new Uint8ClampedArray(width * height * 4), width, height };
}

/**
 * @param {Pixels} pixels
 * @returns {Pixels} a copy
 */
export function copyPixels({ data, width, height }) {
  return { data: data.slice(), width, height };
}

/**
 * A rectangle of an image.
 *
 * @param {Pixels} pixels
 * @param {number} x0 first column
 * @param {number} y0 first row
 * @param {number} x1 last column, not included
 * @param {number} y1 last row, not included
 * @returns {Pixels} a copy
 */
export function cropPixels(pixels, x0, y0, x1, y1) {
  const part = makePixels(x1 - x0, y1 - y0);
  for (let y = y0; y < y1; y++) {
    const start = (y * pixels.width + x0) * 4;
    part.data.set(pixels.data.subarray(start, start + part.width * 4), (y - y0) * part.width * 4);
  }
  return part;
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos3 = (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0);

/**
 * Joins the weights of each output into one table.
 *
 * @param {number} length of the source
 * @param {Array<Array<[number, number]>>} all index and weight; indices beyond the border are
 *   those of the last pixel
 * @returns {Taps}
 */
function tabulate(length, all) {
  const last = length - 1;
  const rows = all.map((taps) => {
    const places = taps.map(([place]) => Math.min(Math.max(place, 0), last));
    const start = Math.min(...places);
    const weights = new Array(Math.max(...places) - start + 1).fill(0);
    taps.forEach(([, weight], i) => (weights[places[i] - start] += weight));
    return { start, weights };
  });
  const most = Math.max(...rows.map((row) => row.weights.length));
  const table = {
    starts: Int32Array.from(rows, (row) => row.start),
    counts: Int32Array.from(rows, (row) => row.weights.length),
    weights: new Float32Array(rows.length * most),
    most,
  };
  rows.forEach((row, i) => table.weights.set(row.weights, i * most));
  return table;
}

/** Weights as Pillow's Lanczos filter; `extent` pixels of the source become `size`. */
function lanczosTaps(length, size, extent = length) {
  const scale = extent / size;
  const wide = Math.max(scale, 1);
  const support = 3 * wide;
  return tabulate(length, Array.from({ length: size }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(length, Math.trunc(center + support + 0.5));
    const taps = [];
    for (let x = first; x < end; x++) taps.push([x, lanczos3((x - center + 0.5) / wide)]);
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([x, weight]) => [x, weight / sum]);
  }));
}

/**
 * Means over the pixels that an output covers.
 *
 * @param {number} length of the source
 * @param {number} size
 * @returns {Taps}
 */
export function areaTaps(length, size) {
  const scale = length / size;
  return tabulate(length, Array.from({ length: size }, (_, i) => {
    const taps = [];
    for (let x = Math.floor(i * scale); x < Math.ceil((i + 1) * scale - 1e-9); x++) {
      const shared = Math.min(x + 1, (i + 1) * scale) - Math.max(x, i * scale);
      if (shared > 1e-6) taps.push([x, shared / scale]);
    }
    return taps;
  }));
}

/** Two neighbors. */
function linearTaps(length, size) {
  return tabulate(length, Array.from({ length: size }, (_, i) => {
    const place = ((i + 0.5) * length) / size - 0.5;
    const left = Math.floor(place);
    return [[left, 1 - (place - left)], [left + 1, place - left]];
  }));
}

/** Four neighbors, by the cubic of OpenCV. */
function cubicTaps(length, size) {
  const A = -0.75;
  const near = (x) => ((A + 2) * x - (A + 3)) * x * x + 1;
  const far = (x) => ((A * x - 5 * A) * x + 8 * A) * x - 4 * A;
  return tabulate(length, Array.from({ length: size }, (_, i) => {
    const place = ((i + 0.5) * length) / size - 0.5;
    const left = Math.floor(place);
    const t = place - left;
    return [[left - 1, far(t + 1)], [left, near(t)], [left + 1, near(1 - t)], [left + 2, far(2 - t)]];
  }));
}

/** Rows of an image, each at another width, written into `out`; alpha is opaque. */
function resampleRows({ data, width, height }, taps, out) {
  const { starts, counts, weights, most } = taps;
  const size = starts.length;
  for (let y = 0, o = 0; y < height; y++) {
    const row = y * width * 4;
    for (let x = 0; x < size; x++, o += 4) {
      let red = 0, green = 0, blue = 0;
      let place = row + starts[x] * 4;
      for (let i = x * most, end = i + counts[x]; i < end; i++, place += 4) {
        const weight = weights[i];
        red += weight * data[place];
        green += weight * data[place + 1];
        blue += weight * data[place + 2];
      }
      out[o] = red;
      out[o + 1] = green;
      out[o + 2] = blue;
      out[o + 3] = 255;
    }
  }
  return { data: out, width: size, height };
}

/** Columns of an image, each at another height. */
function resampleColumns({ data, width }, taps) {
  const { starts, counts, weights, most } = taps;
  const size = starts.length;
  const result = makePixels(width, size);
  const sums = new Float32Array(width * 4);
  for (let y = 0; y < size; y++) {
    sums.fill(0);
    for (let i = 0; i < counts[y]; i++) {
      const weight = weights[y * most + i];
      const row = (starts[y] + i) * width * 4;
      for (let x = 0; x < sums.length; x++) sums[x] += weight * data[row + x];
    }
    result.data.set(sums, y * sums.length);
  }
  return result;
}

/** `exact`: rows are not rounded, as by OpenCV, but not by Pillow. */
function resample(pixels, across, down, exact = false) {
  const size = across.starts.length * pixels.height * 4;
  const rows = exact ? new Float32Array(size) : new Uint8ClampedArray(size);
  return resampleColumns(resampleRows(pixels, across, rows), down);
}

/**
 * Means over blocks of pixels; the last block of a row or column may be smaller.
 *
 * @param {Pixels} pixels
 * @param {number} across 1 or more
 * @param {number} down 1 or more
 * @returns {Pixels}
 */
export function reduce({ data, width, height }, across, down = across) {
  const result = makePixels(Math.ceil(width / across), Math.ceil(height / down));
  for (let y = 0, o = 0; y < result.height; y++) {
    const bottom = Math.min(height, (y + 1) * down);
    for (let x = 0; x < result.width; x++, o += 4) {
      const right = Math.min(width, (x + 1) * across);
      let red = 0, green = 0, blue = 0;
      for (let v = y * down; v < bottom; v++) {
        for (let u = x * across, i = (v * width + u) * 4; u < right; u++, i += 4) {
          red += data[i];
          green += data[i + 1];
          blue += data[i + 2];
        }
      }
      const count = (bottom - y * down) * (right - x * across);
      result.data[o] = red / count;
      result.data[o + 1] = green / count;
      result.data[o + 2] = blue / count;
      result.data[o + 3] = 255;
    }
  }
  return result;
}

/**
 * Pillow's `resize(size, LANCZOS, reducing_gap=gap)`.
 *
 * @param {Pixels} pixels
 * @param {number} width
 * @param {number} height
 * @param {number} [gap] reduces by blocks first where the source is more than this times as large
 * @returns {Pixels}
 */
export function resizeLanczos(pixels, width, height, gap = Infinity) {
  const across = Math.max(1, Math.trunc(pixels.width / width / gap));
  const down = Math.max(1, Math.trunc(pixels.height / height / gap));
  const small = across > 1 || down > 1 ? reduce(pixels, across, down) : pixels;
  return resample(
    small,
    lanczosTaps(small.width, width, pixels.width / across),
    lanczosTaps(small.height, height, pixels.height / down),
  );
}

/** @param {Pixels} pixels @param {number} width @param {number} height @returns {Pixels} */
export function resizeArea(pixels, width, height) {
  return resample(pixels, areaTaps(pixels.width, width), areaTaps(pixels.height, height), true);
}

/** @param {Pixels} pixels @param {number} width @param {number} height @returns {Pixels} */
export function resizeLinear(pixels, width, height) {
  return resample(pixels, linearTaps(pixels.width, width), linearTaps(pixels.height, height));
}

/** @param {Pixels} pixels @param {number} width @param {number} height @returns {Pixels} */
export function resizeCubic(pixels, width, height) {
  return resample(pixels, cubicTaps(pixels.width, width), cubicTaps(pixels.height, height));
}

/**
 * The size of an image whose longer side is at most `side`.
 *
 * @param {number} width
 * @param {number} height
 * @param {number} side
 * @returns {[number, number]}
 */
export function fitSize(width, height, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return [Math.max(1, roundEven(width * scale)), Math.max(1, roundEven(height * scale))];
}

/** Rounds as Python does: halves to the even number. @param {number} value @returns {number} */
export function roundEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}
