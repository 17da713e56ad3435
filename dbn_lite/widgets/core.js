// The models of dbn_lite in the reader's browser: what its Python does, in the same words.
// A classic script without import or export, so that it runs from file://, in a static page, in a notebook and in Node.
/* exported DBN */
const DBN = (() => {
  "use strict";

  /** A seeded stream of uniform numbers in [0, 1): the generator sfc32. */
  function random(seed) {
    let a = seed >>> 0, b = 0x9e3779b9, c = 0x243f6a88, counter = 1;
    const next = () => {
      const t = (a + b + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + t) | 0;
      return (t >>> 0) / 4294967296;
    };
    for (let i = 0; i < 16; i++) next(); // until neighbouring seeds have parted
    return next;
  }

  /** bias + v W, for W (v.length, bias.length) row by row; the rows of units that are off are never touched. */
  function affine(v, W, bias) {
    const n = bias.length, out = Float32Array.from(bias), on = [];
    for (let i = 0; i < v.length; i++) if (v[i] !== 0) on.push(i);
    while (on.length % 4) on.push(-1); // four rows at a time: a quarter of the traffic of `out`
    for (let k = 0; k < on.length; k += 4) {
      const [a, b, c, d] = [0, 1, 2, 3].map((m) => Math.max(on[k + m], 0) * n);
      const [x, y, z, w] = [0, 1, 2, 3].map((m) => (on[k + m] < 0 ? 0 : v[on[k + m]]));
      for (let j = 0; j < n; j++) out[j] += x * W[a + j] + y * W[b + j] + z * W[c + j] + w * W[d + j];
    }
    return out;
  }

  /** The transpose of W (rows, columns). */
  function transpose(W, rows, columns) {
    const out = new Float32Array(W.length);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = W[i * columns + j];
    return out;
  }

  /** Array b behind array a. */
  function join(a, b) {
    const out = new Float32Array(a.length + b.length);
    out.set(a);
    out.set(b, a.length);
    return out;
  }

  const logistic = (x) => 1 / (1 + Math.exp(-x));
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

  /** log(sum(exp(x))) without overflow. */
  function logSum(x) {
    const most = x.reduce((a, b) => Math.max(a, b));
    return most + Math.log(x.reduce((sum, a) => sum + Math.exp(a - most), 0));
  }

  /** Logarithms of probabilities in proportion to exp(x). */
  function logSoftmax(x) {
    const norm = logSum(x);
    return x.map((a) => a - norm);
  }
  const softmax = (x) => logSoftmax(x).map(Math.exp);
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  /** Binary states of independent units that are on with probabilities p: one number of rng each. */
  const sample = (p, rng) => Float32Array.from(p, (chance) => (rng() < chance ? 1 : 0));

  /** One unit of a group on, unit i with probability p[i]: one number of rng. */
  function sampleSoftmax(p, rng) {
    const limit = rng() * p.reduce((a, b) => a + b, 0);
    let below = 0;
    const chosen = p.findIndex((chance) => (below += chance) >= limit);
    return p.map((_, i) => Number(i === chosen));
  }

  /** A machine with weights W (visBias.length, hidBias.length); the last nLabels visible units are a softmax group. */
  function rbm(W, visBias, hidBias, nLabels = 0) {
    const nVis = visBias.length, nHid = hidBias.length;
    return { W, WT: transpose(W, nVis, nHid), visBias, hidBias, nLabels, nVis, nHid };
  }

  /** Probabilities of the hidden units given visible activities. */
  const meanHFromV = (machine, v) => affine(v, machine.W, machine.hidBias).map(logistic);

  /** Probabilities of the visible units given hidden states; labels by eq. 10. */
  function meanVFromH(machine, h) {
    const x = affine(h, machine.WT, machine.visBias), n = machine.nVis - machine.nLabels, v = x.map(logistic);
    if (machine.nLabels) v.set(softmax(x.subarray(n)), n);
    return v;
  }

  /** One full step of alternating Gibbs sampling from v: the hidden states and the visible states that follow, with one
   * label on, or without labels where these are clamped. */
  function gibbsStep(machine, v, rng, clamped = false) {
    const h = sample(meanHFromV(machine, v), rng), p = meanVFromH(machine, h), n = machine.nVis - machine.nLabels;
    const seen = sample(p.subarray(0, n), rng);
    return { h, v: machine.nLabels && !clamped ? join(seen, sampleSoftmax(p.subarray(n), rng)) : seen };
  }

  /** -log sum_h exp(-E(v, h)), in nats. */
  const freeEnergy = (machine, v) =>
    -dot(v, machine.visBias) - affine(v, machine.W, machine.hidBias).reduce((sum, x) => sum + softplus(x), 0);

  /** A net from its arrays under the names of appendix B. Generative weights that are left out are tied. */
  function netOf(arrays, meta = {}) {
    const { vishid, hidpen, hidrecbiases, hidgenbiases, penrecbiases, pengenbiases, visgenbiases, labgenbiases } = arrays;
    const made = { meta, ...arrays, layers: [rbm(vishid, visgenbiases, hidrecbiases, hidpen ? 0 : meta.n_labels)] };
    if (!hidpen) return made; // a single machine
    const memory = join(arrays.pentop, arrays.labtop), biases = join(pengenbiases, labgenbiases);
    made.top = rbm(memory, biases, arrays.topbiases, labgenbiases.length);
    made.layers.push(rbm(hidpen, hidgenbiases, penrecbiases), made.top);
    [made.hidvis, made.penhid] = [made.hidvis ?? made.layers[0].WT, made.penhid ?? made.layers[1].WT];
    return made;
  }

  /** The penultimate layer for an image: probabilities all the way, or with rng sampled states. */
  function upPass(net, image, rng = null) {
    const up = (v, machine) => (rng ? sample(meanHFromV(machine, v), rng) : meanHFromV(machine, v));
    return net.layers.slice(0, 2).reduce(up, image);
  }

  /** The image, as probabilities, that the generative weights make of penultimate states. */
  function downPass(net, pen, rng) {
    const hid = sample(affine(pen, net.penhid, net.hidgenbiases).map(logistic), rng);
    return affine(hid, net.hidvis, net.visgenbiases).map(logistic);
  }

  /** The exact free energy of the top memory with each label on in turn, in nats (section 6.2). */
  function labelFreeEnergies(net, pen) {
    const shared = affine(pen, net.pentop, net.topbiases), n = shared.length, same = dot(pen, net.pengenbiases);
    return Float64Array.from(net.labgenbiases, (bias, label) =>
      shared.reduce((energy, x, j) => energy - softplus(x + net.labtop[label * n + j]), -same - bias));
  }

  /** log p(label | image) by the deterministic up-pass and the exact free energies. */
  const labelLogProbs = (net, image) => logSoftmax(labelFreeEnergies(net, upPass(net, image)).map((energy) => -energy));

  /** One Gibbs iteration in the top memory, in place on penlab (pen, then labels); returns the top states. */
  function memoryStep(net, penlab, rng, clamped = false) {
    const { h, v } = gibbsStep(net.top, penlab, rng, clamped);
    penlab.set(v);
    return h;
  }

  // Nets small enough to enumerate, in float64. A machine here is { W, visBias, hidBias }, W a row for each visible
  // unit; tables over states keep counting order, the last unit changing fastest. Logarithms are natural.
  const states = (n) => Array.from({ length: 2 ** n }, (_, s) => [...s.toString(2).padStart(n, "0")].map(Number));
  const total = (a, each = (x) => x) => a.reduce((sum, x, i) => sum + each(x, i), 0);
  const turn = (rows) => rows[0].map((_, j) => rows.map((row) => row[j]));
  const flip = ({ W, visBias, hidBias }) => ({ W: turn(W), visBias: hidBias, hidBias: visBias });
  const inputs = (s, W, bias) => bias.map((b, j) => b + total(s, (on, i) => on * W[i][j]));
  /** KL(p || q) in nats, q by its logarithms. */
  const kl = (p, logQ) => total(p, (x, i) => (x > 0 ? x * (Math.log(x) - logQ[i]) : 0));
  /** log p of every state of independent units with total inputs x (eq. 1). */
  const logFactorial = (x) => states(x.length).map((s) => -total(s, (on, i) => softplus(on ? -x[i] : x[i])));
  /** log p(hidden | visible), a row for each visible state; of flip(machine), log p(visible | hidden). */
  const logGiven = ({ W, hidBias }) => states(W.length).map((s) => logFactorial(inputs(s, W, hidBias)));
  /** How probable the next layer's states are, by p of this one's and log p(next | this), a row for each of these. */
  const spread = (p, logTable) => turn(logTable).map((column) => total(column, (x, i) => p[i] * Math.exp(x)));
  /** log p(v) of every visible state of a restricted Boltzmann machine. */
  const logVisible = ({ W, visBias, hidBias }) => logSoftmax(states(W.length).map((v) =>
    dot(visBias, v) + total(inputs(v, W, hidBias), softplus)));
  /** Pn: the distribution over visible states p after n full steps of Gibbs sampling. */
  const afterGibbs = (machine, p, n) => (n === 0 ? p
    : afterGibbs(machine, spread(spread(p, logGiven(machine)), logGiven(flip(machine))), n - 1));

  /** a + rate * b, of numbers, of lists, of machines and of what would change them. */
  function added(a, b, rate) {
    if (typeof a === "number") return a + rate * b;
    if (Array.isArray(a)) return a.map((x, i) => added(x, b[i], rate));
    return Object.fromEntries(Object.keys(a).map((key) => [key, added(a[key], b[key], rate)]));
  }

  /** <v h>, <v> and <h> with visible states as probable as p says, hidden ones following. */
  function statistics({ W, hidBias }, p) {
    const vs = states(W.length), hs = vs.map((v) => inputs(v, W, hidBias).map(logistic));
    const mean = (rows, by = () => 1) => turn(rows).map((a) => total(a, (x, s) => p[s] * x * by(s)));
    return { W: W.map((_, i) => mean(hs, (s) => vs[s][i])), visBias: mean(vs), hidBias: mean(hs) };
  }

  /** <v h> under p less <v h> under q, biases alike: eq. 5 with q the equilibrium, CD-n's mean with Pn. */
  const gradient = (machine, p, q) => added(statistics(machine, p), statistics(machine, q), -1);

  /** For every visible state log p(v), energy and entropy of eq. 7 and 8, in directed layers of machines, the lowest
   * first, below a prior given by its logarithms; Q is the up-pass by transposed weights, or by those of a machine `up`. */
  const bound = (layers, logPrior) => layers.reduceRight((above, machine) => {
    const down = turn(logGiven(flip(machine))), up = logGiven(machine.up ?? machine); // both (visible, hidden)
    const mean = (value) => up.map((row, v) => total(row, (logQ, s) => Math.exp(logQ) * value(s, v, logQ)));
    return {
      logProb: down.map((row) => logSum(row.map((x, s) => x + above.logProb[s]))),
      energy: mean((s, v) => above.energy[s] - down[v][s]),
      entropy: mean((s, v, logQ) => above.entropy[s] - logQ),
    };
  }, { logProb: logPrior, energy: logPrior.map((x) => -x), entropy: logPrior.map(() => 0) });

  /** The independent units with the least KL(Q || P), P by its logarithms: mean field from near every corner. */
  function bestFactorial(logP) {
    const all = states(Math.log2(logP.length));
    const chance = (s, q, but) => s.reduce((p, on, i) => (i === but ? p : p * (on ? q[i] : 1 - q[i])), 1);
    const gain = (q, i) => total(all, (s, k) => (s[i] ? 1 : -1) * chance(s, q, i) * logP[k]);
    const fits = all.map((corner) => {
      const q = corner.map((on) => 0.1 + 0.8 * on);
      for (let sweep = 0; sweep < 1000; sweep++) q.forEach((_, i) => { q[i] = logistic(gain(q, i)); });
      return { q, kl: kl(all.map((s) => chance(s, q)), logP) };
    });
    return fits.reduce((best, fit) => (fit.kl < best.kl - 1e-12 ? fit : best));
  }

  const exact = { states, total, turn, flip, inputs, kl, logFactorial, logGiven, spread, logVisible, afterGibbs, added,
    statistics, gradient, bound, bestFactorial };

  // Weights on their way to the page
  const HALF = Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
    return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
  });

  /** The net in bytes that dbn_lite.widgets packed: length of the header, header, then array after array. */
  function decode(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    let at = 4 + length;
    const arrays = {};
    for (const [name, kind, size] of header.arrays) {
      const raw = new (kind === "float16" ? Uint16Array : Uint8Array)(buffer, at, size);
      arrays[name] = kind === "float16" ? Float32Array.from(raw, (bits) => HALF[bits]) : raw;
      at += raw.byteLength;
    }
    return netOf(arrays, header.meta);
  }

  const home = typeof document === "undefined" ? null : document.currentScript?.src; // null inside a notebook
  const shipped = {}; // name: bytes and version of each net that lies beside this script; the build adds them
  const arriving = {}, arrived = {}, waiting = {};

  async function download({ bytes, version }, name, progress) {
    const answer = await fetch(new URL(`${name}.bin?${version}`, home));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const parts = [], reader = answer.body.getReader();
    let got = 0;
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      parts.push(value);
      progress((got += value.length) / bytes);
    }
    if (got !== bytes) throw new Error(`only ${got} of ${bytes} bytes arrived`);
    return new Blob(parts).arrayBuffer();
  }

  /** A page that was opened from a folder may fetch nothing, but it may run a script that holds the bytes. */
  const inject = ({ version }, name) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting[name] = (base64) => resolve(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);
    script.onerror = () => reject(new Error(`${name}.js is missing beside the pages`));
    script.src = new URL(`${name}.js?${version}`, home).href;
    document.head.append(script);
  });

  /** The net of that name, loaded once however many figures ask; progress is told fractions of 1. A failure may be retried. */
  function load(name, progress = () => {}) {
    arriving[name] ??= (async () => {
      if (!shipped[name]) throw new Error("this copy of the book came without it");
      const bring = home.startsWith("file:") ? inject : download;
      return (arrived[name] = decode(await bring(shipped[name], name, progress)));
    })();
    arriving[name].catch(() => delete arriving[name]);
    return arriving[name];
  }

  return {
    random, affine, transpose, logistic, softplus, logSoftmax, softmax, dot, sample, sampleSoftmax, meanHFromV,
    meanVFromH, gibbsStep, freeEnergy, upPass, downPass, labelFreeEnergies, labelLogProbs, memoryStep, exact, decode, load,
    shipped, arrived, home, receive: (name, base64) => waiting[name](base64),
  };
})();
