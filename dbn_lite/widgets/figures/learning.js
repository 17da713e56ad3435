// A machine of 4 visible and 4 hidden units learns four patterns by contrastive divergence: its exact gradient beside
// the one that is followed, and the two divergences of eq. 6.
/* global DBN */
DBN.figure("learning", {
  title: "Learning by contrastive divergence, exactly",
  render(fig) {
    const { exact, signed } = DBN, N = 4, MOST = 300, state = { n: 1, by: "cd", rate: 1 };
    const patterns = { "▀ top": 12, "▄ bottom": 3, "▌ left": 10, "▐ right": 5 }, chosen = Object.values(patterns);
    const p0 = exact.states(N).map((_, s) => (chosen.includes(s) ? 1 / N : 0)), none = Array(N).fill(0);
    let machine, now, past;

    /** The two divergences, the exact gradient, the way that the next step goes, and the angle between these. */
    function look() {
      const logP = exact.logVisible(machine), pn = exact.afterGibbs(machine, p0, state.n), p = logP.map(Math.exp);
      const [ml, way] = [p, { ml: p, cd: pn }[state.by]].map((q) => exact.gradient(machine, p0, q));
      const [a, b] = [ml, way].map((g) => [...g.W.flat(), ...g.visBias, ...g.hidBias]);
      const [long, followed] = [a, b].map((x) => Math.sqrt(DBN.dot(x, x))), cosine = DBN.dot(a, b) / (long * followed);
      now = { p, ml, way, length: followed / long };
      const measured = [exact.kl(p0, logP), exact.kl(pn, logP), (Math.acos(Math.min(1, cosine)) * 180) / Math.PI];
      measured.forEach((x, i) => past[i].push(x));
      fig.redraw();
    }
    function step() {
      if (past[0].length > MOST) return false;
      machine = exact.added(machine, now.way, state.rate);
      look();
      return past[0].length <= MOST;
    }
    function reset() {
      const rng = DBN.random(Number(seed.value));
      machine = { W: none.map(() => none.map(() => 4 * rng() - 2)), visBias: none, hidBias: none };
      past = [[], [], []];
      look();
    }

    const top = fig.row(), middle = fig.row(), pictures = ["Weights", "Exact gradient", "Followed"].map((title) =>
      fig.pictures(title, { shape: [N, N], gap: 0, size: 20, into: fig.card(title, top) }));
    const kinds = { "KL(P⁰‖P∞)": "visible", "KL(Pⁿ‖P∞)": "hidden" }, over = "updates";
    const divergences = DBN.chart(fig, "The two divergences of equation 6", { kinds, x: over, y: "nats", into: middle });
    const angles = DBN.chart(fig, "How far it strays from the exact gradient", { kinds: { angle: "energy" },
      x: over, y: "degrees", into: middle });
    const bars = fig.bars("P∞", [...Object.keys(patterns), "all others"], { kind: "visible", into: fig.card("P∞") });
    const change = (key) => (value) => {
      state[key] = value;
      past.forEach((list) => list.pop());
      look();
    };
    fig.player({ step, reset, rate: () => 20 });
    fig.choice("Gibbs steps, n", [1, 2, 3, 10], 1, change("n"));
    fig.choice("Learn by", [["cd", "CD-n, its mean"], ["ml", "exact gradient"]], "cd", change("by"));
    fig.slider("Rate", { min: 0.1, max: 3, step: 0.1, value: 1 }, (x) => { state.rate = x; });
    const seed = fig.seed(reset);
    fig.onDraw(() => {
      const { p, ml, way, length } = now, limit = Math.max(...[ml.W, way.W].flat(2).map(Math.abs));
      [machine, ml, way].forEach(({ W }, i) => pictures[i].draw([W.flat()], { signed: true, limit: i ? limit : null }));
      divergences(past.slice(0, 2), { steps: MOST, range: [0, 3] });
      angles(past.slice(2), { steps: MOST, range: [0, 90], references: [[90, "at right angles"]] });
      const found = chosen.map((s) => p[s]), [of0, ofN, angle] = past.map((list) => list.at(-1));
      bars.draw([...found, 1 - exact.total(found)]);
      fig.say(`Updates: ${past[0].length - 1}. KL(P0‖P∞) ${signed(of0, 4)}, KL(P${state.n}‖P∞) ${signed(ofN, 4)}, ` +
        `their difference ${signed(of0 - ofN, 4)} nats. The way that is followed lies ${signed(angle, 1)}° off the exact ` +
        `gradient and is ${signed(length)} times as long.`);
    });
    reset();
  },
});
