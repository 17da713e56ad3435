// Greedy learning of a net small enough to enumerate, and the bound of eq. 8, pattern by pattern: the energy is what is
// left to explain, -log p(v), with the gap that mistaken inference opens, and the entropy of the inference.
/* global DBN */
DBN.figure("bound", {
  title: "The bound while layers are added",
  render(fig) {
    const { h, set, exact, signed } = DBN, N = 4, LAYERS = 3, UPDATES = [4, 40, 40];
    const patterns = { "▀ top": 12, "▄ bottom": 3, "▌ left": 10, "▐ right": 5 }, chosen = Object.values(patterns);
    const parts = { "−log p(v)": "visible", gap: "label", entropy: "energy" }; // together the energy
    let layers, top, data, rows, past, begun, rate = 0.2; // data: the distribution that the top machine learns

    /** The parts of eq. 8, first their mean. While all weights are tied the prior of H0 is the machine's own. */
    function look() {
      const below = layers.length ? layers : [top];
      const { logProb, energy, entropy } = exact.bound(below, exact.logVisible(layers.length ? top : exact.flip(top)));
      rows = chosen.map((s) => [-logProb[s], energy[s] - entropy[s] + logProb[s], entropy[s]]);
      rows.unshift(exact.turn(rows).map((column) => exact.total(column) / N));
      [-rows[0][0], -rows[0][0] - rows[0][1]].forEach((x, i) => past[i].push(x));
      fig.redraw();
    }
    const updates = () => past[0].length - 1 - begun.at(-1), most = () => UPDATES[layers.length];
    const ended = () => begun.length === LAYERS && updates() >= most();
    function step() {
      if (ended()) return false;
      if (updates() < most()) {
        top = exact.added(top, exact.gradient(top, data, exact.logVisible(top).map(Math.exp)), rate);
      } else { // freeze it: what it infers is the data of the next, which starts tied to it
        data = exact.spread(data, exact.logGiven(top));
        layers.push(top);
        top = exact.flip(top);
        begun.push(past[0].length);
      }
      look();
      return !ended();
    }
    function reset() {
      const rng = DBN.random(Number(seed.value)), none = Array(N).fill(0);
      [layers, past, begun] = [[], [[], []], [0]];
      top = { W: none.map(() => none.map(() => 6 * rng() - 3)), visBias: none, hidBias: none };
      data = exact.states(N).map((_, s) => (chosen.includes(s) ? 1 / N : 0));
      look();
    }

    const part = (kind, width = "") => h("i", { style: `${width} background: var(--dbn-${kind})` });
    const key = h("span", { class: "dbn-key" }, ...Object.entries(parts).flatMap(([name, kind]) => [part(kind), ` ${name} `]));
    const card = fig.card("Energy of each pattern, in nats", fig.stage, key);
    const bars = fig.bars("Energy", ["mean", ...Object.keys(patterns)], { into: card });
    const kinds = { "mean log p(v)": "visible", "its bound": "label" }, curves = fig.curves("Mean log p(v) and bound", kinds);
    fig.player({ step, reset, rate: () => 8 });
    fig.button("Finish this layer", () => { while (updates() < most()) step(); });
    fig.slider("Rate", { min: 0.1, max: 1, step: 0.1, value: rate }, (x) => { rate = x; });
    const seed = fig.seed(reset);
    fig.onDraw(() => {
      const energies = rows.map((row) => exact.total(row)), widest = Math.max(...energies), names = Object.keys(parts);
      bars.draw(energies, { most: widest });
      bars.node.querySelectorAll(".dbn-bar").forEach((bar, i) => {
        set(bar, { role: "img", "aria-label": names.map((name, k) => `${name} ${signed(rows[i][k])}`).join(", ") });
        bar.replaceChildren(...names.map((name, k) => part(parts[name], `width: ${(100 * rows[i][k]) / widest}%;`)));
      });
      curves(past, { steps: exact.total(UPDATES) + 2, marks: begun.slice(1) });
      const frozen = begun.length > 1 ? `; both were ${signed(past[1][begun[1] - 1], 4)} when layer 1 was frozen` : "";
      fig.say(`Layer ${begun.length} of ${LAYERS}, update ${updates()} of ${most()}. Mean log p(v) ` +
        `${signed(past[0].at(-1), 4)}, bound ${signed(past[1].at(-1), 4)}, gap ${signed(rows[0][1], 4)} nats${frozen}.`);
    });
    reset();
  },
});
