// Charts with axes: columns by name, or curves over steps, on scales that do not move; and what can be dragged in a drawing.
/* global DBN */
Object.assign(DBN, (() => {
  "use strict";
  const { h, set, signed } = DBN, DASHES = ["none", "7 3", "2 3", "9 3 2 3"];

  /** Make a part of a drawing a slider: drawn up and down by mouse or finger, moved by keys. `travel` is how many pixels
   * lead from min to max. Returns a function that tells its value to those who do not see it. */
  function slide(node, { label, range: [min, max], step, travel, read, write, format = (x) => signed(x, 1) }) {
    let from = null;
    const put = (x) => write(Math.max(min, Math.min(max, Number((Math.round(x / step) * step).toFixed(6)))));
    const moves = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
    set(node, {
      role: "slider", tabindex: 0, class: "dbn-handle", "aria-label": label, "aria-valuemin": min, "aria-valuemax": max,
      onpointerdown: (event) => {
        node.setPointerCapture(event.pointerId);
        node.focus();
        event.preventDefault();
        from = [event.clientY, read()];
      },
      onpointermove: (event) => { if (from) put(from[1] + ((from[0] - event.clientY) * (max - min)) / travel); },
      onlostpointercapture: () => { from = null; },
      onkeydown: (event) => {
        const to = { Home: min, End: max }[event.key] ?? read() + step * moves[event.key];
        if (Number.isNaN(to)) return;
        event.preventDefault();
        put(to);
      },
    });
    return () => set(node, { "aria-valuenow": read(), "aria-valuetext": format(read()) });
  }

  /** Round numbers from low to high, about n of them, as they are written. */
  function ticks(low, high, n) {
    const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((x) => x * power > 0.99 * rough), first = Math.ceil(low / step - 1e-9);
    const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => [(first + i) * step, places])
      .map(([value, digits]) => [value, signed(value, digits)]);
  }

  /** A chart of what `kinds` names, {name: kind of quantity}: over `names` as columns, else over steps as curves; x and y
   * say what the axes count. With drag = { read(i), write(i, value), step } the columns are sliders.
   * Returns draw(values, { range, steps, every, marks, references }): a list for each kind; the values that the axis shows
   * at least, the width in steps and what a step counts for, [step, text] to mark, [value, text] to compare with.
   * `shade` fills between the first two. */
  function chart(fig, label, { kinds, y, x = "", names = null, places = 3, drag = null, shade = null, height = 150, into }) {
    const all = Object.keys(kinds), ink = all.map((name) => `var(--dbn-${kinds[name]})`), [left, right, top] = [44, 346, 20];
    const bottom = top + height, plot = h("g"), grips = h("g");
    const svg = h("svg", { viewBox: `0 0 360 ${bottom + 36}`, role: drag ? "group" : "img", "font-size": 13 }, plot, grips);
    const swatch = (k) => h("i", names ? { style: `background: ${ink[k]}` }
      : { class: "dbn-line", style: `border-top: 3px ${["solid", "dashed", "dotted"][k]} ${ink[k]}` });
    const key = all.length > 1 ? h("span", { class: "dbn-key" }, all.map((name, k) => h("span", {}, swatch(k), ` ${name}`))) : "";
    into.append(h("div", { class: "dbn-chart" }, h("strong", {}, label), key, svg));
    const slot = (right - left) / (names?.length ?? 1), wide = (0.86 * slot) / all.length;
    const column = (k, i) => left + slot * (i + 0.07) + wide * k, text = (at, said, more) => h("text", { ...at, ...more }, said);
    const middle = { "text-anchor": "middle" }, end = { "text-anchor": "end" };
    const tell = drag ? names.map((name, i) => {
      const grip = h("rect", { x: column(0, i) - 2, width: wide + 4, height: 11, rx: 4 });
      grips.append(grip);
      const told = slide(grip, { label: `${label}: ${name}`, range: [0, 1], step: drag.step, travel: height,
        read: () => drag.read(i), write: (value) => drag.write(i, value), format: (value) => value.toFixed(2) });
      return (at) => { set(grip, { y: at - 6 }); told(); };
    }) : [];
    return (values, { range = [0, 1], steps = 1, every = 1, marks = [], references = [] } = {}) => {
      const shown = [...range, ...values.flat()], low = Math.min(...shown), high = Math.max(...shown);
      const Y = (value) => bottom - (height * (value - low)) / (high - low);
      const X = (t) => left + ((right - left) * t) / Math.max(steps, 1);
      const rule = (d, more = {}) => h("path", { d, stroke: "currentcolor", "stroke-opacity": 0.25, fill: "none", ...more });
      const scale = ticks(low, high, 4).flatMap(([value, said]) => [rule(`M${left} ${Y(value)}H${right}`,
        { "stroke-opacity": value ? 0.15 : 0.7 }), text({ x: left - 6, y: Y(value) + 4 }, said, end)]);
      const across = names ? names.map((name, i) => text({ x: left + slot * (i + 0.5), y: bottom + 16 }, name, middle))
        : ticks(0, steps * every, 5).map(([t, said]) => text({ x: X(t / every), y: bottom + 16 }, said, middle));
      const points = (list) => list.map((value, t) => `${X(t)},${Y(value)}`).join(" ");
      const between = shade && h("polygon", { points: `${points(values[0])} ${points(values[1]).split(" ").reverse().join(" ")}`,
        style: `fill: var(--dbn-${shade})`, "fill-opacity": 0.3 });
      const drawn = values.flatMap((list, k) => (names ? list.flatMap((value, i) => [h("rect", { x: column(k, i), width: wide - 1,
        y: Y(Math.max(value, 0)), height: Math.max(0, Y(Math.min(value, 0)) - Y(Math.max(value, 0))), style: `fill: ${ink[k]}` }),
      wide > 24 && text({ x: column(k, i) + wide / 2, y: Y(Math.max(value, 0)) - (drag ? 9 : 4) }, value.toFixed(2), middle)])
        : [h("polyline", { points: points(list), fill: "none",
          style: `stroke: ${ink[k]}`, "stroke-width": 2.5, "stroke-dasharray": DASHES[k] }),
        list.length && h("circle", { cx: X(list.length - 1), cy: Y(list.at(-1)), r: 4, style: `fill: ${ink[k]}` })]));
      plot.replaceChildren(text({ x: 2, y: 10 }, y), text({ x: right, y: bottom + 32 }, x, end), ...scale, ...across,
        ...references.map(([value]) => rule(`M${left} ${Y(value)}H${right}`,
          { "stroke-dasharray": "3 3", "stroke-opacity": 0.9 })),
        ...marks.flatMap(([t, said]) => [rule(`M${X(t)} ${top}V${bottom}`, { "stroke-opacity": 0.6 }),
          text({ x: X(t) + 4, y: top + 24 }, said)]), between ?? "", ...drawn.filter(Boolean),
        ...references.map(([value, said]) => text({ x: right, y: Y(value) - 4, class: "dbn-over" }, said, end)));
      tell.forEach((move, i) => move(Y(values[0][i])));
      const told = values.map((list, k) => `${all[k]}: ${(names ? list.map((value, i) => `${names[i]} ${signed(value, places)}`)
        : list.slice(-1).map((value) => signed(value, places))).join(", ")}`);
      set(svg, { "aria-label": `${label}, ${y}. ${told.join(". ")}.` });
    };
  }

  return { slide, chart };
})());
