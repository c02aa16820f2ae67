// A complete GAN, on points instead of pictures: two small networks, their losses, one step at a time.
import * as t from "./tensor.js";

export const DATA = {
  two: { dimensions: 1, title: "two modes, in one dimension", modes: [[-1.2], [1.2]], spread: 0.25 },
  ring: { dimensions: 2, title: "eight modes on a ring, in two dimensions", modes: Array.from({ length: 8 }, (_, i) => [1.5 * Math.cos((i * Math.PI) / 4), 1.5 * Math.sin((i * Math.PI) / 4)]), spread: 0.12 },
  pair: { dimensions: 2, title: "two modes, in two dimensions", modes: [[-1.2, -0.6], [1.2, 0.6]], spread: 0.25 },
};
export const LOSSES = { dcgan: "DCGAN: cross-entropy", wgan: "WGAN: weight clipping", wgan_gp: "WGAN-GP: gradient penalty" };
export const DEFAULTS = { data: "ring", loss: "wgan_gp", generatorRate: 0.002, discriminatorRate: 0.004, turns: 2, generatorTurns: 1, penalty: 1, seed: 1 };
// What differs from DEFAULTS in the experiments of the panel, the tour and the lesson.
export const PRESETS = {
  "An uninformative loss": { data: "pair", loss: "dcgan" },
  "An informative loss": { data: "pair", loss: "wgan_gp", generatorRate: 0.001, turns: 4 },
  "Collapse": { data: "ring", loss: "dcgan", generatorRate: 0.005, discriminatorRate: 0.02, turns: 1, generatorTurns: 10 },
  "No penalty": { data: "ring", loss: "wgan_gp", penalty: 0 },
  "With penalty": { data: "ring", loss: "wgan_gp", penalty: 1 },
};
const BATCH = 64;
const NOISE = 3;
const CLIP = 0.4;

// At most 2,000 points in even steps: when there are more, every second one is dropped, of the next ones too.
const MOST_POINTS = 2000;
class Series {
  constructor() {
    Object.assign(this, { points: [], every: 1, added: 0 });
  }
  add(...point) {
    if (this.added++ % this.every === 0) this.points.push(point);
    if (this.points.length < MOST_POINTS) return;
    this.points = this.points.filter((_, i) => i % 2 === 0);
    this.every *= 2;
  }
}

export class Game {
  constructor(settings) {
    Object.assign(this, DEFAULTS, settings);
    this.dice = t.random(this.seed);
    const { dimensions } = DATA[this.data];
    this.generator = new t.Network([NOISE, 24, 24, dimensions], this.dice);
    this.discriminator = new t.Network([dimensions, 28, 28, 1], this.dice);
    this.optimizers = { generator: new t.Adam(this.generator.weights), discriminator: new t.Adam(this.discriminator.weights) };
    this.steps = 0;
    this.losses = { generator: new Series(), discriminator: new Series() }; // [round, loss]
    this.distances = new Series(); // [round, distance]
    this.shown = { real: this.real(256), noise: this.noise(256) };
  }

  real(count) {
    const { modes, dimensions, spread } = DATA[this.data];
    const points = t.constant(count, dimensions, 0);
    for (let i = 0; i < count; i++) {
      const mode = modes[Math.floor(this.dice.uniform() * modes.length)];
      for (let d = 0; d < dimensions; d++) points.data[i * dimensions + d] = mode[d] + spread * this.dice.normal();
    }
    return points;
  }
  noise(count) {
    return t.constant(count, NOISE, () => this.dice.normal());
  }

  // One step of the discriminator. Returns its loss.
  stepDiscriminator() {
    const real = this.real(BATCH);
    const fake = t.constant(BATCH, real.columns, 0);
    fake.data.set(this.generator.forward(this.noise(BATCH)).data); // no gradient for the generator
    const [onReal, onFake] = [this.discriminator.forward(real), this.discriminator.forward(fake)];
    let loss =
      this.loss === "dcgan"
        ? t.add(t.mean(t.softplus(t.scale(onReal, -1))), t.mean(t.softplus(onFake)))
        : t.sub(t.mean(onFake), t.mean(onReal));
    const shown = loss.item();
    if (this.loss === "wgan_gp") loss = t.add(loss, t.scale(this.slopePenalty(real, fake), this.penalty));
    this.optimizers.discriminator.step(t.gradients(loss, this.discriminator.weights), this.discriminatorRate);
    if (this.loss === "wgan") for (const weight of this.discriminator.weights) for (let i = 0; i < weight.data.length; i++) weight.data[i] = Math.max(-CLIP, Math.min(CLIP, weight.data[i]));
    this.losses.discriminator.add(this.steps, shown);
    return shown;
  }

  // Gradient penalty: deviation of the gradient norm from 1 between real and generated points, Eq. (3) of Gulrajani et al. 2017.
  slopePenalty(real, fake) {
    const between = t.constant(real.rows, real.columns, 0);
    for (let i = 0; i < real.rows; i++) {
      const share = this.dice.uniform();
      for (let d = 0; d < real.columns; d++) {
        const k = i * real.columns + d;
        between.data[k] = share * real.data[k] + (1 - share) * fake.data[k];
      }
    }
    const [slope] = t.gradients(t.sum(this.discriminator.forward(between)), [between]);
    const length = t.root(t.shift(t.rowSum(t.mul(slope, slope)), 1e-12));
    const off = t.shift(length, -1);
    return t.mean(t.mul(off, off));
  }

  // One step of the generator. Returns its loss.
  stepGenerator() {
    const scores = this.discriminator.forward(this.generator.forward(this.noise(BATCH)));
    const loss = this.loss === "dcgan" ? t.mean(t.softplus(t.scale(scores, -1))) : t.scale(t.mean(scores), -1);
    this.optimizers.generator.step(t.gradients(loss, this.generator.weights), this.generatorRate);
    this.losses.generator.add(this.steps, loss.item());
    return loss.item();
  }

  round() {
    for (let turn = 0; turn < this.turns; turn++) this.stepDiscriminator();
    for (let turn = 0; turn < this.generatorTurns; turn++) this.stepGenerator();
    this.steps++;
    if (this.steps % 10 === 0) this.distances.add(this.steps, this.distance());
  }

  drawn() {
    return this.generator.forward(this.shown.noise);
  }

  // Hidden from both networks: the sliced Wasserstein distance between generated and real points, over 16 directions.
  distance() {
    const [real, drawn] = [this.shown.real, this.drawn()];
    const directions = real.columns === 1 ? 1 : 16;
    let total = 0;
    for (let k = 0; k < directions; k++) {
      const angle = (k * Math.PI) / directions;
      const along = (points) => Float64Array.from({ length: points.rows }, (_, i) => (points.columns === 1 ? points.data[i] : points.data[2 * i] * Math.cos(angle) + points.data[2 * i + 1] * Math.sin(angle))).sort();
      const [a, b] = [along(real), along(drawn)];
      total += a.reduce((far, value, i) => far + Math.abs(value - b[i]), 0) / a.length / directions;
    }
    return total;
  }

  // The number of modes with at least a quarter of their share of generated points.
  modes() {
    const { modes, spread } = DATA[this.data];
    const drawn = this.drawn();
    const counts = modes.map((mode) => {
      let near = 0;
      for (let i = 0; i < drawn.rows; i++) if (Math.hypot(...mode.map((value, d) => drawn.data[i * drawn.columns + d] - value)) < 3 * spread) near++;
      return near;
    });
    return counts.filter((count) => count >= drawn.rows / modes.length / 4).length;
  }
}
