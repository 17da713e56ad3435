// Layers put on top of the book's picture, one by one (figure 3 of the paper): the prior that they make of the causes
// cancels the competition in the likelihood, if all weights are tied, and the posterior becomes that of independent units.
/* global DBN */
DBN.figure("infinite", {
  title: "The infinite net, layer by layer",
  render(fig) {
    const { exact, signed, night } = DBN, MOST = 8;
    const lowest = night.machine(), upper = { ...lowest, W: night.other().W }; // U, above H0 in the net that is not tied
    const state = { depth: 1, tied: true, v: [1, 0, 0] }; // depth: layers above V0
    const change = (key) => (value) => { state[key] = value; fig.redraw(); };

    /** log p(H0) in nets that end, with independent units, 1, 2, ... layers above the data. */
    function logPriors(above) {
      const down = [exact.logGiven(above), exact.logGiven(exact.flip(above))]; // from a V, from an H
      return Array.from({ length: MOST }, (_, i) => {
        let p = exact.logFactorial(i % 2 ? above.visBias : above.hidBias).map(Math.exp);
        for (let k = i + 1; k > 1; k--) p = exact.spread(p, down[k % 2]);
        return p.map(Math.log);
      });
    }
    const interaction = (logP) => logP[3] - logP[2] - logP[1] + logP[0]; // of the log odds of one unit with the other

    const { picture, right } = DBN.halves(fig);
    const draw = DBN.ladder(fig, {
      layers: MOST + 1, roomy: 2, pressed: [0], press: (_, i) => { state.v[i] = 1 - state.v[i]; fig.redraw(); }, into: picture,
      weights: [{ m: 0, of: () => lowest }, { m: 1, name: "Upper weight", of: () => (state.tied ? null : upper) }],
      changed: () => fig.redraw(),
    });
    const left = DBN.reading("nats of competition left in the posterior of the causes", right);
    const belief = DBN.belief(fig, "Belief in the causes, given V0", "inferred by transposed weights, Q", right);
    const cancels = DBN.chart(fig, "What couples the two causes", { kinds: { "likelihood, from the data": "visible",
      "prior, from the layers above": "hidden", "posterior, their sum": "label" }, x: "layers above the data", y: "nats",
    names: Array.from({ length: MOST }, (_, i) => `${i + 1}`), into: right });

    fig.player({ step: () => change("depth")(Math.min(MOST, state.depth + 1)) ?? state.depth < MOST,
      reset: () => change("depth")(1), rate: () => 1 });
    fig.toggle("Tied weights", true, change("tied"));
    fig.button("The book's weights", () => {
      [lowest.W, upper.W] = [night.machine().W, night.other().W];
      fig.redraw();
    });
    fig.onDraw(() => {
      const { depth, v, tied } = state, s = night.index(v);
      const likelihood = exact.logGiven(exact.flip(lowest)).map((p) => p[s]);
      const priors = logPriors(tied ? lowest : upper).slice(0, depth), logQ = exact.logGiven(lowest)[s];
      const posteriors = priors.map((logP) => DBN.logSoftmax(logP.map((x, i) => x + likelihood[i]))), last = posteriors.at(-1);
      const p = last.map(Math.exp), q = logQ.map(Math.exp);
      draw({
        depth: depth + 1, wires: (m) => [m && !tied ? upper.W : lowest.W], crown: "independent units",
        side: (m) => `${m && !tied ? "U" : "W"}${m % 2 ? "" : "ᵀ"} ↓`,
        unit: night.shows(v, [p[2] + p[3], p[1] + p[3]]),
      });
      const series = [priors.map(() => likelihood), priors, posteriors].map((list) => list.map(interaction));
      const now = series.map((list) => list.at(-1));
      left(signed(now[2], 2));
      belief(p, q);
      cancels(series, { range: [-3, 3] });
      fig.say(`Layers above the data: ${depth}. Likelihood ${signed(now[0])} + prior ${signed(now[1])} = posterior ` +
        `${signed(now[2])} nats. Inference by transposed weights is off by KL(Q‖P) = ${signed(exact.kl(q, last), 4)} nats.`);
    });
  },
});
