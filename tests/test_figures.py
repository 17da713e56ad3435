"""The live figures in a browser: served under a sub-path, opened from a folder, and driven by Python objects."""

import base64
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import figure_page
import numpy as np
import pytest
from visiting import BROWSER, LIMIT, Visit, served

from dbn_lite import dbn, rbm, store, widgets
from dbn_lite.widgets import bundle
from dbn_lite.widgets.__main__ import build

LACKS = "no Chromium or Chrome is installed"
# A machine that is meant to run these tests fails rather than pass them over.
pytestmark = pytest.mark.skipif(BROWSER is None and not os.environ.get("CI"), reason=LACKS)
FIGURES = sorted(file.stem for file in (bundle.HERE / "figures").glob("*.js"))
RUNS = [{"name": name, "errors": [9, 8], "n_shown": 1, "packed": "8Ag="} for name in ("as set", "a rate of 1")]
GIVEN: dict[str, dict[str, Any]] = {"training": {"runs": RUNS, "kept": [0, 20], "every": 20, "shape": [1, 1]}}
PAPER = 0xF4  # the grey that stands for an activity of 0 on a light page


def small_net(seed: int, tied: bool) -> dbn.DBN:
    """A net on 784 pixels, small above; its values survive the packing to float16."""
    sizes, draw = {"vis": 784, "hid": 60, "pen": 40, "top": 70, "lab": 10}, np.random.default_rng(seed)
    arrays = {}
    for name in ("vishid", "hidpen", "pentop", "labtop", "penhid", "hidvis"):
        arrays[name] = draw.normal(scale=0.15, size=(sizes[name[:3]], sizes[name[3:]]))
    for name in ("hidrec", "penrec", "top", "pengen", "labgen", "hidgen", "visgen"):
        arrays[f"{name}biases"] = draw.normal(size=sizes[name[:3]])
    if tied:
        arrays |= {"hidvis": arrays["vishid"].T, "penhid": arrays["hidpen"].T}
    return dbn.from_arrays({name: a.astype(np.float16).astype(np.float32) for name, a in arrays.items()})


NET, GREEDY, DREAM = small_net(1, tied=False), small_net(2, tied=True), small_net(6, tied=False)
IMAGES = np.random.default_rng(3).integers(0, 256, (20, 784)) * (np.random.default_rng(4).random((20, 784)) < 0.2)
IMAGES, LABELS = (IMAGES / 255).astype(np.float32), np.arange(20) // 2


def lay_out(site: Path) -> Path:
    """A site with the figures on the small nets."""
    nets = {name: site.parent / f"{name}.npz" for name in ("net", "greedy", "dream")}
    for net, path in zip((NET, GREEDY, DREAM), nets.values(), strict=True):
        store.save(net, path)
    build(site / "dbn", nets, (IMAGES, LABELS))
    return site


class Opened(Visit):
    """A page with figures, all of them started."""

    def __init__(self, browser: Any, home: str, folder: Path, figures: Any, theme: str = "light", **more: Any) -> None:
        given = figures if isinstance(figures, dict) else {figures: {}}
        super().__init__(browser, home + figure_page.write(folder, given, theme).name, home, theme, **more)
        figure_page.start(self.page)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.settle()

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_label(label, exact=True).select_option(label=option)
        self.settle()

    def type(self, label: str, number: int) -> None:
        field = self.page.get_by_label(label, exact=True)
        field.fill(str(number))
        field.press("Enter")
        self.settle()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text().replace("−", "-")

    def says(self, text: str, selector: str = ".dbn-figure") -> None:
        """Wait until an element contains a text."""
        self.page.locator(selector).get_by_text(text).first.wait_for()

    def activity(self, label: str) -> np.ndarray:
        """The activities that a picture of black ink on light paper shows, flat."""
        return (1 - pixels(self, label)[:, :, 0] / PAPER).ravel()


def drawn(canvas: Any) -> np.ndarray:
    """Red, green, blue and opacity of a canvas, (height, width, 4)."""
    width, data = canvas.evaluate("""c => {
        const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        return [c.width, btoa(data.reduce((text, x) => text + String.fromCharCode(x), ""))];
    }""")
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(-1, width, 4).astype(int)


def pixels(visit: Visit, label: str) -> np.ndarray:
    """Red, green and blue of the canvas whose label starts so: (height, width, 3)."""
    return drawn(visit.page.locator(f'canvas[aria-label^="{label}"]:visible').first)[:, :, :3]


# What holds for every figure


def open_all(browser: Any, home: str, folder: Path, **more: Any) -> Opened:
    """A page with all of them, each there with its caption and the moment in words, and nothing to complain of."""
    visit = Opened(browser, home, folder, {name: GIVEN.get(name, {}) for name in FIGURES}, **more)
    for name in FIGURES:
        assert visit.count(f"[data-figure={name}]") == 1, name
        assert visit.text(f"[data-figure={name}] figcaption") == f"Caption of {name}."
        assert len(visit.text(f"[data-figure={name}] .dbn-status")) > 20, name
    assert visit.complaints == []
    return visit


def violations(visit: Opened) -> list[tuple[str, list[str]]]:
    """What axe finds against the figures."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visit.page, context=".dbn-figure").response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_are_there_and_accessible(browser: Any, site: str, folder: Path, theme: str) -> None:
    visit = open_all(browser, site, folder, theme=theme)
    assert violations(visit) == []
    if theme == "light":
        every_control_is_reached_by_the_keyboard(visit)
    visit.close()


def every_control_is_reached_by_the_keyboard(visit: Opened) -> None:
    """One Tab after another, each control showing that it has the focus."""
    controls = ".dbn-figure :is(button, input, select, [tabindex='0']):visible:not(:disabled)"
    wanted, reached = visit.count(controls), set()
    focused = """() => {
        const at = document.activeElement, shows = getComputedStyle(at).outlineStyle !== "none";
        return at.closest(".dbn-figure") && [(at.dataset.mark ??= `${Math.random()}`), shows, at.outerHTML];
    }"""
    for _ in range(wanted + 2):
        visit.page.keyboard.press("Tab")
        if at := visit.page.evaluate(focused):
            mark, shows, what = at
            reached.add(mark)
            assert shows, what
    assert len(reached) == wanted > 9


def test_on_a_phone_from_a_folder_figures_fit_and_move_only_when_asked(browser: Any, folder: Path) -> None:
    phone: dict[str, Any] = {"width": 390, "has_touch": True, "reduced_motion": "reduce"}
    visit = open_all(browser, f"{folder.as_uri()}/", folder, **phone)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    before = visit.page.locator("main").screenshot()
    visit.page.wait_for_timeout(500)  # nothing is to happen in it
    assert visit.page.locator("main").screenshot() == before
    for name in FIGURES:
        visit.page.locator(f"[data-figure={name}] :is(button, input, [tabindex='0']):visible").first.tap()
    assert visit.complaints == []
    visit.close()


def test_without_javascript_there_are_a_still_and_a_caption(browser: Any, site: str, folder: Path) -> None:
    page = figure_page.write(folder, {name: GIVEN.get(name, {}) for name in FIGURES})
    visit = Visit(browser, site + page.name, site, java_script_enabled=False)
    assert visit.page.get_by_text("A still picture.").count() == len(FIGURES)
    for name in FIGURES:
        assert visit.page.get_by_text(f"Caption of {name}.").is_visible()
    visit.close()


# The weights


def test_weights_are_asked_for_once_and_for_all_figures(browser: Any, site: str, folder: Path) -> None:
    page = figure_page.write(folder, {"filters": {}, "chain": {"unit": 3}})
    page.write_text(page.read_text().replace("</main>", page.read_text().split("<h1>Figures</h1>")[1]))  # each twice
    visit = Visit(browser, site + page.name, site)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(Path(request.url.split("?")[0]).name))
    assert asked == []  # nothing before the reader asks
    figure_page.start(visit.page)
    assert sorted(asked) == ["greedy.bin", "net.bin"]
    assert visit.count("[data-figure]") == 4
    assert visit.complaints == []
    visit.close()


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_failed_load_is_said_and_can_be_tried_again(browser: Any, site: str, folder: Path, damage: str) -> None:
    whole, broken = folder / "dbn" / "greedy.bin", folder / "dbn" / "greedy.kept"
    shutil.copy(whole, broken)
    visit = Visit(browser, site + figure_page.write(folder, {"chain": {}}).name, site)
    try:
        if damage == "gone":
            whole.unlink()
        else:
            whole.write_bytes(broken.read_bytes()[:-2])
        visit.page.get_by_role("button").click()
        visit.page.get_by_text("could not be loaded").wait_for()
        assert re.search("404" if damage == "gone" else "bytes arrived", visit.page.locator(".dbn-gate").inner_text())
    finally:
        shutil.copy(broken, whole)
    visit.page.get_by_role("button", name="Try again").click()
    visit.page.locator("[data-figure=chain]").wait_for()
    visit.close()


# Each figure shows what the library computes


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+\.\d+", text)]


def test_chain_takes_the_steps_of_the_library(browser: Any, site: str, folder: Path) -> None:
    visit = Opened(browser, site, folder, {"chain": {"unit": 7}})
    machine = rbm.RBM(GREEDY.vishid, GREEDY.visgenbiases, GREEDY.hidrecbiases)
    v0 = IMAGES[6:7]  # the first example of a 3
    assert np.abs(visit.activity("Pixels: v0") - v0[0]).max() < 0.003
    bias, total, x, minus_x, chance, drawn = numbers(visit.text(".dbn-formula"))
    assert bias == pytest.approx(machine.hid_bias[7], abs=6e-4)
    assert total == pytest.approx((v0 @ machine.W)[0, 7], abs=2e-3)
    assert (x, -minus_x) == (pytest.approx(bias + total, abs=2e-3),) * 2
    assert chance == pytest.approx(rbm.mean_h_from_v(machine, v0)[0, 7], abs=1e-3)
    assert numbers(visit.text(".dbn-status"))[0] == pytest.approx(rbm.free_energy(machine, v0)[0], abs=2e-2)

    h0 = visit.activity("Hidden units: h0")[:60].round()
    assert h0[7] == (drawn < chance)
    assert f"{h0.sum():.0f} of 60 hidden units on" in visit.text(".dbn-status")
    visit.press("Step")
    v1 = rbm.mean_v_from_h(machine, h0[None].astype(np.float32))
    assert np.abs(visit.activity("Pixels: v1") - v1[0]).max() < 0.005
    visit.press("Step")
    chances = [rbm.mean_h_from_v(machine, v)[0, 7] for v in (v0, v1)]
    assert numbers(visit.text(".dbn-formula"))[4] == pytest.approx(chances[1], abs=1e-3)
    assert numbers(visit.text(".dbn-status"))[-1] == pytest.approx(chances[0] - chances[1], abs=1e-3)
    expected = (v0 * chances[0] - v1 * chances[1]).reshape(28, 28)  # what CD-1 adds to the weights of unit 7
    red = pixels(visit, "What CD would change")
    strong = np.abs(expected) > 0.1 * np.abs(expected).max()
    assert ((red[:, :, 0] < red[:, :, 2]) == (expected > 0))[strong].all()  # blue where weights would grow
    assert visit.count("button.dbn-plain:visible") == 4
    visit.press("Step")
    assert visit.count("button.dbn-plain:visible") == 4  # CD-1 stops there
    visit.close()


def test_chain_has_the_right_marginals(browser: Any, site: str, folder: Path) -> None:
    """Over many seeds, a hidden unit is on as often as its probability says."""
    visit = Opened(browser, site, folder, "chain")
    machine = rbm.RBM(GREEDY.vishid, GREEDY.visgenbiases, GREEDY.hidrecbiases)
    expected, states = rbm.mean_h_from_v(machine, IMAGES[6:7])[0], []
    for seed in range(40):
        visit.type("Seed", seed)
        states.append(visit.activity("Hidden units: h0")[:60].round())
    error = (np.mean(states, axis=0) - expected) / np.sqrt(np.maximum(expected * (1 - expected), 0.01) / 40)
    assert np.abs(error).max() < 4.5
    assert 0.5 < np.std(error) < 1.5
    visit.close()


def test_chain_plays_to_its_end_and_resets(browser: Any, site: str, folder: Path) -> None:
    visit = Opened(browser, site, folder, "chain")
    visit.choose("Stop after", "3: CD-3")
    visit.press("Play")
    visit.page.get_by_text("Stopped here, CD-3").wait_for()
    assert visit.page.get_by_role("button", name="Play", exact=True).count() == 1
    visit.page.locator(".dbn-figure").press("r")
    visit.says("Step 0:")
    visit.choose("Start from", "a 5")
    assert np.abs(visit.activity("Pixels: v0") - IMAGES[10]).max() < 0.003
    visit.press("Another example")
    assert np.abs(visit.activity("Pixels: v0") - IMAGES[11]).max() < 0.003
    visit.close()


def picture(net: dbn.DBN, layer: int, unit: int) -> np.ndarray:
    """What a unit's picture must be, (784,): the product of the matrices between it and the pixels."""
    if layer == 1:
        return net.vishid[:, unit]
    pen = net.penhid[unit] if layer == 2 else net.top.W[: net.n_pen, unit] @ net.penhid
    return pen @ net.hidvis


def shown(visit: Visit) -> np.ndarray:
    """The enlarged picture, up to its scale: positive where blue, negative where red, (784,)."""
    colours = pixels(visit, "Enlarged").reshape(-1, 3)
    return ((PAPER - colours.min(axis=1)) * np.sign(colours[:, 2] - colours[:, 0])).astype(float)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_filters_are_those_of_the_library(browser: Any, site: str, folder: Path, layer: int) -> None:
    visit = Opened(browser, site, folder, "filters")
    visit.choose("Layer", ["1 (pixels to hidden)", "2 (penultimate)", "3 (top memory)"][layer - 1])
    for unit in (0, 33):
        visit.type("Unit", unit)
        expected = picture(NET, layer, unit)
        assert np.corrcoef(shown(visit), expected)[0, 1] > 0.98
        assert numbers(visit.text("[data-facts]"))[1] == pytest.approx(np.linalg.norm(expected), abs=2e-3)
    visit.choose("Weights", "before it")
    visit.says("likeness")
    assert np.corrcoef(shown(visit), picture(NET, layer, 33))[0, 1] > 0.98  # before and after side by side
    after, before = (picture(net, layer, 33) for net in (NET, GREEDY))
    cosine = after @ before / np.linalg.norm(after) / np.linalg.norm(before)
    assert numbers(visit.text("[data-facts]"))[2] == pytest.approx(cosine, abs=1e-3)
    visit.close()


def test_filters_are_sorted_picked_and_walked_by_arrows(browser: Any, site: str, folder: Path) -> None:
    visit = Opened(browser, site, folder, "filters")
    visit.choose("Sort by", "bias, readiest to turn on first")
    order = np.argsort(-NET.hidrecbiases)
    grid = visit.page.get_by_role("slider", name="Units")
    grid.click(position={"x": 17, "y": 17})
    visit.says(f"Unit {order[0]} of layer 1", "[data-facts]")
    grid.press("ArrowRight")
    visit.says(f"Unit {order[1]} of layer 1", "[data-facts]")
    visit.choose("Sort by", "strength, strongest first")
    grid.click(position={"x": 17, "y": 17})
    strongest = np.argmax(np.linalg.norm(NET.vishid, axis=0))
    visit.says(f"Unit {strongest} of layer 1", "[data-facts]")
    visit.choose("Sort by", "change by fine-tuning, most first")
    visit.says("likeness")
    grid.click(position={"x": 17, "y": 17})
    unit = lambda w: w / np.linalg.norm(w, axis=0)  # noqa: E731
    changed = np.argmin((unit(NET.vishid) * unit(GREEDY.vishid)).sum(axis=0))
    visit.says(f"Unit {changed} of layer 1", "[data-facts]")
    visit.close()


# The other host


NOTEBOOK = """<!doctype html><html lang="en"><title>Notebook</title><body data-jp-theme-light="true">
<style>STYLE</style><main></main><script type="module">
  import module from "./module.js";
  const handlers = [], bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
  window.deliver = (message, base64) => handlers.forEach((f) => f(message, [new DataView(bytes(base64))]));
  window.begin = (traits) => {
    const model = { get: (key) => traits[key], on: (_, f) => handlers.push(f), off: () => {}, send: (m) => ask(m) };
    window.end = module.render({ model, el: document.querySelector("main") });
  };
</script>"""


def deliver(visit: Visit, sent: list[Any]) -> None:
    """Hand over what Python has sent, until the figure is there and shows it."""
    until = time.monotonic() + LIMIT
    while sent or not visit.count("[data-mounted]"):
        assert time.monotonic() < until, "the figure does not come"
        while sent:
            visit.page.evaluate("([message, base64]) => deliver(message, base64)", sent.pop())
        visit.page.wait_for_timeout(10)  # in which the page may ask for more
    visit.settle()


def test_a_notebook_shows_live_objects_and_follows_them(browser: Any, tmp_path: Path) -> None:
    """The module that anywidget loads, with the real Python object at the other end of its messages."""
    net, sent = small_net(5, tied=False), []
    widget = widgets.Filters(net, unit=4)
    widget.send = lambda message, buffers: sent.append([message, base64.b64encode(buffers[0]).decode()])
    (tmp_path / "module.js").write_text(widget._esm)
    (tmp_path / "index.html").write_text(NOTEBOOK.replace("STYLE", widget._css))

    def likeness() -> float:
        """Of the picture that is shown to the weights as they are now, once all messages have arrived."""
        deliver(visit, sent)
        return float(np.corrcoef(shown(visit), net.vishid[:, 4])[0, 1])

    with served(tmp_path) as home:
        visit = Visit(browser, home, home)
        visit.page.expose_function("ask", lambda message: widget._answer(widget, message, []))
        visit.page.evaluate("begin", {name: getattr(widget, name) for name in ("figure", "caption", "options")})
        assert likeness() > 0.98
        net.vishid[:, 4] = IMAGES[0] - 0.3  # as training would
        assert likeness() < 0.5  # not told yet
        widget.refresh()
        assert likeness() > 0.98
        assert visit.complaints == []
        visit.page.evaluate("async () => (await end)()")  # the notebook closes the figure
        visit.close()


def test_a_recorded_training_is_scrubbed_and_compared(browser: Any, site: str, folder: Path) -> None:
    weights = np.random.default_rng(6).integers(-7, 8, (3, 2, 10, 16))  # run, time, unit, pixel
    nibbles = (weights + 8).astype(np.uint8).reshape(3, -1, 2)
    names, errors = ("as set", "a rate of 1", "ten hidden units"), [[90.0, 41.25], [80.5, 62.0], [70.0, 12.5]]
    runs = [
        {
            "name": name,
            "errors": error,
            "n_shown": 10,
            "packed": base64.b64encode(bytes(16 * n[:, 0] + n[:, 1])).decode(),
        }
        for name, error, n in zip(names, errors, nibbles, strict=True)
    ]
    visit = Opened(browser, site, folder, {"training": {"runs": runs, "kept": [0, 20], "every": 20, "shape": [4, 4]}})
    visit.says("After 20 mini-batches: squared error 41.3 as set, 62.0 with a rate of 1.")
    visit.choose("Compare with", "ten hidden units")
    visit.page.get_by_label("After").press("Home")
    visit.says("After 0 mini-batches: squared error 90.0 as set, 70.0 with ten hidden units.")
    for label, run in (("as set", 0), ("changed", 2)):
        colours = pixels(visit, f"Filters, {label}")[2:6, 2:6].reshape(16, 3)  # the first of ten
        sign = np.sign(colours[:, 2] - colours[:, 0]) * (np.ptp(colours, axis=1) > 2)
        assert np.array_equal(sign, np.sign(weights[run, 0, 0]))
    assert visit.complaints == []
    visit.close()


MACHINE = rbm.RBM(NET.vishid, NET.visgenbiases, NET.hidrecbiases)


@pytest.mark.parametrize("widget", [widgets.Filters(NET), widgets.Chain(MACHINE, IMAGES), widgets.Chain(MACHINE)])
def test_the_div_of_a_page_holds_a_still_with_words(widget: widgets.Figure) -> None:
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert f'data-dbn-widget="{widget.NAME}"' in page
    assert re.search(r'<img src="data:image/webp;base64,UklGR[^"]+" alt="[^"]{20,}">', page)
    assert "<figcaption>" in page
    assert len(page) < 80_000  # of noise; trained filters take 13,000
