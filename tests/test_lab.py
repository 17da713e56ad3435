"""The live figures in a real JupyterLab: the book's notebook of all eleven, run by a kernel, looked at in a browser."""

import importlib.util
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from visiting import BROWSER, LIMIT, settle

from dbn_lite import widgets

BOOK = Path(__file__).parents[1] / "book"
LAB = importlib.util.find_spec("jupyterlab")
LACKS = "no Chromium or Chrome is installed" if BROWSER is None else "" if LAB else "no JupyterLab is installed"
# A machine that is meant to run these tests fails rather than pass them over.
pytestmark = pytest.mark.skipif(bool(LACKS) and not os.environ.get("CI"), reason=LACKS)

OWN = """small = rbm.random_rbm(images.shape[1], 20, seed=0)
chain = widgets.Chain(small, images, labels)
chain"""
PANEL = """from dbn_lite.widgets.live import TrainLive

panel = TrainLive(images, n_hid=20, batch_size=10)
panel"""
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell stays in the page
}


def notebook() -> nbformat.NotebookNode:
    """The book's eleven figures, and below them a chain in a machine of the reader's own and a machine that learns."""
    made = nbformat.read(BOOK / "figures.ipynb", as_version=4)
    made.cells += [nbformat.v4.new_code_cell(cell) for cell in (OWN, PANEL)]
    return made


def place_of(figure: str) -> int:
    """Which cell of the notebook makes a figure."""
    return next(i for i, cell in enumerate(notebook().cells) if f"widgets.{figure}(" in cell.source)


FIGURES = [name for name in widgets.__all__ if name != "Figure"]


def command(folder: Path, port: int, token: str) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder / "root",
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True,  # so that commands are run, not menus hunted
        "LabApp.extension_manager": "readonly",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the notebook in a JupyterLab of its own: loopback, a token, own settings and kernels."""
    assert not LACKS, LACKS
    folder = tmp_path_factory.mktemp("lab")
    (folder / "root").mkdir()
    nbformat.write(notebook(), folder / "root" / "figures.ipynb")
    for name, setting in SETTINGS.items():
        (folder / "settings" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "settings" / f"{name}.jupyterlab-settings").write_text(json.dumps(setting))
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces")}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token, log = secrets.token_hex(16), folder / "log.txt"
    with log.open("w") as said:
        server = subprocess.Popen(
            command(folder, port, token), cwd=folder, env=os.environ | own, stdout=said, stderr=said
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/api/status?token={token}", server, log)
        yield f"http://127.0.0.1:{port}/lab/tree/figures.ipynb?token={token}"
    finally:
        server.terminate()  # its kernels go with it
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert json.load(answer)
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not answer: {log.read_text()}")


RUN = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    let panel;
    while (!panel?.context) {
        panel = await app.commands.execute("docmanager:open", { path: "figures.ipynb", factory: "Notebook" });
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await panel.context.ready;
    await panel.sessionContext.ready;
    while (!panel.sessionContext.session?.kernel) await new Promise((resolve) => setTimeout(resolve, 100));
    await panel.sessionContext.session.kernel.info;
    app.shell.activateById(panel.id);
    await app.commands.execute("notebook:run-all-cells");
    const cells = panel.content.model.sharedModel.cells;
    return cells.filter((cell) => cell.cell_type === "code").map((cell) => cell.execution_count);
}"""


class Opened:
    """The notebook in JupyterLab, all cells run, with what the browser complained about."""

    def __init__(self, browser: Any, address: str) -> None:
        self.complaints: list[str] = []
        self.page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        self.page.set_default_timeout(1000 * LIMIT)
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(f"{m.text} {m.location}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error} {error.stack}"))
        self.page.goto(address)
        self.page.wait_for_function("() => window.jupyterapp?.commands?.hasCommand('notebook:run-all-cells')")
        self.counts = self.page.evaluate(RUN)

    def tell_the_kernel(self, code: str) -> None:
        """Run code behind the reader's back, as a cell further down would."""
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        answer = f"async (code) => (await {kernel}.requestExecute({{ code }}).done).content.status"
        status = self.page.evaluate(answer, code)
        assert status == "ok"

    def output(self, index: int) -> Any:
        """What a cell has put out, in view."""
        found = self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")
        found.scroll_into_view_if_needed()
        return found


@pytest.fixture(scope="module")
def opened(browser: Any, lab: str) -> Opened:
    return Opened(browser, lab)


LOOK = """[root.innerText, ...[...root.querySelectorAll("canvas")].map(c => c.toDataURL()),
    ...[...root.querySelectorAll("svg")].map(s => s.innerHTML)].join()"""


def remember(root: Any) -> None:
    """Keep how a figure looks, for `has_changed`; to be called anew for each comparison."""
    root.evaluate(f"root => {{ root.before = {LOOK}; }}")


def has_changed(root: Any) -> bool:
    """Whether a figure looks otherwise than it did, once all is drawn that it has begun."""
    settle(root.page)
    return root.evaluate(f"root => root.before !== {LOOK}")


def wait_for_a_change(root: Any) -> None:
    """However long that takes for what comes from the kernel."""
    root.page.wait_for_function(f"root => root.before !== {LOOK}", arg=root.element_handle())


def test_all_cells_ran(opened: Opened) -> None:
    assert opened.counts == list(range(1, len(opened.counts) + 1))
    assert len(opened.counts) > len(FIGURES) == 11
    assert opened.page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert opened.page.locator(".jp-Dialog").count() == 0  # nothing asks for an answer first


@pytest.fixture(scope="module")
def roots(opened: Opened) -> dict[str, Any]:
    """Every figure once it is there; how it looked is remembered a second ago."""
    found = {}
    for name in FIGURES:
        root = opened.output(place_of(name)).locator(f"[data-figure={getattr(widgets, name).NAME}]")
        root.get_by_role("status").filter(has_text=re.compile(".{20}")).wait_for()  # the moment in words
        settle(opened.page)
        remember(root)
        found[name] = root
    opened.page.wait_for_timeout(1000)  # nothing is to happen in it
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_mounted_and_answers(opened: Opened, roots: dict[str, Any], name: str) -> None:
    root = roots[name]
    assert getattr(widgets, name).CAPTION[:40] in root.locator("figcaption").inner_text()
    assert not has_changed(root)  # nothing moves unasked
    controls = root.locator(":is(button, select, input[type=range], input[type=checkbox]):visible:enabled").all()
    assert any(answers(root, control) for control in controls), "no control changes what the figure shows"
    assert opened.complaints == []


def answers(root: Any, control: Any) -> bool:
    operate(control)
    return has_changed(root)


def operate(control: Any) -> None:
    """Use a control by keyboard, as whatever it is."""
    kind = control.evaluate("c => c.type")
    if kind == "select-one":
        now = control.evaluate("c => c.selectedIndex")
        control.select_option(index=0 if now else 1)
    else:
        control.press({"range": "ArrowRight", "checkbox": "Space"}.get(kind, "Enter"))


def test_a_figure_shows_an_object_of_the_kernel_and_follows_it(opened: Opened) -> None:
    status = opened.output(len(notebook().cells) - 2).locator("[data-figure=chain]").get_by_role("status")
    status.filter(has_text=re.compile(r"\b([4-9]|1[0-6]) of 20 hidden units on")).wait_for()  # fair coins, nearly
    opened.tell_the_kernel("small.hid_bias[:] = 100; chain.refresh()")
    status.filter(has_text="20 of 20 hidden units on").wait_for()
    opened.tell_the_kernel("small.hid_bias[:] = -100; chain.refresh()")
    status.filter(has_text=": 0 of 20 hidden units on").wait_for()
    assert opened.complaints == []


def test_a_machine_learns_while_the_kernel_answers(opened: Opened) -> None:
    output = opened.output(len(notebook().cells) - 1)
    filters = output.locator("[data-figure=filters]")
    filters.get_by_role("status").filter(has_text=re.compile(".{20}")).wait_for()
    settle(opened.page)
    remember(filters)

    def count() -> int:
        told = output.get_by_text(re.compile(r"[\d,]+ mini-batches")).inner_text()  # waits while the line is rewritten
        return int(re.search(r"([\d,]+) mini-batches", told)[1].replace(",", ""))

    def press(button: str, then: str) -> None:
        output.get_by_role("button", name=button, exact=True, disabled=False).press("Enter")  # once it can be pressed
        output.get_by_text(re.compile(then)).wait_for()

    assert count() == 0
    press("Start", "Learning: [1-9]")
    press("Stop", "Stopped:")
    reached = count()
    assert reached > 0
    wait_for_a_change(filters)  # they have formed
    press("Start", "Learning:")
    press("Stop", "Stopped:")
    assert count() >= reached  # it went on, and did not start over
    press("Reset", "Stopped: 0 mini-batches")
    assert opened.complaints == []
