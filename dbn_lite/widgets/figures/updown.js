// One case through the wake and the sleep phase, line by line of appendix B: the figure runs the very lines it shows.
/* global DBN */
/** What the right side of a line of updown.m comes to, from the workspace so far; of an update, the difference in it. */
DBN.evaluate = (expression, workspace, net, rng) => {
  const found = (form) => form.exec(expression)?.slice(1) ?? [], value = (name) => workspace[name];
  const turned = (name) => DBN.transpose(net[name], net[name].length / net.topbiases.length, net.topbiases.length);
  const matrix = (name) => (net[name] ??= turned(name.slice(0, -1))); // pentop' and labtop'
  const [squash, sum] = found(/^(logistic|softmax)\((.*)\)$/), [rows, columns] = found(/^(\w+)' \* (\w+)$/);
  const [probs] = found(/^(\w+) > rand/), [plus, minus] = found(/\((\w+) - (\w+)\)/);
  if (squash) {
    const terms = sum.split(" + "), bias = net[terms.pop()];
    const x = terms.map((term) => term.split("*")).reduce((y, [a, W]) => DBN.affine(value(a), matrix(W), y), bias);
    return squash === "softmax" ? DBN.softmax(x) : x.map(DBN.logistic);
  }
  if (probs) return DBN.sample(value(probs), rng);
  if (plus) return value(plus).map((x, i) => x - value(minus)[i]);
  if (rows) return Float32Array.from([...value(rows)].flatMap((x) => [...value(columns)].map((y) => x * y)));
  return value(expression);
};

DBN.figure("updown", {
  title: "The up-down algorithm, line by line",
  nets: ["net"],
  render(fig) {
    const { h } = DBN, net = () => fig.nets.net, { meta: { shape }, ...arrays } = net();
    const biases = { vis: "visgenbiases", hid: "hidrecbiases", pen: "penrecbiases", top: "topbiases", lab: "labgenbiases" };
    const size = (kind) => arrays[biases[kind]].length, shapes = { vis: shape, lab: [1, size("lab")] };
    const lines = DBN.appendixB.map((text) => {
      const [, name, right] = /^ *(\w+) = (.*);$/.exec(text) ?? [];
      return { text, name, right, node: h("code", {}, text) };
    });
    // The net from the top down, wake beside sleep: pictures of variables, and arrows (variable, direction, weights).
    const PARTS = `waketopprobs waketopstates | negtopprobs negtopstates
      waketopprobs↑pentop | negpenprobs↓pentop neglabprobs↓labtop negtopprobs↑pentop
      wakepenprobs wakepenstates targets | negpenprobs negpenstates psleeppenstates neglabprobs
      wakepenprobs↑hidpen phidprobs↓penhid | sleephidprobs↓penhid psleeppenstates↑hidpen
      wakehidprobs wakehidstates phidprobs | sleephidprobs sleephidstates psleephidstates
      wakehidprobs↑vishid pvisprobs↓hidvis | sleepvisprobs↓hidvis psleephidstates↑vishid
      data pvisprobs | sleepvisprobs`.split(/[|\n]/), pictures = {}, arrows = [];
    let program, at, workspace, rng;

    const kindOf = (name) => ({ data: "vis", targets: "lab" })[name] ?? /vis|hid|pen|top|lab/.exec(name)[0];
    const picture = (name, kind, cell, card = fig.card(name, cell)) =>
      ({ card, draw: fig.units(name, size(kind), { wide: 84, into: card, shape: shapes[kind] }) });
    const cells = PARTS.map((part) => {
      const cell = h("div", { class: "dbn-row" });
      for (const text of part.trim().split(" ")) {
        const [, name, way, weights] = /(\w+)(\W?)(\w*)/.exec(text);
        if (way) arrows.push({ name, weights, button: fig.button(`${way} ${weights}`, () => go(name), cell) });
        else pictures[name] = picture(name, kindOf(name), cell);
      }
      return cell;
    });
    const titles = ["Wake", "Sleep"].map((name) => h("strong", {}, name)), code = h("div", { class: "dbn-code", role: "region",
      "aria-label": "Appendix B, corrected", tabindex: 0 }, lines.map(({ node }) => node));
    fig.stage.append(h("div", { class: "dbn-updown" }, titles, cells), code);
    const differences = Object.keys(biases).map((kind) => [kind, picture("the difference", kind, cells.at(-1))]);

    /** Run the next line. */
    function step() {
      if (at === program.length) return false;
      const { name, right } = program[at++], value = DBN.evaluate(right, workspace, net(), rng);
      workspace[name] = name === "neglabprobs" && sampled.checked ? DBN.sampleSoftmax(value, rng) : value;
      fig.redraw();
      return at < program.length;
    }
    function reset() {
      const [loop, end] = ["for", "end"].map((word) => lines.findIndex(({ text }) => text.startsWith(word)));
      const loops = Array(Number(iterations.value)).fill(lines.slice(loop, end)).flat();
      program = [...lines.slice(0, loop), ...loops, ...lines.slice(end)].filter(({ name }) => name);
      rng = DBN.random(Number(seed.value));
      const { image, label } = start.image(rng), targets = new Float32Array(size("lab")).fill(1, label, label + 1);
      [at, workspace] = [0, { data: image, targets }];
      fig.redraw();
    }
    /** Run to where a variable is assigned next, from the start if that has passed. */
    function go(name) {
      player.pause();
      if (!program.slice(at).some((line) => line.name === name)) reset();
      do step(); while (program[at - 1].name !== name);
    }

    const player = fig.player({ step, reset, rate: () => 1 }), again = () => player.reset();
    const start = DBN.starts(fig, net(), [], null, again), seed = fig.seed(again);
    const iterations = fig.choice("Gibbs iterations", [1, 3, 6, 10], 3, again);
    const sampled = fig.toggle("One label on in each reconstruction", false, again);
    fig.onDraw(() => {
      const now = program[at - 1] ?? {}, value = workspace[now.name], [minus] = /\w+ - \w+/.exec(now.right) ?? [];
      const shown = now.name === "sleeppenstates" ? "negpenstates" : now.name;
      for (const [name, { card, draw }] of Object.entries(pictures)) {
        draw(workspace[name] ?? [], { text: workspace[name] ? "" : "not yet known" });
        card.classList.toggle("dbn-now", name === shown);
      }
      for (const { name, weights, button } of arrows) // an update lights the weights that it changes
        DBN.set(button, { "aria-pressed": `${at > 0 && [name, weights].includes(now.name)}` });
      for (const line of lines) DBN.set(line.node, { "aria-current": line === now ? "step" : null });
      if (at) code.scrollTop = now.node.offsetTop - code.clientHeight / 2;
      const fitting = differences.find(([kind]) => minus && value.length === size(kind));
      for (const each of differences) each[1].card.hidden = each !== fitting;
      if (fitting) fitting[1].draw(value, { signed: true, text: minus });
      const mean = (value?.reduce((sum, x) => sum + Math.abs(x), 0) / value?.length).toFixed(4);
      const words = at && `${now.text.trim()} ${minus ? "The difference: " : ""}${value.length} numbers, mean size ${mean}.`;
      fig.say(`Step ${at} of ${program.length}: ${words || "an image and its label."}`);
    });
    reset();
    return { update: reset };
  },
});
