// A Gibbs chain in the machine of layer 1, state by state, with one hidden unit opened into its formula, and CD-k as the
// choice of where to stop: what the chain, stopped there, would change in the weights of that unit.
/* global DBN */
DBN.figure("chain", {
  title: "A Gibbs chain, step by step",
  nets: ["greedy"],
  render(fig) {
    const { h, signed } = DBN, STRIP = 8;
    const machine = () => fig.nets.greedy.layers[0];
    const { meta: { shape }, labels } = fig.nets.greedy, across = Math.ceil(Math.sqrt(machine().nHid * 1.25));
    const state = { k: 1, unit: fig.options.unit ?? 0, opened: 0 };
    let chain = [], rng;

    /** The chain's next entry: p its probabilities, s what is handed on, u the numbers drawn. */
    function grow() {
      const { kind, s, t } = chain.at(-1);
      if (kind === "v") {
        const p = DBN.meanHFromV(machine(), s), u = p.map(() => rng());
        chain.push({ kind: "h", t, p, u, s: p.map((x, j) => (u[j] < x ? 1 : 0)) });
        state.opened = t;
      } else chain.push({ kind: "v", t: t + 1, s: DBN.meanVFromH(machine(), s) });
      fig.redraw();
    }
    const ended = () => chain.at(-1).kind === "h" && chain.at(-1).t >= state.k;
    const reset = () => {
      rng = DBN.random(Number(seed.value));
      const v = new Float32Array(machine().nVis);
      v.set(start.image(rng).image);
      chain = [{ kind: "v", t: 0, s: v }];
      grow();
    };
    const step = () => { if (!ended()) grow(); return !ended(); };
    const look = (key) => (value) => { state[key] = value; fig.redraw(); };

    const strip = fig.row();
    const cards = Array.from({ length: STRIP }, (_, i) => {
      const title = h("span"), kind = i % 2 ? "h" : "v";
      const made = h("button", { type: "button", class: "dbn-plain", onclick: () => look("opened")(cards[i].t) }, title);
      strip.append(made);
      const draw = kind === "v" ? fig.units("Pixels", shape[0] * shape[1], { shape, wide: 3 * shape[1], into: made })
        : fig.units("Hidden units", machine().nHid, { wide: 3.5 * across, into: made });
      return { made, title, draw };
    });

    const opened = fig.row();
    const card = (text, options) => {
      const made = fig.card(text, opened);
      return { title: made.firstChild, made, picture: fig.pictures(text, { shape, gap: 0, size: 4, into: made, ...options }) };
    };
    const pixels = card("Pixels"), weights = card("Weights of the unit"), product = card("Pixel times weight");
    const pick = (j) => look("unit")((unit.value = j));
    const units = card("Hidden units: choose one", { shape: [1, 1], gap: 1, size: 3.5, pick });
    const stopped = card("What CD would change");
    const sum = h("p", { class: "dbn-formula" });
    fig.stage.append(sum);

    fig.player({ step, reset });
    fig.choice("Stop after", [[1, "1 full step: CD-1"], [3, "3: CD-3"], [10, "10: CD-10"], [Infinity, "never"]], 1, (k) => {
      state.k = k;
      if (chain.at(-1).t > k) reset();
    });
    const start = DBN.starts(fig, fig.nets.greedy, [], labels ? 3 : null, reset);
    const unit = fig.number("Hidden unit", { max: machine().nHid - 1, value: state.unit }, look("unit"));
    const seed = fig.seed(reset);
    fig.onDraw(() => {
      const { W, hidBias, nHid } = machine(), j = state.unit;
      const from = Math.max(0, 2 * Math.ceil((chain.length - STRIP) / 2));
      cards.forEach((one, i) => {
        const entry = chain[from + i];
        one.made.hidden = !entry;
        if (!entry) return;
        one.t = entry.t;
        one.title.replaceChildren(entry.kind, h("sup", {}, `${entry.t}`));
        one.made.setAttribute("aria-pressed", entry.t === state.opened);
        one.draw(entry.kind === "v" ? entry.s.subarray(0, shape[0] * shape[1]) : entry.s, { text: entry.kind + entry.t });
      });
      const vt = chain[2 * state.opened], ht = chain[2 * state.opened + 1];
      const column = vt.s.map((_, i) => W[i * nHid + j]), terms = column.map((w, i) => w * vt.s[i]);
      pixels.title.replaceChildren("Pixels v", h("sup", {}, `${vt.t}`));
      pixels.picture.draw([vt.s]);
      weights.picture.draw([column], { signed: true });
      product.picture.draw([terms], { signed: true });
      [units.made.hidden, stopped.made.hidden] = [!ht, !ht || ht.t === 0];
      if (!ht) return;
      const chance = `h${ht.t}, unit ${j} on with probability ${ht.p[j].toFixed(3)}`;
      units.picture.draw(Array.from(ht.s, (on) => [on]), { columns: across, selected: j, text: chance });
      const [total, busy] = [terms, ht.s].map((list) => list.reduce((a, b) => a + b, 0)), x = hidBias[j] + total;
      sum.textContent = `Unit ${j} at step ${ht.t}: bias ${signed(hidBias[j])} + sum of pixel × weight ` +
        `${signed(total)} = ${signed(x)}; on with probability 1 / (1 + exp(${signed(-x)})) = ${ht.p[j].toFixed(3)}; ` +
        `drawn ${ht.u[j].toFixed(3)}, so it is ${ht.s[j] ? "on" : "off"}.`;
      let cd = "";
      if (ht.t > 0) {
        const [v0, h0] = chain, less = signed(h0.p[j] - ht.p[j]);
        stopped.title.textContent = `What CD-${ht.t} would change`;
        stopped.picture.draw([v0.s.map((v, i) => v * h0.p[j] - vt.s[i] * ht.p[j])], { signed: true });
        cd = ` Stopped here, CD-${ht.t} would move the bias of unit ${j} by ${less} times the rate.`;
      }
      const energy = signed(DBN.freeEnergy(machine(), vt.s));
      fig.say(`Step ${ht.t}: ${busy} of ${nHid} hidden units on, free energy of the pixels ${energy}.${cd}`);
    });

    reset();
    return { update: reset };
  },
});
