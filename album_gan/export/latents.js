// Seeds, names and latents: album_gan/inference/latents.py in JavaScript. WORDS comes from there.

const BITS = (1n << 64n) - 1n;

/** Four 64-bit words: Philox4x64-10 (Salmon et al. 2011) with the key (seed, use), the counter (counter, 0, 0, 0). */
function philox(seed, counter, use = 0n) {
  let [a, b, c, d] = [counter, 0n, 0n, 0n];
  let [key0, key1] = [seed, use];
  for (let round = 0; round < 10; round++) {
    const first = 0xd2e7470ee14c6c93n * a;
    const second = 0xca5a826395121157n * c;
    [a, b, c, d] = [(second >> 64n) ^ b ^ key0, second & BITS, (first >> 64n) ^ d ^ key1, first & BITS];
    key0 = (key0 + 0x9e3779b97f4a7c15n) & BITS;
    key1 = (key1 + 0xbb67ae8584caa73bn) & BITS;
  }
  return [a, b, c, d];
}

/** A seed -> its standard normal latent, by Box-Muller. */
function latentOf(seed, size) {
  const latent = new Float32Array(size);
  for (let block = 0; 4 * block < size; block++) {
    const words = philox(BigInt(seed), BigInt(block + 1)).map((word) => Number(word >> 11n));
    for (const pair of [0, 2]) {
      const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) / 2 ** 53));
      const angle = 2 * Math.PI * (words[pair + 1] / 2 ** 53);
      const at = 4 * block + pair;
      if (at < size) latent[at] = radius * Math.cos(angle);
      if (at + 1 < size) latent[at + 1] = radius * Math.sin(angle);
    }
  }
  return latent;
}

/** The default class of a seed, as a number; 0, any, for a model without class counts. */
function classOf(seed, counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let row = Number(((philox(BigInt(seed), 1n, 1n)[0] >> 32n) * BigInt(total)) >> 32n);
  let number = 0;
  while (number + 1 < counts.length && row >= counts[number]) row -= counts[number++];
  return number;
}

/** 42 -> its readable name. */
function nameOf(seed) {
  const number = Number((BigInt(seed) * BigInt(WORDS.multiplier) + BigInt(WORDS.offset)) % BigInt(WORDS.count));
  const rest = Math.floor(number / 1000);
  const [adjective, noun] = [Math.floor(rest / WORDS.nouns.length), rest % WORDS.nouns.length];
  return `${WORDS.adjectives[adjective]}-${WORDS.nouns[noun]}-${String(number % 1000).padStart(3, "0")}`;
}

// Python's white space and case folding.
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const trimmed = (text) => text.replace(new RegExp(`^${SPACE}+|${SPACE}+$`, "g"), "");
const folded = (text) => Array.from(text, (letter) => WORDS.fold[letter] ?? letter).join("");

/** The seed that a text names exactly, as a number or a readable name; null for any other words. */
function exactSeed(text) {
  const number = /^0*([0-9]{1,8})$/.exec(trimmed(text));
  if (number) return Number(number[1]);
  const parts = folded(trimmed(text)).split(new RegExp(`(?:${SPACE}|[_-])+`));
  if (parts.length !== 3 || !/^[0-9]{3}$/.test(parts[2])) return null;
  const [adjective, noun] = [WORDS.adjectives.indexOf(parts[0]), WORDS.nouns.indexOf(parts[1])];
  if (adjective < 0 || noun < 0) return null;
  const place = BigInt((adjective * WORDS.nouns.length + noun) * 1000 + Number(parts[2]));
  const count = BigInt(WORDS.count);
  return Number(((((place - BigInt(WORDS.offset)) * BigInt(WORDS.inverse)) % count) + count) % count);
}

/** The seed for any typed text: a number, a name, or by SHA-256 of other text. */
function seedForAnyText(text) {
  const words = trimmed(folded(text.normalize("NFC"))).split(new RegExp(`${SPACE}+`)).join(" ");
  return exactSeed(text) ?? sha256(new TextEncoder().encode(words)).reduce((rest, byte) => (rest * 256 + byte) % WORDS.count, 0);
}

/** What a text chooses, as read_seeds does in Python, with its errors: [{seed, typed}, ...], typed "" for exact ones. */
function readSeeds(text) {
  const chosen = [];
  const range = new RegExp(`^${SPACE}*([0-9]+)${SPACE}*-${SPACE}*([0-9]+)${SPACE}*$`);
  const choose = (words) => chosen.push({ seed: seedForAnyText(words), typed: trimmed(words).split(new RegExp(`${SPACE}+`)).join(" ") });
  const seedOf = (item) => {
    const seed = exactSeed(item);
    if (seed !== null) return seed;
    throw new Error(`seed must be a number from 0 to ${WORDS.count - 1} or a name, got ${quoted(item)}; try 42 or velvet-otter-042`);
  };
  for (const part of text.replace(/^[ ;\n]+|[ ;\n]+$/g, "").split(/[;\n]/)) {
    const items = part.split(",");
    const numbers = new RegExp(`^(?:[0-9,-]|${SPACE})*$`).test(part);
    const exact = items.map((item) => range.test(item) || exactSeed(item) !== null);
    const named = items.some((item, i) => exact[i] && /[a-z]/.test(folded(item)));
    if (!numbers && !named && !exact.every(Boolean)) {
      choose(part);
      continue;
    }
    items.forEach((item, i) => {
      if (!trimmed(item)) {
        const remedy = trimmed(text) ? "remove the empty item" : "name a seed";
        throw new Error(`seeds must be a list such as 1,2,7-9, got ${quoted(text)}; ${remedy}`);
      }
      if (!exact[i] && !numbers) return choose(item);
      const [, ...ends] = range.exec(item) ?? [item, item, item];
      const [first, last] = ends.map(seedOf);
      if (last < first) throw new Error(`seeds must have ranges that run upwards, got ${trimmed(item)}; write ${last}-${first}`);
      if (chosen.length + last - first >= WORDS.longest) {
        throw new Error(`seeds must be at most ${WORDS.longest} in one list, got more; split ${quoted(text)}`);
      }
      for (let seed = first; seed <= last; seed++) chosen.push({ seed, typed: "" });
    });
  }
  return chosen;
}

/** A text in quotes, shortened; without the escapes of Python, since a field holds one line. */
function quoted(text) {
  const letters = Array.from(`'${text}'`);
  return letters.length <= 60 ? letters.join("") : `${letters.slice(0, 57).join("")}...`;
}

/** FIPS 180-4. crypto.subtle is missing in some browsers for pages opened from disk. */
function sha256(bytes) {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  const constants = primes.map((prime) => fraction(Math.cbrt(prime)));
  const state = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));

  const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const turn = (x, by) => (x >>> by) | (x << (32 - by));
  for (let start = 0; start < padded.length; start += 64) {
    const w = Array.from({ length: 16 }, (_, i) => view.getInt32(start + 4 * i));
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      if (i >= 16) {
        const [x, y] = [w[i - 15], w[i - 2]];
        const low = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
        const high = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
        w[i] = (w[i - 16] + low + w[i - 7] + high) | 0;
      }
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => (state[i] = (state[i] + value) | 0));
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((value, i) => digest.setInt32(4 * i, value));
  return new Uint8Array(digest.buffer);
}
