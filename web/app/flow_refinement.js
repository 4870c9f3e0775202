/**
 * Optical flow made smooth but for the edges of motions.
 *
 * Brox et al. 2004, "High Accuracy Optical Flow Estimation Based on a Theory for Warping": a field
 * is sought along which colors and gradients stay, and which changes little. Each of a few rounds
 * solves linear equations by successive over-relaxation. The settings are OpenCV's.
 */

import { samplePlane } from "./planes.js";

const ROUNDS = 5;
const RELAXATIONS = 5; // in a round
const ALPHA = 20 / 2; // weight of smoothness
const DELTA = 5 / 2; // of colors that stay
const GAMMA = 10 / 2; // of gradients that stay
const OMEGA = 1.6; // of over-relaxation
const EPSILON = 0.01 ** 2;
const ZETA = 0.1 ** 2; // which keeps flat areas solvable

/**
 * @param {import("./flow.js").Level} level
 * @param {import("./flow.js").Motion} motion
 * @returns {import("./flow.js").Motion}
 */
export function refineFlow(level, motion) {
  const { width, height } = level;
  const count = width * height;
  const slopes = derive(level, motion);
  const make = () => new Float32Array(count);
  const equations = { xx: make(), xy: make(), yy: make(), x: make(), y: make() };
  const weights = make();
  const change = { right: make(), down: make() };
  let found = motion;
  for (let round = 0; round < ROUNDS; round++) {
    addColors(equations, slopes, change);
    addGradients(equations, slopes, change);
    addSmoothness(equations, weights, motion, found, width, height);
    for (let i = 0; i < RELAXATIONS; i++) {
      for (const color of [0, 1]) relax(equations, weights, change, width, height, color);
    }
    found = {
      right: motion.right.map((value, i) => value + change.right[i]),
      down: motion.down.map((value, i) => value + change.down[i]),
    };
  }
  return found;
}

/** Derivatives of the mean of both images along the motion (x, y) and of their difference (z). */
function derive({ width, height, from, to }, { right, down }) {
  const moved = samplePlane(to, right, down, width, height);
  const mean = moved.map((value, i) => 0.5 * (value + from[i]));
  const z = moved.map((value, i) => value - from[i]);
  const across = (plane) => differ(plane, width, height, 1, 0);
  const steep = (plane) => differ(plane, width, height, 0, 1);
  const [x, y] = [across(mean), steep(mean)];
  return {
    x, y, z, xx: across(x), xy: steep(x), yy: steep(y), xz: across(z), yz: steep(z),
  };
}

/** Differences of the pixels after and before each one. */
function differ(plane, width, height, dx, dy) {
  const result = new Float32Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    const above = Math.max(y - dy, 0) * width;
    const below = Math.min(y + dy, height - 1) * width;
    for (let x = 0; x < width; x++, i++) {
      result[i] = plane[below + Math.min(x + dx, width - 1)] - plane[above + Math.max(x - dx, 0)];
    }
  }
  return result;
}

/** Begins the equations: colors stay along the motion. */
function addColors(equations, { x, y, z }, { right, down }) {
  for (let i = 0; i < x.length; i++) {
    const norm = x[i] * x[i] + y[i] * y[i] + ZETA;
    const error = z[i] + x[i] * right[i] + y[i] * down[i];
    const weight = DELTA / Math.sqrt((error * error) / norm + EPSILON) / norm;
    equations.xx[i] = weight * x[i] * x[i] + ZETA;
    equations.xy[i] = weight * x[i] * y[i];
    equations.yy[i] = weight * y[i] * y[i] + ZETA;
    equations.x[i] = -weight * z[i] * x[i];
    equations.y[i] = -weight * z[i] * y[i];
  }
}

/** Gradients stay along the motion. */
function addGradients(equations, { xx, xy, yy, xz, yz }, { right, down }) {
  for (let i = 0; i < xx.length; i++) {
    const a = xx[i], b = xy[i], d = yy[i], p = xz[i], q = yz[i];
    const normX = a * a + b * b + ZETA;
    const normY = d * d + b * b + ZETA;
    const errorX = p + a * right[i] + b * down[i];
    const errorY = q + b * right[i] + d * down[i];
    const weight = GAMMA
      / Math.sqrt((errorX * errorX) / normX + (errorY * errorY) / normY + EPSILON);
    equations.xx[i] += weight * ((a * a) / normX + (b * b) / normY);
    equations.xy[i] += weight * ((a * b) / normX + (b * d) / normY);
    equations.yy[i] += weight * ((b * b) / normX + (d * d) / normY);
    equations.x[i] -= weight * ((a * p) / normX + (b * q) / normY);
    equations.y[i] -= weight * ((b * p) / normX + (d * q) / normY);
  }
}

/** Neighbors move alike, the more so where they do already (`found`). */
function addSmoothness(equations, weights, motion, found, width, height) {
  const { right, down } = found;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const beside = x < width - 1 ? i + 1 : i;
      const below = y < height - 1 ? i + width : i;
      const sum = (right[beside] - right[i]) ** 2 + (down[beside] - down[i]) ** 2
        + (right[below] - right[i]) ** 2 + (down[below] - down[i]) ** 2;
      weights[i] = ALPHA / Math.sqrt(sum + EPSILON);
      if (beside !== i) tie(equations, motion, weights[i], i, beside);
      if (below !== i) tie(equations, motion, weights[i], i, below);
    }
  }
}

/** Ties the motions of two pixels. */
function tie(equations, motion, weight, one, other) {
  const u = weight * (motion.right[other] - motion.right[one]);
  const v = weight * (motion.down[other] - motion.down[one]);
  equations.x[one] += u;
  equations.y[one] += v;
  equations.x[other] -= u;
  equations.y[other] -= v;
  equations.xx[one] += weight;
  equations.yy[one] += weight;
  equations.xx[other] += weight;
  equations.yy[other] += weight;
}

/** Solves the equations of every second pixel, as on a checkerboard; changes `change`. */
function relax({ xx, xy, yy, x: b, y: c }, weights, { right, down }, width, height, color) {
  for (let y = 0; y < height; y++) {
    for (let x = (y + color) % 2; x < width; x += 2) {
      const i = y * width + x;
      const weight = weights[i];
      let u = 0, v = 0;
      if (x > 0) {
        u += weights[i - 1] * right[i - 1];
        v += weights[i - 1] * down[i - 1];
      }
      if (x < width - 1) {
        u += weight * right[i + 1];
        v += weight * down[i + 1];
      }
      if (y > 0) {
        u += weights[i - width] * right[i - width];
        v += weights[i - width] * down[i - width];
      }
      if (y < height - 1) {
        u += weight * right[i + width];
        v += weight * down[i + width];
      }
      right[i] += OMEGA * ((u + b[i] - down[i] * xy[i]) / xx[i] - right[i]);
      down[i] += OMEGA * ((v + c[i] - right[i] * xy[i]) / yy[i] - down[i]);
    }
  }
}
