/**
 * Normal numbers of a seed, the same as the library's: NumPy's `default_rng((seed, salt))`.
 *
 * O'Neill 2014, "PCG: A family of simple fast space-efficient statistically good algorithms for
 * random number generation"; Marsaglia and Tsang 2000, "The ziggurat method".
 */

const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const LAYERS = 256;
const RADIUS = 3.6541528853610088; // where the ziggurat's tail begins
const AREA = 0.00492867323399; // of each of its layers
const STEPS = 2 ** 23; // of a number within a layer

/**
 * @param {number} seed 0 or more, up to 2 ** 53
 * @param {number} salt 0 or more, below 2 ** 32
 * @param {number} count
 * @returns {Float32Array}
 */
export function normals(seed, salt, count) {
  const random = new Pcg64(seedState([...words(seed), ...words(salt)]));
  return Float32Array.from({ length: count }, () => normal(random));
}

/** The words of 32 bits of a number, the lowest first. */
function words(value) {
  const low = value % 2 ** 32;
  const high = Math.floor(value / 2 ** 32);
  return high ? [low, high] : [low];
}

/** NumPy's `SeedSequence(entropy).generate_state(4, uint64)`. */
function seedState(entropy) {
  let constant = 0x43b0d7e5;
  const hash = (value) => {
    value = (value ^ constant) >>> 0;
    constant = Math.imul(constant, 0x931e8875) >>> 0;
    value = Math.imul(value, constant) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (x, y) => {
    const value = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  }
  for (const more of entropy.slice(4)) for (let i = 0; i < 4; i++) pool[i] = mix(pool[i], hash(more));
  constant = 0x8b51f9dd;
  const state = Array.from({ length: 8 }, (_, i) => {
    let value = (pool[i % 4] ^ constant) >>> 0;
    constant = Math.imul(constant, 0x58f38ded) >>> 0;
    value = Math.imul(value, constant) >>> 0;
    return BigInt((value ^ (value >>> 16)) >>> 0);
  });
  return [0, 1, 2, 3].map((i) => state[2 * i] | (state[2 * i + 1] << 32n));
}

/** The generator PCG XSL-RR 128/64. */
class Pcg64 {
  constructor([high, low, streamHigh, streamLow]) {
    this.increment = ((((streamHigh << 64n) | streamLow) << 1n) | 1n) & MASK_128;
    this.state = 0n;
    this.step();
    this.state = (this.state + ((high << 64n) | low)) & MASK_128;
    this.step();
    this.left = null; // half of a number
  }

  step() {
    this.state = (this.state * MULTIPLIER + this.increment) & MASK_128;
  }

  /** @returns {number} 32 bits: first the lower, then the upper half of 64 */
  next() {
    if (this.left !== null) {
      const value = this.left;
      this.left = null;
      return value;
    }
    this.step();
    const mixed = (this.state >> 64n) ^ (this.state & MASK_64);
    const turn = this.state >> 122n;
    const value = ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & MASK_64;
    this.left = Number(value >> 32n);
    return Number(value & 0xffffffffn);
  }

  /** @returns {number} from 0 to 1 */
  uniform() {
    return (this.next() >>> 8) / 2 ** 24;
  }
}

const TABLES = makeTables();

/** Limits, widths and heights of the ziggurat's layers. */
function makeTables() {
  const density = (x) => Math.exp(-0.5 * x * x);
  const edges = new Float64Array(LAYERS);
  edges[LAYERS - 1] = RADIUS;
  for (let i = LAYERS - 2; i >= 1; i--) {
    edges[i] = Math.sqrt(-2 * Math.log(AREA / edges[i + 1] + density(edges[i + 1])));
  }
  const base = AREA / density(RADIUS); // width of the lowest layer with its tail
  const widths = Float32Array.from(edges, (edge, i) => (i ? edge : base) / STEPS);
  const heights = Float32Array.from(edges, density);
  const limits = Uint32Array.from(edges, (edge, i) => {
    if (i === 0) return Math.trunc((RADIUS / base) * STEPS);
    return i === 1 ? 0 : Math.trunc((edges[i - 1] / edge) * STEPS);
  });
  return { widths, heights, limits };
}

/** One normal number, in single precision as NumPy computes it. */
function normal(random) {
  const { widths, heights, limits } = TABLES;
  for (;;) {
    const bits = random.next();
    const layer = bits & 255;
    const place = (bits >>> 9) & 0x7fffff;
    const size = Math.fround(place * widths[layer]);
    const x = bits & 256 ? -size : size;
    if (place < limits[layer]) return x;
    if (layer === 0) {
      for (;;) {
        const far = -Math.log1p(-random.uniform()) / RADIUS;
        const high = -Math.log1p(-random.uniform());
        if (2 * high > far * far) return place & 256 ? -(RADIUS + far) : RADIUS + far;
      }
    }
    const height = (heights[layer - 1] - heights[layer]) * random.uniform() + heights[layer];
    if (height < Math.exp(-0.5 * x * x)) return x;
  }
}
