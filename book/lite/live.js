// "Run this page": the cells of a page become editable and run in it. The script's tag names the page; without it, or
// before the button is pressed, the page is as it was built. kernel.js is the other end, one for all pages of a visit.
/* global location, localStorage, SharedWorker, Worker, DBN */
(() => {
  "use strict";
  const here = document.currentScript, { page } = here.dataset, folder = new URL("./", here.src).href;
  const offer = document.querySelector(".run-here"), button = offer.querySelector("button");
  const said = offer.appendChild(Object.assign(document.createElement("span"), { className: "live-said" }));
  const cells = [...document.querySelectorAll("article .cell")], handlers = {}; // key of a part: what to do when it changes
  said.setAttribute("role", "status");
  if (location.protocol === "file:") offer.hidden = true; // no browser lets a page from a folder start a worker
  button.hidden = here.dataset.offered === undefined; // what it costs is not known yet
  let notebook = null, port = null, running = null, stopped = false, turn = Promise.resolve();

  function h(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  // The kernel. One that was given up is told to close once it can, and the next has another name.

  function connect() {
    const visit = localStorage.getItem("dbn-kernel") ?? "0";
    if (window.SharedWorker) {
      const options = { name: `dbn-lite ${visit}`, extendedLifetime: true }; // through the moment between two pages
      port = new SharedWorker(`${folder}kernel.js`, options).port;
    } else port = new Worker(`${folder}kernel.js`);
    port.onmessage = ({ data }) => heard(data);
  }

  function giveUp() {
    stopped = true;
    if (port.terminate) port.terminate();
    else port.postMessage({ act: "close" });
    localStorage.setItem("dbn-kernel", Number(localStorage.getItem("dbn-kernel") ?? 0) + 1);
    port = null;
    ended({ error: "Stopped." });
  }

  function ended(message) {
    running?.end(message);
    running = null;
  }

  const send = (act, cell, ...given) => port.postMessage({ act, cell, given });

  function heard(message) {
    const { cell, key } = message;
    if (key !== undefined) handlers[key]?.(message.content, message.buffers);
    else if (message.done === undefined && !message.failed) put(cells[cell], message);
    else if (running?.cell === cell) ended(message);
  }

  // What a cell shows

  const fenced = /^```\w*\n([^]*?)\n?```$/;
  const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

  /** The Markdown that cells print: a block of code, a table, or a paragraph. */
  function markdown(text) {
    const code = fenced.exec(text), lines = text.split("\n"), kept = [];
    if (code) return `<pre>${escape(code[1])}</pre>`;
    const keep = (made) => `\u0000${kept.push(made) - 1}\u0000`;
    const inline = (line) => escape(line)
      .replace(/\{cite\}`([^`]*)`/g, (_, key) => keep(`<a href="references.html">[${key}]</a>`))
      .replace(/`([^`]*)`/g, (_, inner) => keep(`<code>${inner}</code>`))
      .replace(/\$([^$]+)\$/g, (_, inner) => keep(`<span class="math notranslate">\\(${inner}\\)</span>`))
      .replace(/\[([^\]]*)\]\(([^)#]*)(#[^)]*)?\)/g, (_, label, file, place = "") =>
        keep(`<a href="${/[:.]/.test(file) || !file ? file : `${file}.html`}${place}">`) + `${label}</a>`)
      .replace(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>").replace(/\*([^*]+)\*/g, "<em>$1</em>");
    const field = (part, tag) => `<${tag}>${inline(part.trim())}</${tag}>`;
    const row = (line, tag) => `<tr>${line.slice(1, -1).split("|").map((part) => field(part, tag)).join("")}</tr>`;
    const table = ([head, , ...body]) => `<table class="table"><thead>${row(head, "th")}</thead><tbody>${
      body.map((line) => row(line, "td")).join("")}</tbody></table>`;
    const made = text.startsWith("|") ? table(lines) : `<p>${inline(text)}</p>`;
    return made.replace(/\u0000(\d+)\u0000/g, (_, i) => kept[i]);
  }

  function outputOf(cell) {
    const found = cell.querySelector(".cell_output");
    if (found) return found;
    const around = cell.matches(".tag_hide-cell") ? cell.querySelector("details") : cell;
    return around.appendChild(h("div", { class: "cell_output docutils container" }));
  }

  /** What was there before gives way to the first thing that is new. */
  function renew(cell) {
    if (!cell.matches(".live-old")) return;
    const old = outputOf(cell);
    cell.live.alts = [...old.querySelectorAll("img")].map((img) => img.alt);
    old.replaceChildren();
    cell.classList.remove("live-old");
  }

  function put(cell, { stream, text, image, markdown: marked, html, part }) {
    renew(cell);
    const output = outputOf(cell), last = output.lastElementChild;
    if (stream !== undefined) {
      if (last?.matches(".live-text")) last.append(stream);
      else output.append(h("pre", { class: "live-text", tabindex: 0 }, stream));
    } else if (text !== undefined) output.append(h("pre", { class: "live-text", tabindex: 0 }, text));
    else if (image) {
      const src = URL.createObjectURL(new Blob([image], { type: "image/png" }));
      output.append(h("img", { src, alt: cell.live.alts.shift() ?? "The figure that this cell has drawn." }));
    } else if (part) output.append(show(part));
    else {
      const made = h("div", { class: "table-wrapper" });
      made.innerHTML = html ?? markdown(marked);
      output.append(made);
      window.MathJax?.typesetPromise?.([made]);
    }
  }

  // Live figures and controls, which talk with their objects in Python by a key

  function figure({ key, figure: name, caption, options }) {
    const el = h("div"), listeners = new Set();
    handlers[key] = (content, buffers) => listeners.forEach((listener) => listener(content, buffers));
    const model = {
      get: (what) => ({ figure: name, caption, options })[what],
      on: (_, listener) => listeners.add(listener),
      off: (_, listener) => listeners.delete(listener),
      send: (content) => send("receive", 0, key, content),
    };
    DBN.render({ model, el });
    return el;
  }

  function show(part) {
    const { kind, key, value, description = "", min, max, disabled } = part;
    if (kind === "figure") return figure(part);
    if (kind === "VBox" || kind === "HBox") return h("div", { class: `live-${kind}` }, ...value.map(show));
    if (kind === "HTML") {
      const made = h("div");
      made.innerHTML = value ?? "";
      handlers[key] = (content) => { made.innerHTML = content.value; };
      return made;
    }
    if (kind === "Button") {
      const made = h("button", { type: "button", disabled, onclick: () => send("receive", 0, key, null) }, description);
      handlers[key] = (content) => { made.disabled = content.disabled; };
      return made;
    }
    const log = kind === "FloatLogSlider", shown = h("output", {}, String(value));
    const read = () => (log ? Number((10 ** input.value).toPrecision(3)) : Number(input.value));
    const input = h("input", {
      type: kind === "BoundedIntText" ? "number" : "range", min, max,
      step: log ? 0.05 : 1, value: log ? Math.log10(value) : value,
      oninput: () => { shown.textContent = read(); }, onchange: () => send("receive", 0, key, read()),
    });
    return h("label", { class: "live-control" }, `${description} `, input, " ", kind === "BoundedIntText" ? "" : shown);
  }

  // Cells

  /** Run one cell; resolves once it is done, to whether it ended well. */
  function run(index) {
    turn = turn.then(() => runNow(index));
    return turn;
  }

  async function runNow(index) {
    if (!port) connect();
    const cell = cells[index], { editor, state } = cell.live;
    cell.dataset.live = "running";
    cell.classList.add("live-old");
    state.textContent = `running ... ${cell.live.note}`;
    const over = new Promise((end) => { running = { cell: index, end }; });
    send("run", index, page, cell.live.edited ? editor.innerText : notebook.cells[index]);
    const { done, error, failed } = await over;
    renew(cell);
    const wrong = error || failed;
    if (wrong) outputOf(cell).append(h("pre", { class: "live-error", role: "alert", tabindex: 0 }, wrong));
    cell.dataset.live = wrong ? "failed" : "done";
    cell.live.seconds = done;
    state.textContent = wrong ? "" : `${done.toFixed(1)} s`;
    return !wrong;
  }

  async function runFrom(first) {
    stopped = false;
    button.textContent = "Stop";
    const clock = performance.now(), n = cells.length;
    let i = first;
    for (; i < n && !stopped; i++) {
      said.textContent = ` ${port ? "" : "Python is on its way. "}Cell ${i + 1} of ${n} is running.`;
      if (!(await run(i))) break;
    }
    const seconds = ((performance.now() - clock) / 1000).toFixed(0);
    said.textContent = i === n ? ` All ${n} cells ran in ${seconds} s. Change any of them and run it again.`
      : ` Cell ${i + 1} did not run to its end. Change it or run the page again.`;
    button.textContent = "Run this page again";
  }

  /** A bar below each cell that has its code on the page, and the code open to changes. */
  function open(cell, index) {
    const pre = cell.querySelector(".cell_input pre"), state = h("span", { class: "live-state", role: "status" });
    const seconds = notebook.seconds[index], note = seconds ? `(about ${seconds} s)` : "";
    cell.live = { alts: [], state, note, editor: pre, edited: false };
    if (!pre) return;
    Object.entries({ contenteditable: "plaintext-only", spellcheck: "false", role: "textbox", "aria-multiline": "true",
      "aria-label": `Code of cell ${index + 1}` }).forEach(([key, value]) => pre.setAttribute(key, value));
    if (pre.contentEditable !== "plaintext-only") pre.contentEditable = "true"; // an older browser
    pre.addEventListener("input", () => { cell.live.edited = true; });
    pre.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.shiftKey || event.ctrlKey)) return;
      event.preventDefault();
      run(index);
    });
    state.textContent = note;
    const start = h("button", { type: "button", onclick: () => run(index), title: "Shift and Enter do the same" }, "Run");
    cell.querySelector(".cell_input").append(h("div", { class: "live-bar" }, start, " ", state));
  }

  function begin(content) {
    notebook = content;
    cells.forEach(open);
  }

  button.addEventListener("click", async () => {
    if (running) return giveUp();
    if (!notebook) {
      said.textContent = " Python is on its way.";
      connect(); // it starts while the rest is read
      document.head.append(h("link", { rel: "stylesheet", href: `${folder}live.css` }));
      const answer = await fetch(`${folder}cells/${page}.json`);
      begin(await answer.json());
    }
    return runFrom(0);
  });
})();
