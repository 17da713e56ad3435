// A machine of 4 visible and 4 hidden units learns four patterns by contrastive divergence: its exact gradient beside
// the one that is followed, and the two divergences of eq. 6.
/* global DBN */
DBN.figure("learning", {
  title: "Learning by contrastive divergence, exactly",
  render(fig) {
    const { h, exact, signed } = DBN, N = 4, MOST = 300; // updates
    const patterns = { "▀ top": 12, "▄ bottom": 3, "▌ left": 10, "▐ right": 5 }, chosen = Object.values(patterns);
    const p0 = exact.states(N).map((_, s) => (chosen.includes(s) ? 1 / N : 0)), state = { k: 1, by: "mean", rate: 1 };
    let machine, now, past, rng;

    /** How often each state ends a chain of k full steps, one chain from each pattern. */
    function ends() {
      const tables = [exact.logGiven(machine), exact.logGiven(exact.flip(machine))], p = p0.map(() => 0);
      for (let s of chosen) {
        for (let t = 0; t < 2 * state.k; t++) s = DBN.sampleSoftmax(tables[t % 2][s].map(Math.exp), rng).indexOf(1);
        p[s] += 1 / N;
      }
      return p;
    }
    /** The two divergences, the exact gradient, and the way that the next step goes. */
    function look() {
      const logP = exact.logVisible(machine), pk = exact.afterGibbs(machine, p0, state.k), p = logP.map(Math.exp);
      const [ml, way] = [p, { ml: p, mean: pk }[state.by] ?? ends()].map((q) => exact.gradient(machine, p0, q));
      now = { p, ml, way, kls: [p0, pk].map((x) => exact.kl(x, logP)) };
      fig.redraw();
    }
    function step() {
      if (past[0].length > MOST) return false;
      machine = exact.added(machine, now.way, state.rate);
      look();
      now.kls.forEach((kl, i) => past[i].push(kl));
      return past[0].length <= MOST;
    }
    function reset() {
      rng = DBN.random(Number(seed.value));
      const none = Array(N).fill(0);
      machine = { W: none.map(() => none.map(() => 4 * rng() - 2)), visBias: none, hidBias: none };
      look();
      past = now.kls.map((kl) => [kl]);
    }

    const top = fig.row(), below = fig.row(), shape = [N, N];
    const pictures = ["Weights", "Exact gradient", "Followed"].map((title) =>
      fig.pictures(title, { shape, gap: 0, size: 20, into: fig.card(title, top) }));
    const arrows = fig.svg("Both gradients as arrows", 150, 85, fig.card("Exact and followed", top));
    const kinds = { "KL(P⁰‖P∞), in nats": "visible", "KL(Pᵏ‖P∞)": "hidden" }, names = [...Object.keys(patterns), "all others"];
    const curves = fig.curves("The two divergences as it learns", kinds, below);
    const bars = fig.bars("P∞", names, { kind: "visible", into: fig.card("P∞", below) });
    const change = (key) => (value) => { state[key] = value; look(); };
    fig.player({ step, reset, rate: () => 20 });
    fig.choice("k", [1, 2, 3, 10], 1, change("k"));
    fig.choice("Learn by", [["mean", "CD-k, its mean"], ["chains", "CD-k, a chain each"], ["ml", "exact gradient"]],
      "mean", change("by"));
    fig.slider("Rate", { min: 0.1, max: 3, step: 0.1, value: 1 }, (x) => { state.rate = x; });
    const seed = fig.seed(reset);

    fig.onDraw(() => {
      const { ml, way, p, kls } = now, [a, b] = [ml, way].map((g) => [...g.W.flat(), ...g.visBias, ...g.hidBias]);
      const limit = Math.max(...[a, b].flat().map(Math.abs)), dot = (x, y) => exact.total(x, (z, i) => z * y[i]);
      const sizes = [a, b].map((x) => Math.sqrt(dot(x, x))); // of what is followed perhaps 0, by the luck of its chains
      const angle = Math.acos(Math.min(1, dot(a, b) / (sizes[0] * sizes[1] || 1)));
      [machine, ml, way].forEach(({ W }, i) => pictures[i].draw([W.flat()], { signed: true, limit: i ? limit : null }));
      arrows.replaceChildren(...[0, angle].flatMap((turn, i) => {
        const [x, y] = [Math.cos(turn), -Math.sin(turn)].map((z) => (z * 65 * sizes[i]) / Math.max(...sizes));
        const style = ["stroke", "fill"].map((part) => `${part}: var(--dbn-${["visible", "hidden"][i]})`).join("; ");
        const tip = { cx: 75 + x, cy: 75 + y, r: 5, style };
        return [h("path", { d: `M75 75l${x} ${y}`, "stroke-width": 3, style }), h("circle", tip)];
      }));
      curves(past, { steps: MOST, range: [0] });
      const found = chosen.map((s) => p[s]);
      bars.draw([...found, 1 - exact.total(found)]);
      const [of0, ofK, gained] = [...kls, kls[0] - kls[1]].map((x) => signed(x, 4));
      fig.say(`Updates: ${past[0].length - 1}. KL(P0‖P∞) ${of0}, KL(P${state.k}‖P∞) ${ofK}, their difference ${gained} ` +
        `nats. The way that is followed lies ${signed((angle * 180) / Math.PI, 1)}° off the exact gradient and is ` +
        `${signed(sizes[1] / sizes[0])} times as long.`);
    });
    reset();
  },
});
