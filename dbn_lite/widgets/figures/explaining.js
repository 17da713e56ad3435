// The lowest layer of the book's picture: rare causes of a shared effect (figure 2 of the paper), the exact posterior given
// whatever is observed, and the best that independent units can make of it.
/* global DBN */
DBN.figure("explaining", {
  title: "Explaining away",
  render(fig) {
    const { h, exact, signed, night } = DBN, both = exact.states(2), seen = [[1, null, null], [null, null]]; // null: unseen
    const paper = () => ({ W: [[20, 20], [10, 0], [0, 10]], visBias: [-20, -5, -5], hidBias: [-10, -10] });
    let net = paper();
    const chance = (p) => (p > 0 && p < 5e-3 ? p.toExponential(0).replace("-", "−") : p.toFixed(2));
    const power = (x) => ["e", h("sup", {}, signed(x, 1))];

    const { picture, right } = DBN.halves(fig);
    const draw = DBN.ladder(fig, {
      layers: 2, pressed: [0, 1], range: [-30, 30], step: 0.5, changed: () => fig.redraw(), into: picture,
      press: (k, i) => { seen[k][i] = { null: 1, 1: 0, 0: null }[seen[k][i]]; fig.redraw(); },
      weights: [{ m: 0, of: () => net }], biases: [{ k: 0, of: () => net.visBias }, { k: 1, of: () => net.hidBias }],
    });
    const competition = DBN.reading("nats: how far the causes compete, log P(both) P(neither) / P(quake) P(truck)", right);
    const belief = DBN.belief(fig, "Belief in the causes", "best factorial Q", right);
    const table = h("table");
    fig.card("Posterior P, from prior × likelihood", picture, table);
    fig.choice("Numbers", [["paper", "the paper's, figure 2"], ["book", "milder, as in chapter 2"]], "paper", (name) => {
      net = name === "paper" ? paper() : night.machine();
      fig.redraw();
    });
    fig.button("Observe only the jump", () => {
      [seen[0], seen[1]] = [[1, null, null], [null, null]];
      fig.redraw();
    });
    fig.onDraw(() => {
      const prior = exact.logFactorial(net.hidBias), on = both.map((s) => exact.inputs(s, exact.turn(net.W), net.visBias));
      const likelihood = on.map((xs) => exact.total(xs, (x, i) =>
        (seen[0][i] === null ? 0 : -DBN.softplus(seen[0][i] ? -x : x))));
      const barred = both.map((s) => (s.some((state, j) => (seen[1][j] ?? state) !== state) ? -1e3 : 0));
      const logP = DBN.logSoftmax(prior.map((x, s) => x + likelihood[s] + barred[s])), p = logP.map(Math.exp);
      const { q, kl } = exact.bestFactorial(logP), free = seen[1].every((state) => state === null);
      const marginal = [net.visBias.map((_, i) => seen[0][i] ?? exact.total(p, (x, s) => x * DBN.logistic(on[s][i]))),
        [p[2] + p[3], p[1] + p[3]]];
      draw({
        unit: (k, i) => ({ on: marginal[k][i], seen: seen[k][i] !== null, text: `${seen[k][i] ?? chance(marginal[k][i])}` }),
        wires: () => [net.W],
      });
      const [quake, truck] = marginal[1], scale = Math.sqrt(quake * (1 - quake) * truck * (1 - truck));
      const together = logP[3] - logP[2] - logP[1] + logP[0];
      competition(free ? signed(together, 1) : "none left");
      belief(p, both.map((s) => (s[0] ? q[0] : 1 - q[0]) * (s[1] ? q[1] : 1 - q[1])));
      const cell = (s) => h("td", {}, h("strong", {}, chance(p[s])), h("br"), power(prior[s]), " × ", power(likelihood[s]));
      const line = (tag, scope, name, ...cells) => h("tr", {}, h(tag, { scope }, name), cells);
      table.replaceChildren(line("td", null, "", ...["no truck", "truck"].map((x) => h("th", { scope: "col" }, x))),
        ...["no quake", "quake"].map((x, i) => line("th", "row", x, cell(2 * i), cell(2 * i + 1))));
      fig.say(`Earthquake ${marginal[1][0].toPrecision(3)}, truck ${marginal[1][1].toPrecision(3)}. Correlation of the causes ` +
        `${signed(scale && (p[3] - quake * truck) / scale)}. Best factorial Q: earthquake ${q[0].toPrecision(3)}, truck ` +
        `${q[1].toPrecision(3)}; KL(Q‖P) = ${signed(kl)} nats.`);
    });
  },
});
