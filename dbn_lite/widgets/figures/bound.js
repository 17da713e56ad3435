// The bottom of the book's picture is frozen and untied from the layers above, which go on learning (section 4): the bound
// of eq. 8 rises, and a gap opens between it and log p(v), as wide as inference is wrong.
/* global DBN */
DBN.figure("bound", {
  title: "The bottom untied: the bound and the truth",
  render(fig) {
    const { exact, signed, night } = DBN, MOST = 60, RATE = 0.3, data = exact.states(3);
    const state = { v: [0, 0, 0], tied: true };
    let lowest, top, p0, past, untied; // top: the machine of the layers above, visible units H0

    const look = () => exact.bound([lowest], exact.logVisible(top));
    const mean = (list) => exact.total(list, (x, s) => p0[s] * x);
    const means = () => {
      const { logProb, energy, entropy } = look();
      return [mean(logProb), mean(entropy) - mean(energy)];
    };
    function step() {
      if (past[0].length > MOST) return false;
      const seen = exact.spread(p0, exact.logGiven(lowest)); // what is inferred is the data of the layers above
      if (state.tied) {
        lowest = exact.added(lowest, exact.gradient(lowest, p0, exact.logVisible(lowest).map(Math.exp)), RATE);
        top = exact.flip(lowest);
      } else top = exact.added(top, exact.gradient(top, seen, exact.logVisible(top).map(Math.exp)), RATE);
      means().forEach((x, i) => past[i].push(x));
      fig.redraw();
      return past[0].length <= MOST;
    }
    const again = () => { [past, untied] = [means().map((x) => [x]), state.tied ? null : 0]; fig.redraw(); };
    const tie = (tied) => {
      [state.tied, tying.checked] = [tied, tied];
      if (tied) top = exact.flip(lowest);
      if (tied) again();
      else untied = past[0].length - 1;
      fig.redraw();
    };
    function reset() {
      [lowest, p0] = [night.machine(), data.map((_, s) => ([0, 7].includes(s) ? 0.5 : 0))];
      [top, state.tied, tying.checked] = [exact.flip(lowest), true, true];
      again();
    }

    const { picture, right } = DBN.halves(fig);
    const draw = DBN.ladder(fig, {
      layers: 3, roomy: 2, pressed: [0], press: (_, i) => { state.v[i] = 1 - state.v[i]; fig.redraw(); }, into: picture,
      weights: [{ m: 1, name: "Upper weight", of: () => turned }],
      changed: () => { top.W = exact.turn(turned.W); tie(false); again(); },
    });
    let turned; // the weights of the machine above as the picture has them, V1 first
    const nights = DBN.chart(fig, "How often each night comes: drag", { kinds: { data: "visible" }, height: 90,
      names: data.map((v) => v.join("")), y: "share of the data", drag: { step: 0.05, read: (s) => p0[s], write: (s, x) => {
        const rest = exact.total(p0) - p0[s];
        p0 = p0.map((share, k) => (k === s ? x : rest > 1e-9 ? (share * (1 - x)) / rest : (1 - x) / 7));
        again();
      } }, into: picture });
    const gap = DBN.reading("nats between log p(v) and its bound: KL(Q‖P), averaged over the data", right);
    const curves = DBN.climb(fig, "Learning, averaged over the data", right);
    const belief = DBN.belief(fig, "Belief in the causes, given V0", "inferred by transposed weights, Q", right);
    fig.player({ step, reset, rate: () => 6 });
    const tying = fig.toggle("All layers tied", true, tie);
    fig.onDraw(() => {
      const { logProb, energy, entropy } = look(), s = night.index(state.v);
      turned = { W: exact.turn(top.W) };
      const down = exact.logGiven(exact.flip(lowest)).map((row8) => row8[s]), logQ = exact.logGiven(lowest)[s];
      const p = DBN.softmax(exact.logVisible(top).map((x, k) => x + down[k])), q = logQ.map(Math.exp), [log, low] = means();
      draw({
        wires: (m) => [m ? turned.W : lowest.W], side: (m) => (m ? "U ↕" : state.tied ? "W ↓ ↑" : "frozen ↓ ↑"),
        crown: state.tied ? "and so on, with the same weights" : "a machine of its own",
        unit: night.shows(state.v, [q[2] + q[3], q[1] + q[3]]),
      });
      nights([p0], { range: [0, 1] });
      gap(signed(log - low, 3));
      curves(past, MOST, p0, untied === null ? [] : [[untied, "bottom frozen"]]);
      belief(p, q);
      const frozen = untied === null ? "" : `; both were ${signed(past[1][untied], 4)} when the bottom was frozen`;
      fig.say(`Update ${past[0].length - 1} of ${MOST}. Mean log p(v) ${signed(log, 4)}, bound ${signed(low, 4)}, gap ` +
        `${signed(log - low, 4)} nats${frozen}. Of ${state.v.join("")}: log p(v) ${signed(logProb[s], 4)}, ` +
        `bound ${signed(entropy[s] - energy[s], 4)}.`);
    });
    reset();
  },
});
