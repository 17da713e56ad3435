// Two rare causes of one effect (figure 2 of the paper): the exact posterior given whatever is observed, and the best
// that independent units can make of it.
/* global DBN */
DBN.figure("explaining", {
  title: "Explaining away",
  render(fig) {
    const { h, set, exact, signed } = DBN, names = ["Earthquake", "Truck", "House jumps"], both = exact.states(2);
    const paper = { bias: [-10, -10, -20], weight: [20, 20] }, seen = [null, null, 1]; // null, 0 or 1: what is observed
    const state = structuredClone(paper), cases = ["neither", "truck alone", "earthquake alone", "both"];
    const chance = (p) => (p > 0 && p < 5e-4 ? p.toExponential(1).replace("-", "−") : p.toFixed(4));
    const power = (x) => ["e", h("sup", {}, signed(x, 1))];

    const top = fig.row(), table = h("table");
    const svg = set(fig.svg("The net: press a unit to observe it", 300, 240, top), { role: "group", "font-size": 13 });
    const places = [[70, 55], [230, 55], [150, 180]], text = (x, y) => h("text", { x, y, "text-anchor": "middle" });
    const wires = [text(75, 130), text(225, 130)];
    svg.append(...wires, ...[0, 1].map((i) => h("path", { d: `M${places[i]} L150 180`, stroke: "var(--dbn-weight)" })));
    const units = names.map((name, i) => {
      const [x, y] = places[i], ring = { cx: x, cy: y, r: 30 }, fill = (kind) => ({ style: `fill: var(--dbn-${kind})` });
      const level = h("circle", { ...ring, ...fill(i < 2 ? "hidden" : "visible") });
      const value = text(x, y + 5), title = text(x, i < 2 ? y - 40 : y + 48);
      const turn = () => { seen[i] = { null: 1, 1: 0, 0: null }[seen[i]]; fig.redraw(); };
      const node = DBN.pressable(h("g", {}, h("circle", { ...ring, ...fill("paper") }), level, value, title), turn);
      svg.append(node);
      return { name, level, value, title, node };
    });
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
      const logP = exact.normal(prior.map((x, s) => x + likelihood[s] + barred[s])), p = logP.map(Math.exp);
      const { q, kl } = exact.bestFactorial(logP);
      const on = [p[2] + p[3], p[1] + p[3], seen[2] ?? exact.total(p, (x, s) => x * Math.exp(jumps[s][1]))];
      const scale = Math.sqrt(on[0] * (1 - on[0]) * on[1] * (1 - on[1]));
      units.forEach(({ name, level, value, title, node }, i) => {
        const free = seen[i] === null, said = free ? "not observed" : `observed ${seen[i] ? "on" : "off"}`;
        const [stroke, width] = free ? ["var(--dbn-edge)", 1] : ["var(--dbn-accent)", 4];
        set(level, { "fill-opacity": 0.5 * on[i], stroke, "stroke-width": width });
        value.textContent = free ? chance(on[i]) : said.slice(9);
        title.textContent = `${name} (${signed(bias[i], 1)})`;
        set(node, { "aria-label": `${name}: ${said}, on with probability ${chance(on[i])}` });
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
