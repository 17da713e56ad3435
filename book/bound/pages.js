/* Run in each built page by bind.py: what a press of a key unfolds, plays or copies becomes still. */
async ({ wanted, epub }) => {
  if (window.MathJax) await MathJax.startup.promise;
  const article = document.querySelector("article.bd-article");
  const all = (selector) => [...article.querySelectorAll(selector)];
  const make = (tag, content, rest = {}) => {
    const node = Object.assign(document.createElement(tag), rest);
    node.append(...[content].flat());
    return node;
  };
  all(".headerlink, .run-here, button, script, style, .toctree-wrapper.hidden").forEach((node) => node.remove());

  // Folded answers go to the end of the chapter, with a link there and one back.
  const answers = all("details.answer").map((folded, i) => {
    const there = make("p", make("a", `Answer ${i + 1} is at the end of the chapter`, { href: `#answer-${i + 1}` }));
    there.id = `question-${i + 1}`;
    folded.replaceWith(there);
    folded.querySelector("summary").remove();
    const back = make("a", `Answer ${i + 1}`, { href: `#question-${i + 1}` });
    return make("section", [make("h3", back), ...folded.childNodes], { id: `answer-${i + 1}` });
  });
  if (answers.length) article.querySelector("section").append(make("section", [make("h2", "Answers"), ...answers], { id: "answers" }));
  // So do proofs and the code of figures: on paper the line stays that says what was checked.
  const proofs = all("details.proof, .tag_hide-input > details").map((folded, i) => {
    const lines = all("details.proof").includes(folded)
      ? [...folded.querySelector("summary").children].map((line) => `${line.classList.contains("checked") ? "\u2713 " : ""}${line.textContent}`)
      : ["The code of this figure"];
    const link = make("a", `code ${i + 1}`, { href: `#code-${i + 1}` });
    const there = make("p", [`${lines.join("; ")} (`, link, ")"], { id: `checked-${i + 1}`, className: "checked" });
    folded.replaceWith(there);
    folded.querySelector("summary").remove();
    const back = make("a", `Code ${i + 1}`, { href: `#checked-${i + 1}` });
    return make("section", [make("h3", back), ...folded.childNodes], { id: `code-${i + 1}` });
  });
  if (proofs.length) article.querySelector("section").append(make("section", [make("h2", "Checks and code"), ...proofs], { id: "checks" }));
  for (const folded of all("details").reverse()) {
    folded.querySelector("summary")?.remove();
    folded.replaceWith(make("div", [...folded.childNodes]));
  }
  for (const shut of all(".dropdown, .toggle, .toggle-hidden")) shut.classList.remove("dropdown", "toggle", "toggle-hidden");
  for (const image of all("img")) { image.loading = "eager"; await image.decode().catch(() => 0); }

  const ids = all("[id]").map((node) => node.id);
  const links = all("a[href]").map((node) => node.href);
  // Chromium keeps the place of an id only if something on the page points at it.
  if (!epub) article.append(...wanted.map((id) => make("a", ".", { href: `#${id}`, className: "place" })));
  if (!epub) return { ids, links, title: article.querySelector("h1").textContent };

  for (const item of window.MathJax?.startup.document.math ?? []) {
    const holder = document.createElement("span");
    holder.innerHTML = MathJax.startup.toMML(item.root);
    item.typesetRoot.replaceWith(holder.querySelector("math"));
  }
  const images = {};
  for (const image of all("img")) {
    const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    const name = `${location.pathname.split("/").pop().replace(".html", "")}-${Object.keys(images).length + 1}.png`;
    images[name] = canvas.toDataURL("image/png").split(",")[1];
    image.replaceWith(Object.assign(document.createElement("img"), { src: `images/${name}`, alt: image.alt }));
  }
  for (const node of all("*")) {
    for (const { name } of [...node.attributes]) {
      if (!/^(id|href|src|alt|class|colspan|rowspan|start|display|mathvariant|stretchy|columnalign|xmlns)$/.test(name)) node.removeAttribute(name);
    }
    if (node.closest("math")) node.removeAttribute("class"), node.removeAttribute("id");
  }
  const clean = new XMLSerializer().serializeToString(article);
  return { ids, links, title: article.querySelector("h1").textContent, body: clean, images, math: all("math").length };
}
