// A training that was recorded when the page was built: how a machine's filters formed and its error fell, beside the same
// machine with one setting changed. Where Python runs, the panel of dbn_lite.widgets.live trains it anew.
/* global DBN */
DBN.figure("training", {
  title: "A training, recorded",
  render(fig) {
    const { runs = [], kept = [0], every = 1, shape = [28, 28] } = fig.options, { picture, right } = DBN.halves(fig);
    if (!runs.length) {
      fig.say("No training was recorded for this figure.");
      return;
    }
    /** Filters as they were packed, four bits a weight, 8 for none: (time, unit) by number, each a picture. */
    const filters = runs.map(({ packed, n_shown: n }) => {
      const values = [...atob(packed)].flatMap((c) => [(c.charCodeAt(0) >> 4) - 8, (c.charCodeAt(0) & 15) - 8]);
      const size = shape[0] * shape[1], at = (i) => values.slice(i * size, (i + 1) * size);
      return kept.map((_, t) => Array.from({ length: n }, (_n, j) => at(t * n + j)));
    });
    let other = 1;
    const rows = ["", ""].map((title, k) => {
      const card = fig.card(title, right);
      return { card, draw: fig.pictures(`Filters, ${k ? "changed" : "as set"}`, { shape, size: 2, into: card }).draw };
    });
    const error = DBN.reading("squared error of an image, as set and changed", picture);
    const curve = DBN.chart(fig, "How far one step of the chain takes an image from itself", { kinds: { "as set": "visible",
      changed: "hidden" }, x: "mini-batches", y: "squared error of an image", into: picture });
    const last = kept.length - 1, redraw = () => fig.redraw();
    const format = (i) => DBN.counted(kept[i], "mini-batch", "es");
    const time = fig.slider("After", { min: 0, max: last, value: last, format }, redraw);
    fig.choice("Compare with", runs.slice(1).map(({ name }, k) => [k + 1, name]), 1, (k) => { other = k; redraw(); });
    fig.onDraw(() => {
      const i = Number(time.value), chosen = [runs[0], runs[other]], t = kept[i] / every;
      const now = chosen.map(({ errors }) => errors[Math.round(t)].toFixed(1));
      error(now.join(" · "));
      chosen.forEach(({ name }, k) => { rows[k].card.firstChild.textContent = `Filters, ${name}`; });
      [0, other].forEach((run, k) => rows[k].draw(filters[run][i], { columns: 5, signed: true, text: runs[run].name }));
      const steps = runs[0].errors.length - 1;
      curve(chosen.map(({ errors }) => errors), { steps, every, range: [0, 100], marks: [[t, ""]] });
      fig.say(`After ${kept[i]} mini-batches: squared error ${now[0]} as set, ${now[1]} with ${runs[other].name}.`);
    });
  },
});
