// What goes into a net: images that came with it, and the reader's own drawing, centred and scaled as MNIST was.
/* global DBN */
/** Controls for what a figure starts from: the net's images, its `own` ways ([value, text] pairs), or coin flips.
 * Returns { value, show(value), image(rng, label) }; the label is for the value "each", one of every class. */
DBN.starts = (fig, { images, labels, meta: { shape } }, own, value, changed) => {
  const n = shape[0] * shape[1], all = Array.from({ length: (images?.length ?? 0) / n }, (_, i) => i), choice = { k: 0 };
  const classes = [...new Set(labels ?? (images ? ["picture"] : []))].map((name) => [name, `a ${name}`]);
  const options = [...classes, ...own, ["noise", "coin flips"]], first = value ?? options[0][0];
  const input = fig.choice("Start from", options, first, (picked) => { choice.show(picked); changed(); });
  const another = fig.button("Another example", () => { choice.k += 1; changed(); });
  choice.show = (picked) => {
    [choice.value, input.value] = [picked, picked];
    another.hidden = ["noise", "drawing"].includes(picked);
  };
  choice.image = (rng, label) => {
    if (choice.value === "noise") return { image: Float32Array.from({ length: n }, () => Number(rng() < 0.5)), label: 0 };
    const wanted = choice.value === "each" ? label : choice.value, fit = all.filter((i) => labels?.[i] === wanted);
    const rows = fit.length ? fit : all, i = rows[choice.k % rows.length];
    return { image: Float32Array.from(images.subarray(i * n, (i + 1) * n), (x) => x / 255), label: labels?.[i] ?? 0 };
  };
  choice.show(first);
  return choice;
};

/** A drawing (size x size, ink in [0, 1]) as MNIST's digits were made: scaled with its proportions kept until the
 * longer side fills 20 pixels of 28, anti-aliased, its centre of mass moved to pixel 14; in proportion for other sides. */
DBN.centred = (ink, size, side = 28) => {
  const span = (a) => [a.findIndex(Boolean), a.findLastIndex(Boolean)].map((i) => Math.floor(i / size));
  const turned = DBN.transpose(ink, size, size), mass = ink.reduce((a, b) => a + b, 0), out = new Float32Array(side * side);
  if (!mass) return out;
  const ends = [span(ink), span(turned)], lengths = ends.map(([first, last]) => last + 1 - first);
  const pixel = Math.max(...lengths) / Math.round((side * 20) / 28);
  const [down, across] = [ink, turned].map((lines, axis) => { // (side, size): how much each pixel is to take of each line
    const centre = lines.reduce((sum, v, i) => sum + v * (Math.floor(i / size) + 0.5), 0) / mass, [first] = ends[axis];
    const last = side - Math.ceil(lengths[axis] / pixel - 1e-6), wanted = Math.round((side + 1) / 2 - (centre - first) / pixel);
    const start = first - Math.max(0, Math.min(last, wanted)) * pixel;
    return Float32Array.from({ length: side * size }, (_, k) => {
      const from = start + Math.floor(k / size) * pixel, at = k % size;
      return Math.max(0, Math.min(at + 1, from + pixel) - Math.max(at, from)) / pixel;
    });
  });
  const columns = DBN.transpose(across, side, size), nothing = (n) => new Float32Array(n);
  for (let y = 0; y < side; y++) {
    const row = DBN.affine(down.subarray(y * size, (y + 1) * size), ink, nothing(size));
    out.set(DBN.affine(row, columns, nothing(side)), y * side);
  }
  return out;
};

/** A canvas to draw on by pointer, finger or keys; calls changed() as the reader draws. Returns { put, read }. */
DBN.pad = (into, changed) => {
  const { h } = DBN, SIZE = 280, pen = h("i", { class: "dbn-pen" });
  const moves = { ...DBN.ARROWS, " ": [0, 0] };
  const text = "Canvas to draw on: arrow keys move the pen, the space bar puts it down and lifts it";
  const size = { width: SIZE, height: SIZE }, named = { role: "application", "aria-label": text, tabindex: 0 };
  const canvas = h("canvas", { class: "dbn-pad", ...size, ...named });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { lineWidth: 24, lineCap: "round", lineJoin: "round" });
  let at = [SIZE / 2, SIZE / 2], down = false, lent = false; // lent: it shows an image that the next stroke replaces

  const wipe = () => { lent = false; context.clearRect(0, 0, SIZE, SIZE); };
  const place = (event) => [event.offsetX, event.offsetY].map((x) => (x * SIZE) / canvas.clientWidth);
  function move(to) {
    context.beginPath();
    context.moveTo(...at);
    at = to.map((x) => Math.max(0, Math.min(SIZE, x)));
    context.lineTo(at[0] + 0.01, at[1]); // a dot is a very short line
    [pen.style.left, pen.style.top] = at.map((x) => `${(100 * x) / SIZE}%`);
    pen.classList.toggle("dbn-down", down);
    if (!down) return;
    if (lent) wipe();
    context.stroke();
    changed();
  }
  DBN.set(canvas, {
    onpointerdown: (event) => {
      canvas.setPointerCapture(event.pointerId);
      [at, down] = [place(event), true];
      move(at);
    },
    onpointermove: (event) => { if (event.buttons) move(place(event)); },
    onlostpointercapture: () => { down = false; },
    onkeydown: (event) => {
      if (!moves[event.key]) return;
      event.preventDefault();
      down = down !== (event.key === " ");
      move(at.map((x, axis) => x + 10 * moves[event.key][axis]));
    },
  });
  into.append(h("div", { class: "dbn-paper" }, canvas, pen));
  return {
    put: (image, side) => { // shown until the reader draws
      wipe();
      image.forEach((x, i) => {
        context.fillStyle = `rgb(0 0 0 / ${x})`;
        context.fillRect((i % side) * (SIZE / side), Math.floor(i / side) * (SIZE / side), SIZE / side, SIZE / side);
      });
      lent = true;
    },
    read: (side) => { // as the net wants it
      const { data } = context.getImageData(0, 0, SIZE, SIZE);
      return DBN.centred(Float32Array.from({ length: SIZE * SIZE }, (_, i) => data[4 * i + 3] / 255), SIZE, side);
    },
  };
};
