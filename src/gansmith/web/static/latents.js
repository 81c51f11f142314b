// Latents in the browser: the random numbers of an image's name, and all that steers them, as gansmith draws them.
//
// A page in one file has no Python, and its seeds must name the images of `gansmith sample`. So this file mirrors
// core/randomness.py (BLAKE2b of the name, numpy's Philox and ziggurat), inference/interpolate.py and web/drawing.py.

const MASK = (1n << 64n) - 1n;
const SAMPLE_ROW = 8; // images of one class in a row of a sample's grid
const VANISHED = 1e-9; // the size of weights that counts as 0
const PARALLEL = 1e-6; // two directions with a smaller sine between them count as parallel
const BLAKE_START = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const BLAKE_ORDERS = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4], [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13], [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11], [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5], [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
const BLAKE_COLUMNS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];

const rotate = (value, by) => ((value >> BigInt(by)) | (value << BigInt(64 - by))) & MASK;

/** Return the first 8 bytes of the 8-byte BLAKE2b (RFC 7693) of a text of at most 128 bytes, as a number. */
function blake2b(text) {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > 128) throw new RangeError("the name of an image is too long");
  const block = new DataView(new ArrayBuffer(128));
  bytes.forEach((byte, at) => block.setUint8(at, byte));
  const words = Array.from({ length: 16 }, (_, at) => block.getBigUint64(at * 8, true));
  const start = [...BLAKE_START];
  start[0] ^= 0x01010008n; // 8 bytes of output, no key
  const v = [...start, ...BLAKE_START];
  v[12] ^= BigInt(bytes.length);
  v[14] ^= MASK;
  for (let round = 0; round < 12; round += 1) {
    const order = BLAKE_ORDERS[round % 10];
    BLAKE_COLUMNS.forEach(([a, b, c, d], at) => {
      v[a] = (v[a] + v[b] + words[order[2 * at]]) & MASK;
      v[d] = rotate(v[d] ^ v[a], 32);
      v[c] = (v[c] + v[d]) & MASK;
      v[b] = rotate(v[b] ^ v[c], 24);
      v[a] = (v[a] + v[b] + words[order[2 * at + 1]]) & MASK;
      v[d] = rotate(v[d] ^ v[a], 16);
      v[c] = (v[c] + v[d]) & MASK;
      v[b] = rotate(v[b] ^ v[c], 63);
    });
  }
  return start[0] ^ v[0] ^ v[8];
}

/** Return the generator of 32-bit numbers of ``per_image``: numpy's Philox4x64-10 with ``key`` and the counter from 1. */
function philox(key) {
  const SECOND_KEY = 0xabf4641a2c71ba49n; // numpy's Philox(0) has it
  let counter = 0n;
  let waiting = [];
  return () => {
    if (!waiting.length) {
      counter += 1n;
      let [a, b, c, d] = [counter, 0n, 0n, 0n];
      let [first, second] = [key, SECOND_KEY];
      for (let round = 0; round < 10; round += 1) {
        const left = a * 0xd2e7470ee14c6c93n;
        const right = c * 0xca5a826395121157n;
        [a, b, c, d] = [(right >> 64n) ^ b ^ first, right & MASK, (left >> 64n) ^ d ^ second, left & MASK];
        first = (first + 0x9e3779b97f4a7c15n) & MASK;
        second = (second + 0xbb67ae8584caa73bn) & MASK;
      }
      waiting = [a, b, c, d].flatMap((word) => [Number(word & 0xffffffffn), Number(word >> 32n)]);
    }
    return waiting.shift();
  };
}

// The ziggurat of numpy's float32 normal numbers: 256 layers of equal area (Marsaglia and Tsang 2000).
const ZIGGURAT_END = 3.6541528853610088;
const ZIGGURAT_AREA = 0.0049286732339746519;
let ziggurat = null;

function makeZiggurat() {
  const density = (x) => Math.exp(-0.5 * x * x);
  const x = new Array(256).fill(0);
  x[255] = ZIGGURAT_END;
  for (let at = 254; at > 0; at -= 1) x[at] = Math.sqrt(-2 * Math.log(density(x[at + 1]) + ZIGGURAT_AREA / x[at + 1]));
  const scale = 2 ** 23;
  const inside = x.map((edge, at) => Math.round((at ? x[at - 1] / edge : (ZIGGURAT_END * density(ZIGGURAT_END)) / ZIGGURAT_AREA) * scale));
  const width = Float32Array.from(x, (edge, at) => (at ? edge : ZIGGURAT_AREA / density(ZIGGURAT_END)) / scale);
  return { inside, width, height: Float32Array.from(x, density) };
}

/** Return ``count`` standard normal numbers, float32, of the generator with this key. */
function normals(key, count) {
  ziggurat ??= makeZiggurat();
  const { inside, width, height } = ziggurat;
  const next = philox(key);
  const uniform = () => (next() >>> 8) / 2 ** 24;
  const round = Math.fround;
  const one = () => {
    for (;;) {
      const drawn = next();
      const layer = drawn & 0xff;
      const size = (drawn >>> 9) & 0x7fffff;
      const x = round(size * width[layer]) * ((drawn >>> 8) & 1 ? -1 : 1);
      if (size < inside[layer]) return x;
      if (layer === 0) {
        for (;;) {
          const far = round(-round(1 / ZIGGURAT_END) * round(Math.log1p(-uniform())));
          const y = round(-round(Math.log1p(-uniform())));
          if (round(y + y) > round(far * far)) {
            const tail = round(round(ZIGGURAT_END) + far);
            return (size >>> 8) & 1 ? -tail : tail;
          }
        }
      }
      if (round(round(round(height[layer - 1] - height[layer]) * uniform()) + height[layer]) < Math.exp(-0.5 * x * x)) return x;
    }
  };
  return Float32Array.from({ length: count }, one);
}

/** Return [seed, number] of an image's name, as BigInt and number: "3" is image 3 of seed 0, "7:3" of seed 7. */
export function parseName(name) {
  const found = /^(?:(\d{1,39}):)?(\d{1,7})$/.exec(name);
  if (!found || Number(found[2]) >= 1_000_000) throw new RangeError(`"${name}" names no image. Write 3 or 7:3.`);
  return [BigInt(found[1] ?? 0), Number(found[2])];
}

const made = new Map(); // latents of names; a wall asks for the same ones again and again

/** Return the latent of an image's name: float32 (latentDim). */
export function latentOf(name, latentDim) {
  const key = `${latentDim}/${name}`;
  if (!made.has(key)) {
    const [seed, number] = parseName(name);
    if (made.size > 2000) made.clear();
    made.set(key, normals(blake2b(`str:sample\x1fint:${seed}\x1fint:${number}`) >> 1n, latentDim));
  }
  return made.get(key);
}

/** Return the class that `gansmith sample` gives to an image: 8 of each class in turn. */
export function labelOf(name, numClasses) {
  return Math.floor(parseName(name)[1] / SAMPLE_ROW) % numClasses;
}

// W. J. Cody's rational approximations (1969), exact to double precision in both tails.
const ERF_MIDDLE = [
  [3.1611237438705656, 113.86415415105016, 377.485237685302, 3209.3775891384695, 0.18577770618460315],
  [23.601290952344122, 244.02463793444417, 1282.6165260773723, 2844.236833439171],
];
const ERFC_SIDE = [
  [0.5641884969886701, 8.883149794388376, 66.11919063714163, 298.6351381974001, 881.952221241769, 1712.0476126340707,
    2051.0783778260716, 1230.3393547979972, 2.1531153547440383e-8],
  [15.744926110709835, 117.6939508913125, 537.1811018620099, 1621.3895745666903, 3290.7992357334597, 4362.619090143247,
    3439.3676741437216, 1230.3393548037495],
];
const ERFC_TAIL = [
  [0.30532663496123236, 0.36034489994980445, 0.12578172611122926, 0.016083785148742275, 6.587491615298378e-4, 0.016315387137302097],
  [2.568520192289822, 1.8729528499234604, 0.5279051029514285, 0.06051834131244132, 0.0023352049762686918],
];

function erfc(x) {
  const y = Math.abs(x);
  if (y <= 0.46875) {
    const square = y * y;
    let [top, bottom] = [ERF_MIDDLE[0][4] * square, square];
    for (let at = 0; at < 3; at += 1) {
      top = (top + ERF_MIDDLE[0][at]) * square;
      bottom = (bottom + ERF_MIDDLE[1][at]) * square;
    }
    return 1 - (x * (top + ERF_MIDDLE[0][3])) / (bottom + ERF_MIDDLE[1][3]);
  }
  let found;
  if (y <= 4) {
    let [top, bottom] = [ERFC_SIDE[0][8] * y, y];
    for (let at = 0; at < 7; at += 1) {
      top = (top + ERFC_SIDE[0][at]) * y;
      bottom = (bottom + ERFC_SIDE[1][at]) * y;
    }
    found = (top + ERFC_SIDE[0][7]) / (bottom + ERFC_SIDE[1][7]);
  } else {
    const square = 1 / (y * y);
    let [top, bottom] = [ERFC_TAIL[0][5] * square, square];
    for (let at = 0; at < 4; at += 1) {
      top = (top + ERFC_TAIL[0][at]) * square;
      bottom = (bottom + ERFC_TAIL[1][at]) * square;
    }
    found = (0.5641895835477563 - (square * (top + ERFC_TAIL[0][4])) / (bottom + ERFC_TAIL[1][4])) / y;
  }
  const whole = Math.trunc(y * 16) / 16;
  found *= Math.exp(-whole * whole) * Math.exp(-(y - whole) * (y + whole));
  return x < 0 ? 2 - found : found;
}

const below = (z) => erfc(-z / Math.SQRT2) / 2;

/** Return the standard normal number below which this share lies: Newton's method from a rough start. */
function quantile(share) {
  if (share > 0.5) return -quantile(1 - share);
  const t = Math.sqrt(-2 * Math.log(share));
  let z = -(t - (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t ** 3));
  for (let step = 0; step < 4; step += 1) {
    const error = (below(z) - share) * Math.sqrt(2 * Math.PI) * Math.exp((z * z) / 2);
    z -= error / (1 + (z * error) / 2);
  }
  return z;
}

/** Map standard normal numbers to the normal distribution cut off at +-threshold; their order is kept. */
export function truncate(latent, threshold) {
  if (threshold === null) return latent;
  const [low, high] = [below(-threshold), below(threshold)];
  return latent.map((z) => Math.min(threshold, Math.max(-threshold, quantile(low + below(z) * (high - low)))));
}

const norm = (values) => Math.sqrt(values.reduce((sum, each) => sum + each * each, 0));

/** Return the sum of latents (arrays of D) times their weights, as spread as one of them: float32 (D). */
export function mix(latents, weights) {
  if (latents.length === 1) return Float32Array.from(latents[0]);
  const spread = Math.sqrt(weights.reduce((sum, each) => sum + each * each, 0));
  if (!(spread > VANISHED)) throw new RangeError("These images add up to nothing: what + adds, − takes away.");
  return Float32Array.from(latents[0], (_, at) => latents.reduce((sum, each, row) => sum + weights[row] * each[at], 0) / spread);
}

/** Return the place of a class given by its name or number, or -1. */
export function classAt(name, classes) {
  const at = classes.indexOf(name);
  return at >= 0 || !/^\d+$/.test(name) || Number(name) >= classes.length ? at : Number(name);
}

/** Return the weights of classes of a state, with the sum 1: float32 (numClasses), or null without classes. */
export function labelsOf(state, classes) {
  if (!classes?.length) return null;
  const weights = new Float32Array(classes.length);
  if (!state.labels) weights[state.latent ? 0 : labelOf(state.seeds[0], classes.length)] = 1;
  for (const [name, weight] of Object.entries(state.labels ?? {})) weights[classAt(name, classes)] += weight;
  const all = Math.fround(weights.reduce((sum, each) => sum + each, 0));
  if (!(all > 0)) throw new RangeError("All labels have the weight 0. Raise one of them.");
  return weights.map((each) => each / all);
}

/** Return {latent, labels} of a state for a model {latent_dim, classes, directions: [{name, vector}]}. */
export function resolve(state, model) {
  const latent = state.latent ? Float32Array.from(state.latent) : drawn(state, model.latent_dim);
  if (latent.length !== model.latent_dim) throw new RangeError("This latent is from another model.");
  for (const [move, by] of Object.entries(state.moves)) {
    const at = Number(move.replace(/^\D+/, ""));
    if (move[0] === "z") latent[at] += Math.fround(by);
    else model.directions[at].vector.forEach((each, place) => { latent[place] += Math.fround(Math.fround(by) * Math.fround(each)); });
  }
  return { latent, labels: labelsOf(state, model.classes) };
}

function drawn(state, latentDim) {
  const shares = new Map(); // of each seed once, because only different seeds are independent
  state.seeds.forEach((name, row) => shares.set(name, (shares.get(name) ?? 0) + state.weights[row]));
  return mix([...shares.keys()].map((name) => truncate(latentOf(name, latentDim), state.truncation)), [...shares.values()]);
}

/** Return the point of the line between two arrays at ``share``. */
export function lerp(start, end, share) {
  return Float32Array.from(start, (each, at) => (1 - share) * each + share * end[at]);
}

/** Return the point on the arc between two latents at ``share`` of its length; see inference/interpolate.py. */
export function slerp(start, end, share) {
  const [first, last] = [norm(start), norm(end)];
  if (Math.min(first, last) === 0) return lerp(start, end, share);
  if (share === 1) return Float32Array.from(end);
  const origin = Array.from(start, (each) => each / first);
  const target = Array.from(end, (each) => each / last);
  const cosine = origin.reduce((sum, each, at) => sum + each * target[at], 0);
  let across = target.map((each, at) => each - cosine * origin[at]);
  const angle = Math.atan2(norm(across), cosine);
  if (norm(across) < PARALLEL && cosine < 0) {
    const sizes = origin.map(Math.abs);
    const axis = sizes.indexOf(Math.min(...sizes));
    across = origin.map((each, at) => (at === axis ? 1 : 0) - origin[axis] * each);
  }
  const sine = norm(across);
  if (sine < PARALLEL) return lerp(start, end, share);
  const size = (1 - share) * first + share * last;
  return Float32Array.from(origin, (each, at) => (Math.cos(share * angle) * each + (Math.sin(share * angle) * across[at]) / sine) * size);
}

/** Return {latent, labels} of each frame of a walk over such stops: even steps, and each stop is a frame. */
export function walk(stops, frames, closed) {
  const path = closed ? [...stops, stops[0]] : stops;
  const legs = path.length - 1;
  const steps = closed ? frames : frames - 1;
  const at = path.map((_, leg) => Math.round((leg * steps) / legs));
  const out = [];
  for (let frame = 0; frame < frames; frame += 1) {
    let leg = 0;
    while (leg < legs - 1 && at[leg + 1] <= frame) leg += 1;
    const share = (frame - at[leg]) / (at[leg + 1] - at[leg]);
    const [from, to] = [path[leg], path[leg + 1]];
    out.push({ latent: slerp(from.latent, to.latent, share), labels: from.labels && lerp(from.labels, to.labels, share) });
  }
  return out;
}
