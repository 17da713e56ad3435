// Every unit of every layer as a picture. In layer 1 its receptive field, the weights from the pixels; in higher layers
// the weights by which it drives the layer below, multiplied through the generative weights down to the pixels.
/* global DBN */
DBN.figure("filters", {
  title: "The units of every layer as pictures",
  nets: ["net"],
  render(fig) {
    const { h } = DBN;
    const norm = (a) => Math.sqrt(DBN.dot(a, a)), cosine = (a, b) => DBN.dot(a, b) / (norm(a) * norm(b) || 1);
    const column = (W, n, j) => Float32Array.from({ length: W.length / n }, (_, i) => W[i * n + j]);
    const orders = { // smallest first
      index: ["number", (layer, j) => j],
      strength: ["strength, strongest first", (layer, j) => -norm(layer.picture(j))],
      bias: ["bias, readiest to turn on first", (layer, j) => -layer.bias[j]],
      change: ["change by fine-tuning, most first", (layer, j, before) => cosine(layer.picture(j), before.picture(j))],
    };
    const state = { net: "net", layer: 1, unit: fig.options.unit ?? 0, page: 0, order: "index" };
    const compared = !fig.live || fig.options.before;
    let layers = {}, order = [], shown = [];

    /** What the penultimate units make of the pixels, to first order: penhid hidvis, row after row. */
    function penToPixels(net) {
      const vis = net.visgenbiases.length, hid = net.hidgenbiases.length, nothing = new Float32Array(vis);
      const product = new Float32Array(net.penrecbiases.length * vis);
      for (let j = 0; j * vis < product.length; j++)
        product.set(DBN.affine(net.penhid.subarray(j * hid, (j + 1) * hid), net.hidvis, nothing), j * vis);
      return product;
    }

    /** A layer of a net: its biases and, each made once, the pictures of its units. */
    function layerOf(name, number) {
      if (layers[name + number]) return layers[name + number];
      const net = fig.nets[name], made = [], vis = net.visgenbiases.length;
      const bias = [net.hidrecbiases, net.penrecbiases, net.topbiases][number - 1], n = bias.length;
      const down = number > 1 ? (net.penToPixels ??= penToPixels(net)) : null;
      const make = [
        (j) => column(net.vishid, n, j),
        (j) => down.subarray(j * vis, (j + 1) * vis),
        (j) => DBN.affine(column(net.pentop, n, j), down, new Float32Array(vis)),
      ][number - 1];
      return (layers[name + number] = { n, bias, net, picture: (j) => (made[j] ??= make(j)) });
    }

    const shape = fig.nets.net.meta.shape;
    const grid = fig.pictures("Units", { shape, pick: (place) => choose(shown[place]) }), row = fig.row();
    const cards = ["net", "greedy"].map((name) => {
      const card = fig.card("", row);
      return { name, title: card.firstChild, card, big: fig.pictures("Enlarged", { shape, gap: 0, size: 6, into: card }) };
    });
    const facts = DBN.set(fig.card("", row), { "data-facts": "" });

    const numbers = fig.nets.net.layers.map((_, i) => [i + 1, ["1 (pixels to hidden)", "2 (penultimate)", "3 (top memory)"][i]]);
    if (numbers.length > 1) fig.choice("Layer", numbers, 1, (layer) => reset({ layer, unit: 0 }));
    if (compared) fig.chooseNet("Weights", [["net", "after fine-tuning"], ["greedy", "before it"]], (net) => reset({ net }));
    const sorts = Object.entries(orders).filter(([key]) => compared || key !== "change").map(([key, [text]]) => [key, text]);
    fig.choice("Sort by", sorts, "index", async (key) => {
      if (key !== "change" || ((await fig.need("greedy")) && (await fig.need("net")))) reset({ order: key });
    });
    const unit = fig.number("Unit", { max: 1, value: state.unit }, (j) => choose(j));
    const pages = fig.controls.appendChild(h("span", { class: "dbn-control" }));
    fig.button("Earlier units", () => turn(-1), pages);
    fig.button("Later units", () => turn(1), pages);

    const perPage = () => {
      const columns = Math.max(4, Math.floor(((fig.stage.clientWidth || 700) - 2) / (shape[1] + 2)));
      return { columns, size: columns * (columns < 20 ? 12 : 20) };
    };
    const turn = (by) => {
      const { size } = perPage();
      state.page = Math.max(0, Math.min(Math.floor((order.length - 1) / size), state.page + by));
      fig.redraw();
    };
    function choose(j) {
      state.unit = unit.value = j;
      state.page = Math.floor(order.indexOf(j) / perPage().size);
      fig.redraw();
    }
    /** Sort again, after any change of what is shown. */
    function reset(change = {}) {
      Object.assign(state, change);
      const layer = layerOf(state.net, state.layer), before = state.order === "change" ? layerOf("greedy", state.layer) : null;
      const after = before ? layerOf("net", state.layer) : layer;
      const key = Float64Array.from({ length: layer.n }, (_, j) => orders[state.order][1](after, j, before));
      order = [...key.keys()].sort((a, b) => key[a] - key[b]);
      unit.max = layer.n - 1;
      choose(Math.min(state.unit, layer.n - 1));
    }
    fig.onDraw(() => {
      const layer = layerOf(state.net, state.layer), { columns, size } = perPage(), j = state.unit;
      shown = order.slice(state.page * size, (state.page + 1) * size);
      const pictures = shown.map((k) => layer.picture(k)), text = `unit ${j} of layer ${state.layer}`;
      grid.draw(pictures, { columns, signed: true, selected: shown.indexOf(j), text });
      pages.hidden = layer.n <= size;
      for (const { name, title, card, big } of cards) {
        card.hidden = !fig.nets[name];
        if (card.hidden) continue;
        title.textContent = { net: compared ? "After fine-tuning" : `Unit ${j}`, greedy: "Before" }[name];
        big.draw([layerOf(name, state.layer).picture(j)], { signed: true, text });
      }
      facts.replaceChildren(...lines(layer, j).map((line) => h("span", {}, line)));
      fig.say(`Layer ${state.layer}, units ${shown.length} of ${layer.n} shown. Unit ${j} chosen.`);
    });

    function lines(layer, j) {
      const { signed } = DBN, number = state.layer, strength = signed(norm(layer.picture(j)));
      const said = [`Unit ${j} of layer ${number}`, `bias ${signed(layer.bias[j])}`, `strength ${strength}`];
      if (fig.nets.greedy) {
        const likeness = cosine(layerOf("net", number).picture(j), layerOf("greedy", number).picture(j));
        said.push(`likeness before and after ${signed(likeness)}`);
      }
      if (number < 3) return said;
      const labels = [...column(layer.net.labtop, layer.n, j)].map((w, label) => [w, label]).sort((a, b) => b[0] - a[0]);
      const list = (some) => some.map(([w, label]) => `${label} (${w < 0 ? "−" : "+"}${Math.abs(w).toFixed(2)})`).join(", ");
      return [...said, `for the labels ${list(labels.slice(0, 3))}`, `against ${list(labels.slice(-3).reverse())}`];
    }

    reset();
    return { update: () => { layers = {}; reset(); } };
  },
});
