// The kit of the live figures: how one is mounted, its controls, and what it draws with. A figure is written as
// DBN.figure("name", { title, nets, render(fig) }), where `fig` is a Figure and `nets` names the weights it needs.
/* global DBN */
Object.assign(DBN, (() => {
  "use strict";
  const specs = {};
  const SVG = "http://www.w3.org/2000/svg";
  const DRAWN = new Set("svg g rect line circle path polyline polygon text tspan defs marker title".split(" "));
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /** Set attributes of an element; "onclick" and the like listen, true, false and null stand for present and absent. */
  function set(node, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === false || value === null || value === undefined) node.removeAttribute(name);
      else node.setAttribute(name, value === true ? "" : value);
    }
    return node;
  }

  /** An element, HTML or SVG, with attributes and children. */
  function h(tag, attributes = {}, ...children) {
    const node = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
    node.append(...children.flat().filter((child) => child !== null));
    return set(node, attributes);
  }

  let ids = 0;
  /** Add an input to an element, behind its label. */
  function labelled(into, label, input, ...more) {
    input.id = `dbn-${++ids}`;
    into.append(h("span", { class: "dbn-control" }, h("label", { for: input.id }, label), input, ...more));
    return input;
  }

  /** What a figure's render is given: the place, the weights, the controls and the drawing. */
  class Figure {
    constructor(host, name, spec, source, nets) {
      const { options, live } = source; // live: in a notebook, on Python objects
      Object.assign(this, { options, live, source, nets, drawings: [], players: [], asking: {}, trouble: "" });
      this.stage = h("div", { class: "dbn-stage" });
      this.controls = h("div", { class: "dbn-controls" });
      this.status = h("p", { class: "dbn-status", role: "status" });
      const caption = host.querySelector("figcaption");
      this.root = h("figure", { class: "dbn-figure", "aria-label": spec.title, "data-figure": name },
        this.stage, this.controls, this.status, caption?.cloneNode(true) ?? null);
      const repaint = () => { this.palette = null; this.redraw(); };
      this.watchers = [new ResizeObserver(() => this.redraw()), new MutationObserver(repaint)];
      this.watchers[0].observe(this.root);
      for (const at of [document.documentElement, document.body])
        this.watchers[1].observe(at, { attributeFilter: ["data-theme", "data-jp-theme-light", "data-jp-theme-name"] });
      this.root.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input[type=number]")) return;
        for (const keys of this.players) keys[event.key]?.();
      });
    }

    /** Stop everything: the figure leaves the page. */
    close() {
      this.closed = true;
      this.watchers.forEach((watcher) => watcher.disconnect());
    }

    /** Another net, on demand, with progress in the status line; a failure is said there and gives nothing. */
    async need(name) {
      this.trouble = "";
      const tell = (part) => this.say(`Loading weights: ${Math.floor(100 * part)} %.`);
      const ask = () => this.source.load(name, tell).finally(() => delete this.asking[name]);
      try {
        return (this.nets[name] ??= await (this.asking[name] ??= ask())); // asked twice in a hurry, it comes once
      } catch (error) {
        this.trouble = ` The weights could not be loaded: ${error.message}. Choose again to retry.`;
        return void this.redraw();
      }
    }

    // Controls. Each is added to the row of controls, unless `into` names another element, and is a real form element.
    row(...nodes) {
      return this.stage.appendChild(h("div", { class: "dbn-row" }, ...nodes));
    }

    button(text, action, into = this.controls) {
      return into.appendChild(h("button", { type: "button", onclick: action }, text));
    }

    /** A slider; `format` writes its value. Returns the input. */
    slider(label, { min, max, step = 1, value, format = String, into = this.controls }, changed = () => {}) {
      const input = h("input", { type: "range", min, max, step, value }), shown = h("output");
      const show = () => {
        shown.textContent = format(Number(input.value));
        input.setAttribute("aria-valuetext", shown.textContent);
      };
      input.addEventListener("input", () => { show(); changed(Number(input.value)); });
      show();
      return labelled(into, label, input, shown);
    }

    /** One of several: options are [value, text] pairs, or values. Returns the select. */
    choice(label, options, value, changed = () => {}, into = this.controls) {
      const pairs = options.map((option) => (Array.isArray(option) ? option : [option, String(option)]));
      const input = h("select", {}, pairs.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
      input.addEventListener("change", () => changed(pairs[input.selectedIndex][0]));
      return labelled(into, label, input);
    }

    /** One of several nets, at first `at`, fetched when first chosen; where it cannot be had, the one before stays. */
    chooseNet(label, options, changed, at = options[0][0]) {
      const input = this.choice(label, options, at, async (name) => {
        if (!(await this.need(name))) input.value = at;
        changed((at = input.value)); // another may have been chosen while this one was on its way
      });
    }

    /** Yes or no. Returns the checkbox. */
    toggle(label, value, changed = () => {}, into = this.controls) {
      const input = h("input", { type: "checkbox", checked: value, onchange: () => changed(input.checked) });
      return labelled(into, label, input);
    }

    /** A whole number from min to max, typed or stepped. Returns the input, whose max may be moved. */
    number(label, { min = 0, max, value = 0 }, changed) {
      const input = h("input", { type: "number", min, max, value, step: 1, inputmode: "numeric" });
      input.addEventListener("change", () => {
        input.value = Math.min(input.max, Math.max(min, Math.round(Number(input.value) || 0)));
        changed(Number(input.value));
      });
      return labelled(this.controls, label, input);
    }

    /** The seed of the figure's random numbers. Returns the input. */
    seed(changed) {
      return this.number("Seed", { max: 9999, value: this.options.seed ?? 0 }, changed);
    }

    /** Play, pause, step and reset for what passes in time. step() may return false to say that it has come to an end;
     * rate() is steps a second. Under reduced motion at most one step a second is shown. Keys p, s and r do the same. */
    player({ step, reset, rate = () => 2 }) {
      let due = 0, last = 0, stamps = [];
      const player = { playing: false, rate: 0 };
      const tick = (now) => {
        if (!player.playing || this.closed) return;
        const most = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : Infinity;
        due = Math.min(due + ((now - last) / 1000) * Math.min(rate(), most), 8);
        last = now;
        const until = performance.now() + 25; // leave the page time to answer
        while (due >= 1 && player.playing && performance.now() < until) {
          due -= 1;
          stamps.push(now);
          if (step() === false) player.pause();
        }
        stamps = stamps.filter((stamp) => stamp > now - 2000);
        player.rate = stamps.length / Math.max(0.25, (now - stamps[0]) / 1000 || 1);
        requestAnimationFrame(tick);
      };
      const buttons = h("span", { class: "dbn-control", role: "group", "aria-label": "Time" });
      const turn = (playing) => {
        player.playing = playing;
        this.status.setAttribute("aria-live", playing ? "off" : "polite"); // a chain is not read out step by step
        play.textContent = playing ? "Pause" : "Play";
      };
      player.play = () => {
        turn(true);
        [due, last, stamps] = [1, performance.now(), []];
        requestAnimationFrame(tick);
      };
      player.pause = () => { turn(false); this.redraw(); };
      player.step = () => { player.pause(); step(); };
      player.reset = () => { player.pause(); reset(); };
      const play = this.button("Play", () => (player.playing ? player.pause() : player.play()), buttons);
      this.button("Step", player.step, buttons);
      this.button("Reset", player.reset, buttons);
      this.controls.append(buttons);
      this.players.push({ p: () => play.click(), s: player.step, r: player.reset });
      return player;
    }

    /** The text alternative of the moment, in words, below the figure; what could not be loaded stays said. */
    say(text) {
      if (this.status.textContent !== text + this.trouble) this.status.textContent = text + this.trouble;
    }

    // Drawing. Whatever depends on the state is drawn by functions handed to onDraw; redraw() runs them in the next frame.
    onDraw(draw) {
      this.drawings.push(draw);
      this.redraw();
    }

    redraw() {
      if (this.pending || this.closed) return;
      this.pending = true;
      requestAnimationFrame(() => {
        this.pending = false;
        if (this.root.isConnected && !this.closed) this.drawings.forEach((draw) => draw());
      });
    }

    /** The colours of the theme in force, as [red, green, blue]: ink, paper, positive, negative, accent. */
    colours() {
      if (this.palette) return this.palette;
      const styles = getComputedStyle(this.root);
      const read = (name) => styles.getPropertyValue(`--dbn-${name}`).trim().match(/[0-9a-f]{2}/gi).map((x) => parseInt(x, 16));
      const names = ["ink", "paper", "positive", "negative", "accent", "edge"];
      return (this.palette = Object.fromEntries(names.map((name) => [name, read(name)])));
    }

    /** Small pictures in a grid on one canvas. label names it; shape is [height, width] of each; `pick(index)` makes it
     * a control for pointer and arrow keys. Returns {canvas, draw(images, {columns, signed, limit, selected, text})}. */
    pictures(label, { shape: [height, width], size = 1, gap = 2, pick = null, into = this.stage }) {
      const canvas = h("canvas", { role: pick ? "slider" : "img", "aria-label": label, tabindex: pick ? 0 : null });
      let columns = 1, count = 0, chosen = 0;
      const draw = (images, { columns: across = images.length, signed = false, limit = null, selected = -1, text = "" } = {}) => {
        [columns, count, chosen] = [across, images.length, selected];
        const w = across * (width + gap) + gap, rows = Math.ceil(images.length / across);
        Object.assign(canvas, { width: w, height: rows * (height + gap) + gap });
        canvas.style.width = `${w * size}px`;
        const picture = new ImageData(w, canvas.height), tones = this.colours();
        const corner = (k) => [gap + (k % across) * (width + gap), gap + Math.floor(k / across) * (height + gap)];
        images.forEach((image, k) => {
          if (image) tint(picture, image, ...corner(k), width, height, tones, signed ? limit ?? largest(image) : 0);
        });
        const context = canvas.getContext("2d"), [left, top] = corner(selected), thick = gap || 1;
        context.putImageData(picture, 0, 0);
        Object.assign(context, { lineWidth: thick, strokeStyle: `rgb(${tones.accent})` });
        if (selected >= 0) context.strokeRect(left - thick / 2, top - thick / 2, width + thick, height + thick);
        const range = { "aria-valuemin": 0, "aria-valuemax": count - 1, "aria-valuenow": Math.max(selected, 0) };
        set(canvas, pick ? { ...range, "aria-valuetext": text || `number ${selected}` }
          : { "aria-label": text ? `${label}: ${text}` : label });
      };
      const choose = (index) => index >= 0 && index < count && pick(index);
      if (pick) set(canvas, {
        onclick: ({ clientX, clientY }) => {
          const box = canvas.getBoundingClientRect(), rows = Math.ceil(count / columns);
          const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
          choose(Math.floor(y * rows) * columns + Math.floor(x * columns));
        },
        onkeydown: (event) => {
          if (!ARROWS[event.key]) return;
          const [right, down] = ARROWS[event.key];
          event.preventDefault();
          choose(chosen + right + down * columns);
        },
      });
      into.append(canvas);
      return { canvas, draw };
    }

    /** The activities of n units as one rectangle of squares, `wide` pixels across. Returns draw(activities, options). */
    units(label, n, { wide, into, shape = null }) {
      const across = Math.ceil(Math.sqrt(n * 1.25)), [rows, columns] = shape ?? [Math.ceil(n / across), across];
      const made = this.pictures(label, { shape: [rows, columns], gap: 0, size: wide / columns, into });
      return (activities, options) => {
        const whole = new Float32Array(rows * columns);
        whole.set(activities);
        made.draw([whole], options);
      };
    }

    /** A part of the figure under a title. */
    card(title, into = this.stage, ...nodes) {
      return into.appendChild(h("div", { class: "dbn-card" }, h("span", {}, title), ...nodes));
    }

    /** Horizontal bars with names and numbers. Returns {node, draw(values, {most, format, selected})}. */
    bars(label, names, { kind = "label", into = this.stage } = {}) { // kind: visible, hidden, label, weight, energy
      const rows = names.map((name) => ({ name: h("span", {}, name), bar: h("i"), value: h("output") }));
      const node = h("div", { class: `dbn-bars dbn-of-${kind}`, role: "group", "aria-label": label },
        rows.map((row) => h("div", {}, row.name, h("span", { class: "dbn-bar" }, row.bar), row.value)));
      const draw = (values, { most = 1, format = (x) => x.toFixed(3), selected = -1 } = {}) => rows.forEach((row, i) => {
        row.bar.style.width = `${Math.max(0, Math.min(1, values[i] / most)) * 100}%`;
        row.value.textContent = format(values[i]);
        row.value.parentElement.classList.toggle("dbn-selected", i === selected);
      });
      into.append(node);
      return { node, draw };
    }
  }

  /** A number to three places, with a minus sign that is one. */
  const signed = (x, places = 3) => x.toFixed(places).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
  const counted = (n, word, plural = "s") => `${n} ${word}${n === 1 ? "" : plural}`;
  const largest = (image) => image.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9);

  /** One picture: ink on paper, or with a limit signed, from negative over paper to positive. */
  function tint(picture, image, left, top, width, height, { ink, paper, positive, negative }, limit) {
    for (let i = 0, k = 4 * (top * picture.width + left); i < width * height; i++, k += 4) {
      if (i && i % width === 0) k += 4 * (picture.width - width);
      const x = limit ? image[i] / limit : image[i], share = Math.min(1, Math.abs(x));
      const tone = limit ? (x < 0 ? negative : positive) : ink;
      for (let c = 0; c < 3; c++) picture.data[k + c] = paper[c] + share * (tone[c] - paper[c]);
      picture.data[k + 3] = 255;
    }
  }

  /** Put the figure that a host element names into it, once its weights are there. */
  async function mount(host, source) {
    const name = host.dataset.dbnWidget, spec = specs[name];
    if (!spec) throw new Error(`there is no figure called ${name}`);
    const nets = {};
    if (spec.nets) await gate(host, spec.nets, source, nets);
    const fig = new Figure(host, name, spec, source, nets);
    host.replaceChildren(fig.root);
    const { update } = spec.render(fig) ?? {};
    fig.redraw();
    host.dataset.mounted = "";
    source.changed?.((key, net) => {
      nets[key] = net;
      update?.();
      fig.redraw();
    });
    return fig;
  }

  /** Load weights: in a notebook at once, in a page when the reader asks, and again when it failed. */
  async function gate(host, wanted, source, nets) {
    const bring = async (tell) => {
      for (const name of wanted) nets[name] = await source.load(name, tell);
    };
    if (source.live) return bring(() => {});
    const size = wanted.reduce((sum, name) => sum + (DBN.shipped[name]?.bytes ?? 0), 0) / 1e6;
    const said = h("span", { role: "status" }), bar = h("progress", { max: 1, value: 0, "aria-label": "Loading", hidden: true });
    const button = h("button", { type: "button" }, `Start: load the network (${size.toFixed(1)} MB)`);
    host.append(h("p", { class: "dbn-gate" }, button, " ", bar, " ", said));
    return new Promise((resolve) => {
      const busy = (on) => { button.disabled = on; bar.hidden = !on; };
      const attempt = () => {
        busy(true);
        bring((part) => (bar.value = part)).then(resolve, (error) => {
          busy(false);
          said.textContent = `The network could not be loaded: ${error.message}.`;
          button.textContent = "Try again";
        });
      };
      button.addEventListener("click", attempt);
      document.addEventListener("dbn-net", () => wanted.every((name) => DBN.arrived[name]) && attempt());
    }).then(() => document.dispatchEvent(new Event("dbn-net"))); // its neighbours on the page need not ask again
  }

  /** Every figure of the page. */
  function mountAll() {
    for (const host of document.querySelectorAll("[data-dbn-widget]"))
      mount(host, { options: JSON.parse(host.dataset.options ?? "{}"), load: DBN.load, live: false });
  }

  /** The other host: an anywidget, whose kernel answers "weights?" with the bytes of a net, and sends them again at will. */
  async function render({ model, el }) {
    const host = h("div", { "data-dbn-widget": model.get("figure") }, h("figcaption", {}, model.get("caption")));
    const asked = {}, listeners = [];
    const arrived = (message, buffers) => {
      if (message.type !== "weights") return;
      const [raw] = buffers, bytes = new Uint8Array(raw.buffer ?? raw, raw.byteOffset ?? 0, raw.byteLength).slice();
      const net = DBN.decode(bytes.buffer);
      if (asked[message.name]) asked[message.name](net);
      else listeners.forEach((listener) => listener(message.name, net));
      delete asked[message.name];
    };
    model.on("msg:custom", arrived);
    el.append(host);
    const load = (name) => new Promise((resolve) => {
      asked[name] = resolve;
      model.send({ type: "weights?", name });
    });
    const fig = await mount(host, { options: model.get("options"), load, live: true, changed: (f) => listeners.push(f) });
    return () => {
      model.off("msg:custom", arrived);
      fig.close();
    };
  }

  if (DBN.home) {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
    else queueMicrotask(mountAll); // once the figures below are known
  }
  return { h, set, signed, counted, ARROWS, render, figure: (name, spec) => { specs[name] = spec; } };
})());
