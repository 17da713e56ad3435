// The infinite net of figure 3, unrolled layer by layer beside the Gibbs chain of its RBM; and what the prior, the
// likelihood and so the posterior do to the two units of H0, which cancels when all weights are tied.
/* global DBN */
DBN.figure("infinite", {
  title: "The infinite net, unrolled beside a Gibbs chain",
  render(fig) {
    const { h, set, exact, signed } = DBN, MOST = 8, biases = { visBias: [-3, -3, -2.5], hidBias: [0, -0.5] };
    const lowest = { W: [[2, 2.5], [2.5, 2], [2, 1.5]], ...biases }, data = exact.states(3);
    const other = { W: [[-2, 1], [1, 3], [2, -1]], ...biases }; // U, above H0 in the net that is not tied
    const state = { depth: 1, tied: true, v: 5, layer: 1 }; // depth: layers above V0; layer: the one that is chosen
    const change = (key) => (value) => { state[key] = value; fig.redraw(); };
    const title = (k) => `${"VH"[k % 2]}${k >> 1}`;

    /** All layers, by transposed weights and the same random numbers: one machine's, or above layer 1 another's. */
    function sampled(above) {
      const rng = DBN.random(Number(seed.value)), layers = [{ s: data[state.v] }];
      for (let k = 1; k <= MOST; k++) {
        const machine = k > 1 ? above : lowest, { W, hidBias } = k % 2 ? machine : exact.flip(machine);
        const p = exact.inputs(layers[k - 1].s, W, hidBias).map(DBN.logistic);
        const u = data[0].map(rng); // as many for a layer of two
        layers.push({ p, s: p.map((x, i) => (u[i] < x ? 1 : 0)) });
      }
      return layers;
    }
    /** log p(H0) in a net that ends, with independent units, so many layers above the data. */
    function logPrior(depth, above) {
      const down = [exact.logGiven(above), exact.logGiven(exact.flip(above))]; // from a V, from an H
      let p = exact.logFactorial(depth % 2 ? biases.hidBias : biases.visBias).map(Math.exp);
      for (let k = depth; k > 1; k--) p = exact.spread(p, down[k % 2]);
      return p.map(Math.log);
    }
    const interaction = (logP) => logP[3] - logP[2] - logP[1] + logP[0]; // of the log odds of one unit with the other

    const rows = Array.from({ length: MOST + 1 }, (_, k) =>
      h("button", { type: "button", class: "dbn-layer", onclick: () => change("layer")(k) }));
    const heads = h("small", {}, h("span", {}, "Gibbs chain"), h("span", {}, "Infinite net"));
    const row = fig.row(h("div", { class: "dbn-layers" }, heads, [...rows].reverse()));
    const card = fig.card("Interaction of the two units of H0, in nats", row), sum = h("p", { class: "dbn-formula" });
    const curves = fig.curves("Interaction by number of layers", { "prior, from the layers above": "hidden",
      "likelihood, from the data": "visible", "posterior, their sum": "label" }, card);
    card.append(sum);

    fig.player({ step: () => change("depth")(Math.min(MOST, state.depth + 1)) ?? state.depth < MOST,
      reset: () => change("depth")(1), rate: () => 1 });
    fig.toggle("Tied weights", true, change("tied"));
    fig.choice("Data v0", data.map((v, s) => [s, v.join("")]), state.v, change("v"));
    const seed = fig.seed(() => fig.redraw());
    fig.onDraw(() => {
      const { depth, v } = state, above = state.tied ? lowest : other, k = Math.min(state.layer, depth);
      const chain = sampled(lowest), net = sampled(above);
      const dots = (on, i) => h("b", { style: `color: var(--dbn-${["visible", "hidden"][i % 2]})` },
        on.map((x) => (x ? "●" : "○")).join(""));
      rows.forEach((node, i) => {
        const sides = [chain[i].s, net[i].s], [up, down] = i ? ["↑W", i > 1 && !state.tied ? "↓U" : "↓W"] : ["", ""];
        node.replaceChildren(`${title(i).toLowerCase()} ${up}`, ...sides.map((on) => dots(on, i)), `${down} ${title(i)}`);
        set(node, { style: i > depth ? "visibility: hidden" : null, "aria-pressed": `${i === k}`,
          "aria-label": `${title(i)}: ${sides.map((on) => on.join(""))}` });
      });
      const likelihood = exact.logGiven(exact.flip(lowest)).map((p) => p[v]);
      const priors = Array.from({ length: depth }, (_, i) => logPrior(i + 1, above));
      const posteriors = priors.map((logP) => DBN.logSoftmax(logP.map((x, s) => x + likelihood[s])));
      const series = [priors, priors.map(() => likelihood), posteriors].map((list) => list.map(interaction));
      curves(series, { steps: MOST - 1, range: [-3, 3] });
      const [prior, ofData, posterior] = series.map((list) => signed(list.at(-1)));
      sum.textContent = `prior ${prior} + likelihood ${ofData} = posterior ${posterior}`;
      const off = exact.kl(exact.logGiven(lowest)[v].map(Math.exp), posteriors.at(-1));
      const same = chain.slice(0, depth + 1).every(({ s }, i) => s.join() === net[i].s.join());
      const says = k ? `units on with probability ${net[k].p.map((x) => x.toFixed(3)).join(", ")}` : "the data";
      fig.say(`Layers above the data: ${depth}. Inference by transposed weights is off by KL(Q‖P) = ${signed(off, 4)} ` +
        `nats. Chain and net are in ${same ? "the same" : "different"} states. Layer ${title(k)}: ${says}.`);
    });
  },
});
