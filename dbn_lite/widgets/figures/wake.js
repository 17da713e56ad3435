// Recognition untied from generation in the book's picture (section 5): awake, the recognition weights choose the causes of
// the data and the generative weights are fitted to them; asleep, it is the other way round, on dreams.
/* global DBN */
DBN.figure("wake", {
  title: "Awake and asleep: recognition untied from generation",
  render(fig) {
    const { exact, signed, night } = DBN, MOST = 80, RATE = 0.3, GREEDY = 40, data = exact.states(3);
    const state = { v: [0, 0, 0], drag: "recognition" };
    let below, top, p0, past; // below: { W, visBias } generate, up: { W, hidBias } recognise; top: visible units H0

    /** The gradient of the mean log p(target | input) of a layer that predicts, by the joint probabilities of both. */
    function taught({ W, hidBias }, joint) {
      const ins = exact.states(W.length), outs = exact.states(hidBias.length);
      const miss = ins.map((s, k) => exact.inputs(s, W, hidBias).map((x, j) =>
        exact.total(joint[k], (p, t) => p * (outs[t][j] - DBN.logistic(x)))));
      return { W: W.map((_, i) => hidBias.map((_b, j) => exact.total(ins, (s, k) => s[i] * miss[k][j]))),
        hidBias: hidBias.map((_, j) => exact.total(miss, (row) => row[j])) };
    }
    const tables = () => {
      const down = exact.turn(exact.logGiven(exact.flip(below))), up = exact.logGiven(below.up); // both (visible, hidden)
      const prior = exact.logVisible(top), joint = down.map((row) => row.map((x, s) => x + prior[s]));
      return { up, joint, posterior: joint.map(DBN.logSoftmax) };
    };
    /** Mean log p(v) and bound, then KL(Q||P) on the data and KL(P||Q) on the net's own dreams. */
    function measure() {
      const { logProb, energy, entropy } = exact.bound([below], exact.logVisible(top));
      const mean = (list) => exact.total(list, (x, s) => p0[s] * x);
      const { up, joint, posterior } = tables(), log = mean(logProb), low = mean(entropy) - mean(energy);
      const dreams = exact.total(joint, (row, s) => exact.total(row, Math.exp) * exact.kl(posterior[s].map(Math.exp), up[s]));
      return [log, low, log - low, dreams];
    }
    /** The memory learns from its own data by the exact gradient. */
    function learn(seen) {
      top = exact.added(top, exact.gradient(top, seen, exact.logVisible(top).map(Math.exp)), RATE);
    }
    function wake() {
      const joint = tables().up.map((row, s) => row.map((x) => p0[s] * Math.exp(x)));
      const { W, hidBias } = taught({ W: exact.turn(below.W), hidBias: below.visBias }, exact.turn(joint));
      const seen = exact.turn(joint).map((row) => exact.total(row));
      learn(seen);
      below = { ...below, W: exact.added(below.W, exact.turn(W), RATE), visBias: exact.added(below.visBias, hidBias, RATE) };
    }
    function sleep() {
      below = { ...below, up: exact.added(below.up, taught(below.up, tables().joint.map((row) => row.map(Math.exp))), RATE) };
    }
    const record = () => { measure().forEach((x, i) => past[i].push(x)); fig.redraw(); };
    const lesson = (...parts) => () => {
      if (past[0].length > MOST) return false;
      parts.forEach((part) => part());
      record();
      return past[0].length <= MOST;
    };
    const again = () => { past = [[], [], [], []]; record(); };
    function reset() { // as greedy learning left it
      const { W, visBias, hidBias } = night.machine();
      p0 = data.map((_, s) => ([0, 7].includes(s) ? 0.5 : 0));
      below = { W, visBias, hidBias, up: { W: night.machine().W, hidBias: [...hidBias] } };
      top = exact.flip(night.machine());
      const seen = exact.spread(p0, exact.logGiven(below));
      for (let k = 0; k < GREEDY; k++) learn(seen);
      again();
    }

    const { picture, right } = DBN.halves(fig);
    const draw = DBN.ladder(fig, {
      layers: 3, roomy: 2, pressed: [0], press: (_, i) => { state.v[i] = 1 - state.v[i]; fig.redraw(); }, into: picture,
      weights: [{ m: 0, name: "Recognition weight", of: () => (state.drag === "recognition" ? below.up : null) },
        { m: 0, name: "Generative weight", of: () => (state.drag === "generation" ? below : null) }],
      changed: again,
    });
    const gap = DBN.reading("nats between log p(v) and its bound: KL(Q‖P), averaged over the data", right);
    const curves = DBN.climb(fig, "What being awake climbs, averaged over the data", right);
    const misses = DBN.chart(fig, "How wrong recognition is", { kinds: { "KL(Q‖P) on the data": "label",
      "KL(P‖Q) on dreams": "energy" }, x: "updates", y: "nats", height: 110, into: right });
    const belief = DBN.belief(fig, "Belief in the causes, given V0", "recognition Q", picture, 110);
    fig.player({ step: lesson(wake, sleep), reset, rate: () => 6 });
    fig.button("Wake only", lesson(wake));
    fig.button("Sleep only", lesson(sleep));
    fig.choice("Drag the weights of", ["recognition", "generation"], "recognition", (value) => {
      state.drag = value;
      fig.redraw();
    });
    fig.onDraw(() => {
      const { up, posterior } = tables(), s = night.index(state.v);
      const [q, p] = [up, posterior].map((table) => table[s].map(Math.exp));
      draw({
        wires: (m) => (m ? [exact.turn(top.W)] : [below.W, below.up.W]), side: (m) => (m ? "U ↕" : "G ↓ R ⇡"),
        unit: night.shows(state.v, [q[2] + q[3], q[1] + q[3]]), crown: "the top memory",
      });
      const [log, low, ofData, ofDreams] = past.map((list) => list.at(-1));
      gap(signed(ofData, 3));
      curves(past.slice(0, 2), MOST, p0);
      misses(past.slice(2), { steps: MOST, range: [0, 0.3] });
      belief(p, q);
      fig.say(`Update ${past[0].length - 1} of ${MOST}. Mean log p(v) ${signed(log, 4)}, bound ${signed(low, 4)} nats. ` +
        `KL(Q‖P) on the data ${signed(ofData, 4)}, KL(P‖Q) on dreams ${signed(ofDreams, 4)} nats.`);
    });
    reset();
  },
});
