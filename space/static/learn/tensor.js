// Automatic differentiation of matrices, including gradients of gradients, which a gradient penalty
// needs. Every gradient rule below consists of operations that have rules themselves.
export class Tensor {
  constructor(rows, columns, data = new Float64Array(rows * columns), parents = [], rule = null) {
    Object.assign(this, { rows, columns, data, parents, rule });
  }
  item() {
    return this.data[0];
  }
}

const make = (rows, columns, value, parents, rule) => {
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < data.length; i++) data[i] = value(i);
  return new Tensor(rows, columns, data, parents, rule);
};
const like = (a, value, parents, rule) => make(a.rows, a.columns, value, parents, rule);

export const constant = (rows, columns, value) => make(rows, columns, typeof value === "function" ? value : () => value, [], null);
export const add = (a, b) => like(a, (i) => a.data[i] + b.data[i], [a, b], (g) => [g, g]);
export const scale = (a, k) => like(a, (i) => a.data[i] * k, [a], (g) => [scale(g, k)]);
export const sub = (a, b) => add(a, scale(b, -1));
export const shift = (a, k) => like(a, (i) => a.data[i] + k, [a], (g) => [g]);
export const mul = (a, b) => like(a, (i) => a.data[i] * b.data[i], [a, b], (g) => [mul(g, b), mul(g, a)]);

function matmul(a, b) {
  const out = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) {
      const left = a.data[i * a.columns + k];
      if (left !== 0) for (let j = 0; j < b.columns; j++) out[i * b.columns + j] += left * b.data[k * b.columns + j];
    }
  return new Tensor(a.rows, b.columns, out, [a, b], (g) => [matmul(g, transpose(b)), matmul(transpose(a), g)]);
}
const transpose = (a) => make(a.columns, a.rows, (i) => a.data[(i % a.rows) * a.columns + Math.floor(i / a.rows)], [a], (g) => [transpose(g)]);

function columnSum(a) {
  const out = new Float64Array(a.columns);
  a.data.forEach((value, i) => (out[i % a.columns] += value));
  return new Tensor(1, a.columns, out, [a], (g) => [repeatRows(g, a.rows)]);
}
const repeatRows = (row, rows) => make(rows, row.columns, (i) => row.data[i % row.columns], [row], (g) => [columnSum(g)]);
export function rowSum(a) {
  const out = new Float64Array(a.rows);
  a.data.forEach((value, i) => (out[Math.floor(i / a.columns)] += value));
  return new Tensor(a.rows, 1, out, [a], (g) => [repeatColumns(g, a.columns)]);
}
const repeatColumns = (column, columns) => make(column.rows, columns, (i) => column.data[Math.floor(i / columns)], [column], (g) => [rowSum(g)]);
export const sum = (a) => make(1, 1, () => a.data.reduce((total, value) => total + value, 0), [a], (g) => [fill(g, a.rows, a.columns)]);
export const fill = (a, rows, columns) => make(rows, columns, () => a.data[0], [a], (g) => [sum(g)]);
export const mean = (a) => scale(sum(a), 1 / a.data.length);

const leaky = (a) => mul(a, like(a, (i) => (a.data[i] > 0 ? 1 : 0.2), [], null));
export function tanh(a) {
  const out = like(a, (i) => Math.tanh(a.data[i]), [a], (g) => [mul(g, shift(scale(mul(out, out), -1), 1))]);
  return out;
}
export function sigmoid(a) {
  const out = like(a, (i) => 1 / (1 + Math.exp(-a.data[i])), [a], (g) => [mul(g, mul(out, shift(scale(out, -1), 1)))]);
  return out;
}
export const softplus = (a) => like(a, (i) => Math.max(a.data[i], 0) + Math.log1p(Math.exp(-Math.abs(a.data[i]))), [a], (g) => [mul(g, sigmoid(a))]);
export function inverse(a) {
  const out = like(a, (i) => 1 / a.data[i], [a], (g) => [scale(mul(g, mul(out, out)), -1)]);
  return out;
}
export function root(a) {
  const out = like(a, (i) => Math.sqrt(a.data[i]), [a], (g) => [scale(mul(g, inverse(out)), 0.5)]);
  return out;
}

// Gradients of a 1 x 1 tensor with respect to `inputs`, as tensors that can be differentiated again.
export function gradients(output, inputs) {
  const order = [];
  const met = new Set();
  const visit = (node) => {
    if (met.has(node)) return;
    met.add(node);
    node.parents.forEach(visit);
    order.push(node);
  };
  visit(output);
  const found = new Map([[output, constant(1, 1, 1)]]);
  for (const node of order.reverse()) {
    const gradient = found.get(node);
    if (!gradient || !node.rule) continue;
    node.rule(gradient).forEach((part, i) => {
      const parent = node.parents[i];
      found.set(parent, found.has(parent) ? add(found.get(parent), part) : part);
    });
  }
  return inputs.map((input) => found.get(input) ?? constant(input.rows, input.columns, 0));
}

// Mulberry32 and Box-Muller: the same seed plays the same game in every browser.
export function random(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

// A perceptron with two hidden layers; weights are its only state.
export class Network {
  constructor(sizes, dice) {
    this.weights = [];
    for (let i = 0; i + 1 < sizes.length; i++) {
      const deviation = Math.sqrt(2 / sizes[i]);
      this.weights.push(constant(sizes[i], sizes[i + 1], () => dice.normal() * deviation), constant(1, sizes[i + 1], 0));
    }
  }
  forward(x) {
    for (let i = 0; i < this.weights.length; i += 2) {
      x = add(matmul(x, this.weights[i]), repeatRows(this.weights[i + 1], x.rows));
      if (i + 2 < this.weights.length) x = leaky(x);
    }
    return x;
  }
}

// Adam: Kingma and Ba 2015.
export class Adam {
  constructor(weights, beta1 = 0.5, beta2 = 0.9) {
    Object.assign(this, { weights, beta1, beta2, steps: 0 });
    this.first = weights.map((weight) => new Float64Array(weight.data.length));
    this.second = weights.map((weight) => new Float64Array(weight.data.length));
  }
  step(slopes, rate) {
    this.steps++;
    const [fix1, fix2] = [1 - this.beta1 ** this.steps, 1 - this.beta2 ** this.steps];
    this.weights.forEach((weight, k) => {
      for (let i = 0; i < weight.data.length; i++) {
        const slope = slopes[k].data[i];
        this.first[k][i] = this.beta1 * this.first[k][i] + (1 - this.beta1) * slope;
        this.second[k][i] = this.beta2 * this.second[k][i] + (1 - this.beta2) * slope * slope;
        weight.data[i] -= (rate * (this.first[k][i] / fix1)) / (Math.sqrt(this.second[k][i] / fix2) + 1e-8);
      }
    });
  }
}
