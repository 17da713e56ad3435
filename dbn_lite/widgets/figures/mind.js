// Ten chains side by side in the top memory: what each has in mind, its state, its free energy, the labels it favours.
/* global DBN */
DBN.figure("mind", {
  title: "What ten chains have in mind",
  nets: ["dream"],
  render(fig) {
    let chains, t, which = "dream";
    const net = () => fig.nets[which], { meta: { shape }, top: { nLabels, nHid, nVis }, labels, images } = net();
    const ink = (page) => page.reduce((sum, x) => sum + x, 0), n = shape[0] * shape[1]; // a page is faint with less of it than
    const least = images ? Math.min(...Array.from({ length: images.length / n }, (_, i) =>
      ink(images.subarray(i * n, (i + 1) * n)) / 255)) : 0; // any image that came with the net
    const time = DBN.reading("so far, in Gibbs iterations", fig.stage);
    const nPen = nVis - nLabels, row = DBN.set(fig.row(), { class: "dbn-row dbn-chains" });
    const cards = Array.from({ length: nLabels }, (_, i) => {
      const into = fig.card("", row), facts = DBN.h("span");
      const units = (what, size, square) => fig.units(`${what}, chain ${i}`, size, { wide: 84, into, shape: square });
      const mind = units("What it has in mind", shape[0] * shape[1], shape), memory = units("Top memory", nHid);
      const odds = units("Probability of each label", nLabels, [1, nLabels]);
      into.append(facts);
      return { title: into.firstChild, facts, mind, memory, odds };
    });
    const paper = fig.card("Draw where they start"), pad = DBN.pad(paper, () => player.reset());

    function reset() {
      chains = cards.map((_, i) => {
        const rng = DBN.random(100 * seed.value + i), penlab = new Float32Array(nVis).fill(1 / nLabels);
        const image = start.value === "drawing" ? pad.read(shape[0]) : start.image(rng, i).image;
        penlab.set(DBN.upPass(net(), image, rng));
        return { rng, penlab, states: [] };
      });
      t = 0;
      clamp();
    }
    /** While labels are clamped, chain i holds label i. */
    function clamp() {
      if (held.checked) chains.forEach(({ penlab }, i) => penlab.fill(0, nPen).fill(1, nPen + i, nPen + i + 1));
      fig.redraw();
    }
    function step() {
      for (const chain of chains) chain.states = DBN.memoryStep(net(), chain.penlab, chain.rng, held.checked);
      t += 1;
      fig.redraw();
    }

    const player = fig.player({ step, reset, rate: () => Number(rate.value) }), again = () => player.reset();
    const rate = fig.slider("Iterations a second", { min: 1, max: 60, value: 30 });
    const held = fig.toggle("Labels clamped", true, clamp);
    const two = [["dream", "chains wandered"], ["net", "as in the paper"]], use = (name) => { which = name; fig.redraw(); };
    if (fig.live ? fig.options.other : DBN.shipped.net) fig.chooseNet("Memory", two, use);
    const own = [...(labels ? [["each", "one of each"]] : []), ["drawing", "your drawing"]];
    const start = DBN.starts(fig, net(), own, "noise", again), seed = fig.seed(again);
    fig.onDraw(() => {
      paper.hidden = start.value !== "drawing";
      const reads = chains.map(({ penlab, states }, i) => {
        const pen = penlab.subarray(0, nPen), on = penlab.indexOf(1, nPen) - nPen, card = cards[i];
        const energies = DBN.labelFreeEnergies(net(), pen), p = DBN.softmax(energies.map((energy) => -energy));
        const energy = on < 0 ? DBN.freeEnergy(net().top, penlab) : energies[on], best = p.indexOf(Math.max(...p));
        card.title.textContent = on < 0 ? "no label yet" : `${held.checked ? "held at" : "label"} ${on}`;
        // A look at the mind has random numbers of its own: it changes nothing.
        const page = DBN.downPass(net(), pen, DBN.random(1e6 * seed.value + 100 * t + i)), faint = ink(page) < least;
        card.facts.textContent = `F ${DBN.signed(energy, 1)}\n${faint ? "faint" : `reads ${best}: ${p[best].toFixed(2)}`}`;
        card.mind(page);
        card.memory(states);
        card.odds(p);
        return faint ? "faint" : best;
      });
      const speed = player.playing ? `, ${player.rate.toFixed(0)} a second` : "";
      const where = which === "net" ? ", trained as in the paper" : "";
      time(`${t}`);
      fig.say(`${DBN.counted(t, "iteration")}${speed}${where}. The states of the chains read as ${reads.join(", ")}.`);
    });
    reset();
    return { update: reset };
  },
});
