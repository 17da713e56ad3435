// The book's picture: causes and effects of one night, a layer of each, and as many layers above them as a chapter asks
// for. A class of chapters, one drawing: units are pressed, weights and biases are dragged or moved by keys.
/* global DBN */
Object.assign(DBN, (() => {
  "use strict";
  const { h, set, signed, slide } = DBN;
  const night = {
    names: [["house jumps", "lamp swings", "dog barks"], ["earthquake", "truck"]],
    cases: ["neither", "truck", "quake", "both"], // states of the causes, in counting order
    machine: () => ({ W: [[2, 2.5], [2.5, 2], [2, 1.5]], visBias: [-3, -3, -2.5], hidBias: [0, -0.5] }), // as InfiniteNet.MACHINE
    other: () => ({ W: [[-2, 1], [1, 3], [2, -1]], visBias: [-3, -3, -2.5], hidBias: [0, -0.5] }), // above H0, when not tied
    title: (k) => `${"VH"[k % 2]}${k >> 1}`,
    index: (v) => parseInt(v.join(""), 2), // of a state, in counting order
    shows: (v, on) => (k, i) => [{ on: v[i], seen: true, text: `${v[i]}` }, { on: on[i], text: on[i]?.toFixed(2) }][k],
  };

  /** A ladder of layers V0, H0, V1, ... Options: how many `layers`; `roomy`, how many spaces are wide enough for handles;
   * `press(k, i)` for units of the layers in `pressed`; `weights`, [{ m, of, name }], W of handles between layers m and
   * m + 1; `biases`, [{ k, of }], those of layer k; `range` and `step` of handles; changed() when one was moved.
   * Returns draw({ depth, fold, unit(k, i), wires(m), side(m), crown }): layers shown; 1 when all lie on the lowest two;
   * { on, text, seen } of a unit; [W, W of recognition or null]; words beside the wires, and at the top. */
  function ladder(fig, { layers, roomy = 1, pressed = [], press, weights = [], biases = [], range = [-6, 6], step = 0.1,
    changed, into }) {
    const heights = Array.from({ length: layers }, (_, k) => 132 * Math.min(k, roomy) + 44 * Math.max(0, k - roomy));
    const base = heights.at(-1) + 46, most = Math.max(...range.map(Math.abs)), ends = [[0, 1, 2], [0, 1]];
    let fold = 0;
    const place = (k, i) => [k % 2 ? 105 + 130 * i : 60 + 110 * i, base - (1 - fold) * heights[k] - fold * heights[k % 2]];
    const [triple, pair] = [(m) => m + (m % 2), (m) => m + 1 - (m % 2)]; // below or above the wires m: the layer of three, of two
    const svg = h("svg", { viewBox: `0 0 340 ${base + 62}`, "font-size": 12, role: "group", class: "dbn-ladder",
      "aria-label": "The net: units to press, weights to drag" });
    into.append(svg);
    const pairs = [0, 1, 2].flatMap((i) => [0, 1].map((j) => [i, j]));
    const wires = heights.slice(1).map(() => {
      const lines = pairs.map(() => [h("line"), h("line")]);
      const side = h("text", { x: 338, "text-anchor": "end", "font-weight": "bold" });
      const group = h("g", {}, lines.flat(), side);
      svg.append(group);
      return { lines, side, group };
    });
    const crown = svg.appendChild(h("text", { x: 170, y: 16, "text-anchor": "middle" }));
    const units = heights.map((_, k) => ends[k % 2].map((i) => {
      const dot = h("circle", { r: k > roomy ? 12 : 17 }), said = h("text", { "text-anchor": "middle", dy: 4 });
      const small = k > 1, aside = k % 2, name = small ? "" : night.names[k][i];
      const near = aside ? { x: i ? 23 : -23, y: 0, "text-anchor": i ? "start" : "end" } : { y: 32, "text-anchor": "middle" };
      const node = h("g", {}, dot, said, name ? h("text", near, name) : null);
      if (pressed.includes(k)) set(node, {
        role: "button", tabindex: 0, class: "dbn-unit", onclick: () => press(k, i),
        onkeydown: (event) => {
          if (![" ", "Enter"].includes(event.key)) return;
          event.preventDefault();
          press(k, i);
        },
      });
      else set(node, { "pointer-events": "none" });
      svg.append(node);
      return { node, dot, said, name: name || `${night.title(k)}, unit ${i + 1}` };
    }));
    const titles = heights.map((_, k) => svg.appendChild(h("text", { x: 2, "font-weight": "bold" }, night.title(k))));

    const handle = (label, read, write, at, there) => {
      const said = h("text", { "text-anchor": "middle", dy: 4, "font-size": 11.5 });
      const node = svg.appendChild(h("g", {}, h("rect", { x: -18, y: -11, width: 36, height: 22, rx: 9 }), said));
      const tell = slide(node, { label, range, step, travel: 220, read, write: (x) => { write(x); changed(); } });
      return () => {
        const visible = there();
        set(node, { display: visible ? null : "none", transform: `translate(${at()})` });
        if (!visible) return;
        said.textContent = signed(read(), 1);
        tell();
      };
    };
    const handles = [...weights.flatMap(({ m, of, name = "Weight" }) => pairs.map(([i, j]) => handle(
      `${name} of ${night.names[1][j]}, ${night.names[0][i]}`, () => of().W[i][j], (x) => { of().W[i][j] = x; },
      () => place(triple(m), i).map((x, axis) => x + 0.28 * (place(pair(m), j)[axis] - x)), () => of() !== null)),
    ), ...biases.flatMap(({ k, of }) => ends[k % 2].map((i) => handle(`Bias of ${night.names[k][i]}`, () => of()[i],
      (x) => { of()[i] = x; }, () => place(k, i).map((x, axis) => x + (k ? [i ? 45 : -45, 19] : [0, 48])[axis]), () => true)))];

    return ({ depth = layers, fold: folded = 0, unit, wires: between, side = () => "", crown: top = "" }) => {
      fold = folded;
      const faint = (k) => (k < depth ? null : fold ? 0 : 0.1); // what is to come
      wires.forEach(({ lines, side: words, group }, m) => {
        set(group, { opacity: faint(m + 1) });
        const sets = between(m);
        lines.forEach((both, n) => both.forEach((line, r) => {
          const [i, j] = pairs[n], [x1, y1] = place(triple(m), i), [x2, y2] = place(pair(m), j);
          const w = sets[r]?.[i][j] ?? 0, aside = sets[1] ? 8 * r - 4 : 0, width = 0.6 + (6 * Math.min(Math.abs(w), most)) / most;
          set(line, { x1: x1 + aside, x2: x2 + aside, y1, y2, "stroke-width": width, display: sets[r] ? null : "none",
            "stroke-dasharray": r ? "5 3" : null, style: `stroke: var(--dbn-${w < 0 ? "negative" : "positive"})` });
        }));
        set(words, { y: (place(m, 0)[1] + place(m + 1, 0)[1]) / 2 + 4 });
        words.textContent = side(m);
      });
      units.forEach((list, k) => list.forEach(({ node, dot, said, name }, i) => {
        const { on = 0, text = "", seen = false } = unit(k, i) ?? {}, share = Math.round((k > roomy ? 100 : 55) * on);
        const kind = k % 2 ? "hidden" : "visible", told = seen ? `observed ${on ? "on" : "off"}` : `on with probability ${text}`;
        said.textContent = k > roomy ? "" : text;
        const fill = `color-mix(in srgb, var(--dbn-${kind}) ${share}%, var(--dbn-paper))`;
        set(dot, { class: seen ? "dbn-seen" : "", style: `fill: ${fill}` });
        set(node, { opacity: faint(k), transform: `translate(${place(k, i)})` });
        if (pressed.includes(k)) set(node, { "aria-label": `${name}: ${told}`, "aria-pressed": `${seen}` });
      }));
      titles.forEach((node, k) => set(node, { y: place(k, 0)[1] + 4, opacity: fold && k > 1 ? 0 : faint(k) }));
      set(crown, { y: Math.max(14, place(depth - 1, 0)[1] - 24) });
      crown.textContent = top;
      handles.forEach((show) => show());
    };
  }

  /** A number that the figure turns on, large, behind what it says. Returns draw(text). */
  function reading(words, into) {
    const value = h("output", { class: "dbn-large" });
    into.append(h("div", { class: "dbn-reading" }, value, h("span", {}, words)));
    return (text) => { value.textContent = text; };
  }

  /** The two halves of a figure: the picture, and what is measured in it. */
  function halves(fig) {
    const [picture, right] = ["picture", "wide"].map((name) => h("div", { class: `dbn-card dbn-${name}` }));
    fig.row(picture, right);
    return { picture, right };
  }

  /** Columns of the belief in the causes, P the exact one. Returns draw(p, q). */
  function belief(fig, label, other, into, height = 150) {
    const kinds = { "exact posterior P": "hidden", [other]: "energy" };
    const draw = DBN.chart(fig, label, { kinds, names: night.cases, y: "probability", height, into });
    return (p, q) => draw([p, q], { range: [0, 1] });
  }

  /** Curves of the mean log p(v) and its bound. Returns draw(past, steps, p0, marks), p0 the distribution of the data. */
  function climb(fig, label, into) {
    const kinds = { "log p(v)": "visible", "its bound": "label" };
    const draw = DBN.chart(fig, label, { kinds, x: "updates", y: "nats", shade: "label", into });
    return (past, steps, p0, marks = []) => {
      const best = DBN.exact.total(p0, (x) => (x ? x * Math.log(x) : 0)), says = (words, x) => [x, `${words}: ${signed(x, 2)}`];
      draw(past, { steps, marks, range: [-2.2, -0.6], references: [says("uniform", -Math.log(8)), says("best possible", best)] });
    };
  }

  return { night, ladder, reading, halves, belief, climb };
})());
