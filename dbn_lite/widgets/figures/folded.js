// The infinite net of the book's picture folds into a restricted Boltzmann machine, and a pass up it is the machine's Gibbs
// chain; beside it the terms of eq. 4, a layer's share in the gradient each, and how many of them CD-n keeps.
/* global DBN */
DBN.figure("folded", {
  title: "The infinite net, folded",
  render(fig) {
    const { h, exact, signed, night } = DBN, MOST = 8, data = exact.states(3), machine = night.machine();
    const state = { v: [1, 0, 0], t: 0, n: 1, weight: 0, fold: 0 }; // t: layers above V0 that the chain has reached
    const change = (key) => (value) => { state[key] = value; fig.redraw(); };
    let chain;

    /** The states of all layers, each drawn from the one below: up the net, or to and fro in the machine. */
    function sampled() {
      const rng = DBN.random(Number(seed.value));
      chain = [{ s: state.v }];
      for (let k = 1; k <= MOST; k++) {
        const { W, hidBias } = k % 2 ? machine : exact.flip(machine);
        const p = exact.inputs(chain[k - 1].s, W, hidBias).map(DBN.logistic), u = data[0].map(rng); // as many for a layer of two
        chain.push({ p, s: p.map((x, i) => (u[i] < x ? 1 : 0)) });
      }
      fig.redraw();
    }

    const { picture, right } = DBN.halves(fig);
    const draw = DBN.ladder(fig, {
      layers: MOST + 1, pressed: [0], press: (_, i) => { state.v[i] = 1 - state.v[i]; sampled(); }, into: picture,
      weights: [{ m: 0, of: () => machine }], changed: sampled,
    });
    const strip = h("div", { class: "dbn-strip", role: "img" });
    fig.card("The Gibbs chain of the machine", right, strip);
    const kept = DBN.reading("what CD-n gives for this weight, on average: the terms that it keeps", right);
    const terms = DBN.chart(fig, "What each layer adds to the gradient of one weight", { y: "gradient, nats per unit of weight",
      kinds: { "term of equation 4, kept": "weight", "left out": "edge", "sum so far": "energy" }, x: "between layers",
      names: Array.from({ length: MOST }, (_, k) => `${night.title(k)}${night.title(k + 1)}`), into: right });
    const step = () => change("t")(Math.min(MOST, state.t + 1)) ?? state.t < MOST;
    fig.player({ step, reset: () => change("t")(0), rate: () => 1 });
    fig.slider("Fold", { min: 0, max: 100, step: 5, value: 0, format: (x) => (x ? x < 100 ? `${x} %` : "a machine" : "a net") },
      (x) => change("fold")(x / 100));
    const all = night.names[0].flatMap((effect, i) => night.names[1].map((cause, j) => [2 * i + j, `${cause}, ${effect}`]));
    fig.choice("Weight", all, 0, change("weight"));
    fig.choice("Stop the chain after", [1, 2, 3, 4].map((n) => [n, `n = ${n}: CD-${n}`]), 1, change("n"));
    const seed = fig.seed(sampled);
    fig.onDraw(() => {
      const { v, t, n, weight, fold } = state, [i, j] = [weight >> 1, weight % 2], s = night.index(v);
      draw({
        fold, depth: fold === 1 ? 2 : MOST + 1, wires: () => [machine.W],
        side: (m) => (fold ? "" : m % 2 ? "W ↓ ↑ Wᵀ" : "Wᵀ ↓ ↑ W"),
        crown: fold ? "" : "and so on, for ever",
        unit: (k, a) => {
          const now = fold === 1 ? t - ((t - k) % 2) : k; // folded, a layer shows its latest state
          const on = now <= t && now >= 0 ? chain[now].s[a] : 0;
          return { on, seen: k === 0 && fold < 1, text: now <= t && now >= 0 ? `${on}` : "" };
        },
      });
      const passed = chain.slice(0, t + 1), name = (k) => night.title(k).toLowerCase();
      const dots = (on) => on.map((x) => "○●"[x]).join("");
      strip.replaceChildren(...passed.map(({ s: on }, k) => h("span", {},
        h("b", { style: `color: var(--dbn-${["visible", "hidden"][k % 2]})` }, dots(on)), h("small", {}, name(k)))));
      strip.setAttribute("aria-label", passed.map(({ s: on }, k) => `${name(k)} ${on.join("")}`).join(", "));
      const p0 = data.map((_, k) => (k === s ? 1 : 0)), at = [p0]; // statistics <v h> along the chain: v0 h0, h0 v1, v1 h1, ...
      const both = [];
      for (let k = 0; k <= MOST; k++) {
        const odd = k % 2, here = odd ? exact.flip(machine) : machine, stats = exact.statistics(here, at[k]).W;
        both.push(odd ? stats[j][i] : stats[i][j]);
        at.push(exact.spread(at[k], exact.logGiven(here)));
      }
      const shares = both.slice(1).map((x, k) => both[k] - x), sums = shares.map((_, k) => both[0] - both[k + 1]);
      const whole = exact.gradient(machine, p0, exact.logVisible(machine).map(Math.exp)).W[i][j], cd = sums[2 * n - 1];
      kept(signed(cd));
      const part = (kind) => shares.map((x, k) => (k < 2 * n === kind ? x : 0));
      terms([part(true), part(false), sums], { range: [-0.1, 0.3], references: [[whole, `gradient: ${signed(whole)}`]] });
      const odds = t ? `on with probability ${chain[t].p.map((x) => x.toFixed(3)).join(", ")}` : "the data";
      fig.say(`Units of layer ${night.title(t)}: ${odds}. Gradient of the weight ${signed(whole, 4)}; its first ${2 * n} ` +
        `terms, CD-${n}: ${signed(cd, 4)}.`);
    });
    sampled();
  },
});
