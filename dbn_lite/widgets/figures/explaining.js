// Two rare causes of one effect (figure 2 of the paper): the exact posterior given whatever is observed, and the best
// that independent units can make of it.
/* global DBN */
DBN.figure("explaining", {
  title: "Explaining away",
  render(fig) {
    const { h, set, exact, signed } = DBN, names = ["Earthquake", "Truck", "House jumps"], both = exact.states(2);
    const paper = { bias: [-10, -10, -20], weight: [20, 20] }, state = { bias: [...paper.bias], weight: [...paper.weight] };
    const seen = [null, null, 1], cases = ["neither", "truck alone", "earthquake alone", "both"]; // seen: null, 0 or 1
    const chance = (p) => (p > 0 && p < 5e-4 ? p.toExponential(1).replace("-", "−") : p.toFixed(4));
    const power = (x) => ["e", h("sup", {}, signed(x, 1))];

    const top = fig.row(), table = h("table"), wires = [0, 1].map((i) => h("span", { class: `dbn-wire-${i}` }));
    const turn = (i) => { seen[i] = { null: 1, 1: 0, 0: null }[seen[i]]; fig.redraw(); };
    const units = names.map((_, i) => h("button", { type: "button", class: `dbn-unit-${i}`, onclick: () => turn(i) }));
    top.append(h("div", { class: "dbn-net", role: "group", "aria-label": "The net: press a unit to observe it" },
      h("svg", { viewBox: "0 0 100 75", "aria-hidden": "true" }, h("path", { d: "M17 18L50 55L83 18" })), wires, units));
    fig.card("Exact posterior P of the causes, from prior × likelihood", top, table);
    const [ofP, ofQ] = [["Exact posterior P", "hidden"], ["Best factorial Q", "energy"]].map(([title, kind]) =>
      fig.bars(title, cases, { kind, into: fig.card(title) }));

    const sliders = [["Bias", "bias", -30, 5], ["Weight", "weight", -5, 30]].flatMap(([word, key, min, max]) =>
      paper[key].map((value, i) => fig.slider(`${word} of ${names[i].toLowerCase()}`,
        { min, max, step: 0.5, value, format: (x) => signed(x, 1) }, (x) => { state[key][i] = x; fig.redraw(); })));
    fig.button("The paper's numbers", () => [...paper.bias, ...paper.weight].forEach((value, i) => {
      sliders[i].value = value;
      sliders[i].dispatchEvent(new Event("input"));
    }));
    fig.onDraw(() => {
      const { bias, weight } = state, prior = exact.logFactorial(bias.slice(0, 2));
      const jumps = exact.logGiven({ W: weight.map((w) => [w]), hidBias: [bias[2]] }); // (causes, off or on)
      const likelihood = jumps.map((row) => row[seen[2]] ?? 0);
      const barred = both.map((s) => (s.some((on, i) => (seen[i] ?? on) !== on) ? -1e3 : 0));
      const logP = DBN.logSoftmax(prior.map((x, s) => x + likelihood[s] + barred[s])), p = logP.map(Math.exp);
      const { q, kl } = exact.bestFactorial(logP);
      const on = [p[2] + p[3], p[1] + p[3], seen[2] ?? exact.total(p, (x, s) => x * Math.exp(jumps[s][1]))];
      const scale = Math.sqrt(on[0] * (1 - on[0]) * on[1] * (1 - on[1]));
      units.forEach((unit, i) => {
        const said = seen[i] === null ? chance(on[i]) : `observed ${seen[i] ? "on" : "off"}`;
        unit.replaceChildren(names[i], h("br"), h("strong", {}, said), h("br"), `bias ${signed(bias[i], 1)}`);
        set(unit, { style: `--dbn-on: ${32 * on[i]}%`, "aria-pressed": `${seen[i] !== null}` });
      });
      wires.forEach((wire, i) => { wire.textContent = signed(weight[i], 1); });
      const cell = (s) => h("td", {}, h("strong", {}, chance(p[s])), h("br"), power(prior[s]), " × ", power(likelihood[s]));
      const line = (tag, scope, name, ...cells) => h("tr", {}, h(tag, { scope }, name), cells);
      table.replaceChildren(line("td", null, "", ...["off", "on"].map((x) => h("th", { scope: "col" }, `truck ${x}`))),
        ...["off", "on"].map((x, i) => line("th", "row", `earthquake ${x}`, cell(2 * i), cell(2 * i + 1))));
      ofP.draw(p, { format: chance });
      ofQ.draw(both.map((s) => (s[0] ? q[0] : 1 - q[0]) * (s[1] ? q[1] : 1 - q[1])), { format: chance });
      fig.say(`Earthquake ${chance(on[0])}, truck ${chance(on[1])}, house jumps ${chance(on[2])}. Correlation of the causes ` +
        `${signed(scale && (p[3] - on[0] * on[1]) / scale)}. Best factorial Q: earthquake ${chance(q[0])}, truck ` +
        `${chance(q[1])}; KL(Q‖P) = ${signed(kl)} nats. Before anything is observed, both at once have e to the ` +
        `${signed(bias[0] + bias[1], 1)} times the chance of neither.`);
    });
  },
});
