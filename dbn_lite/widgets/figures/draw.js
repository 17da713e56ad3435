// A digit drawn by the reader: what the net reads in it, what it makes of it, and what it dreams from there on.
/* global DBN */
DBN.figure("draw", {
  title: "Draw a digit",
  nets: ["dream"],
  render(fig) {
    const KEPT = 12, net = () => fig.nets.dream, { meta: { shape }, top: { nLabels } } = net();
    const names = Array.from({ length: nLabels }, (_, label) => `${label}`);
    let image, memory, rng, dreams, t;

    const row = fig.row(), part = (title, into = row) => ({ into: fig.card(title, into) });
    const pad = DBN.pad(part("Draw here").into, () => { start.show("drawing"); player.reset(); });
    const sight = fig.card("", row), [gets, makes] = ["What the net gets", "What it makes of it"].map((title) =>
      fig.pictures(title, { shape, gap: 0, size: 4, ...part(title, sight) }));
    const chances = fig.bars("Probability of each label", names, part("Probability"));
    const costs = fig.bars("Free energy with each label", names,
      { kind: "energy", ...part("Free energy (nats), longer for lower") });
    const time = DBN.reading("since the drawing, in Gibbs iterations of the memory", fig.stage);
    const strip = fig.pictures("Dreams", { shape, size: 2, ...part("What it dreams next", fig.stage) });

    /** Back to the drawing: a dream starts from the sampled states of its up-pass, with no label preferred. */
    function reset() {
      image = pad.read(shape[0]);
      rng = DBN.random(Number(seed.value));
      memory = new Float32Array(net().top.nVis).fill(1 / nLabels);
      memory.set(DBN.upPass(net(), image, rng));
      [dreams, t] = [[], 0];
      fig.redraw();
    }
    /** What penultimate states stand for, drawn with random numbers of its own: looking changes no dream. */
    const look = (pen, at) => DBN.downPass(net(), pen, DBN.random(1000 * seed.value + at));
    function step() {
      for (const until = t + Number(every.value); t < until; t++) DBN.memoryStep(net(), memory, rng);
      dreams = [...dreams, look(memory.subarray(0, -nLabels), t)].slice(-KEPT);
      fig.redraw();
    }
    const begin = () => {
      pad.put(start.value === "drawing" ? [] : start.image(DBN.random(0)).image, shape[0]);
      player.reset();
    };
    const player = fig.player({ step, reset, rate: () => 4 }), every = fig.choice("Iterations a step", [1, 5, 20], 1);
    const start = DBN.starts(fig, net(), [["drawing", "your drawing"]], null, begin);
    const seed = fig.seed(() => player.reset());
    fig.button("Clear", () => { start.show("drawing"); begin(); });
    fig.onDraw(() => {
      const pen = DBN.upPass(net(), image), energies = DBN.labelFreeEnergies(net(), pen), most = Math.max(...energies);
      const p = DBN.softmax(energies.map((energy) => -energy)), drawn = image.some((x) => x > 0);
      const [best, second] = [...p.keys()].sort((a, b) => p[b] - p[a]), selected = drawn ? best : -1;
      const format = (below) => DBN.signed(most - below, 1); // the better, the longer a bar
      time(`${t}`);
      gets.draw([image]);
      makes.draw([look(pen, 0)]);
      chances.draw(p, { selected });
      costs.draw(energies.map((x) => most - x), { most: most - Math.min(...energies), selected, format });
      const passed = DBN.counted(t, "iteration"), columns = fig.stage.clientWidth > 740 ? KEPT : KEPT / 2;
      strip.draw([...dreams, ...Array(KEPT - dreams.length).fill(null)], { columns, text: passed });
      const says = (label) => `${label} with probability ${p[label].toFixed(3)}`, on = memory.indexOf(1, -nLabels);
      const now = t ? ` ${passed} on, its label is ${on - memory.length + nLabels}.` : "";
      fig.say(drawn ? `The net reads ${says(best)}, then ${says(second)}.${now}` : `Nothing is drawn yet.${now}`);
    });
    begin();
    return { update: reset };
  },
});
