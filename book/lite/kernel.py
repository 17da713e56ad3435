"""What runs the cells of a page in the reader's browser, and tells the page what they show.

Each page has a namespace of its own. There is no Jupyter here: two small modules stand in for anywidget and ipywidgets,
so that the live figures and the panel that learns are the same objects as in a notebook.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import linecache
import logging
import sys
import time
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import js
import traitlets
from pyodide.code import eval_code_async
from pyodide.ffi import to_js

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that it looks at fonts is news to nobody
Tell = Callable[..., None]
namespaces: dict[str, dict[str, Any]] = {}
parts: dict[str, Any] = {}  # of what pages show, by key: live figures, controls
keys = map(str, itertools.count())
now: list[Any] = [lambda message: None, 0]  # whom to tell of the cell that runs, and its number


def told(tell: Tell, **message: Any) -> None:
    tell(to_js(message, dict_converter=js.Object.fromEntries))


class Stream(io.TextIOBase):
    """Passes on what is printed, line by line, while the cell still runs."""

    def __init__(self, tell: Tell, cell: int) -> None:
        self.tell, self.cell, self.held = tell, cell, ""

    def write(self, text: str) -> int:
        self.held += text
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self.held:
            told(self.tell, cell=self.cell, stream=self.held)
            self.held = ""


async def run(tell: Tell, cell: int, page: str, source: str) -> None:
    """Run a cell as Jupyter would: its last expression is shown, and `await` may stand anywhere."""
    space = namespaces.setdefault(page, {"__name__": "__main__", "display": show})
    name = f"<cell {cell + 1}>"
    source = "\n".join("" if line.startswith("%") else line for line in source.split("\n"))
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    now[:] = tell, cell
    started, out, failed = time.perf_counter(), Stream(tell, cell), ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            show(await eval_code_async(source, space, filename=name))
        except BaseException as error:
            inner = error.__traceback__
            while inner and inner.tb_frame.f_code.co_filename != name:
                inner = inner.tb_next  # the page's reader did not call what lies above
            failed = "".join(traceback.format_exception(type(error), error, inner))
        show_open_figures()
    out.flush()
    told(tell, cell=cell, done=time.perf_counter() - started, error=failed)


def show(*values: Any) -> None:
    """Show values as a notebook does; None is nothing to see."""
    sys.stdout.flush()
    for value in values:
        if value is not None:
            told(now[0], cell=now[1], **seen(value))


def seen(value: Any) -> dict[str, Any]:
    if hasattr(value, "described"):
        return {"part": value.described()}
    if hasattr(value, "savefig"):
        content = io.BytesIO()
        value.savefig(content, format="png", bbox_inches="tight")
        return {"image": content.getvalue()}
    for kind in ("markdown", "html"):
        if method := getattr(value, f"_repr_{kind}_", None):
            return {kind: method()}
    return {"text": repr(value)}


def show_open_figures() -> None:
    """A reader may draw with pyplot, which the book does not."""
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        for number in pyplot.get_fignums():
            show(pyplot.figure(number))
            pyplot.close(number)


def receive(tell: Tell, cell: int, key: str, content: Any) -> None:
    """Hand on what a part of a page says: a figure asks for weights, a control was moved."""
    now[:] = tell, cell
    parts[key].receive(content.to_py() if hasattr(content, "to_py") else content)


class Part:
    """What a page can show and hear from, by its key."""

    def enter(self) -> None:
        self.key, self.tell = next(keys), now[0]
        parts[self.key] = self


class AnyWidget(traitlets.HasTraits, Part):  # type: ignore[misc]
    """A live figure: the page draws it, this side sends it nets."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.enter()

    def on_msg(self, act: Callable[[Any, dict[str, Any], list[Any]], None]) -> None:
        self.act = act

    def receive(self, content: dict[str, Any]) -> None:
        self.act(self, content, [])

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        told(self.tell, key=self.key, content=content, buffers=buffers)

    def described(self) -> dict[str, Any]:
        return {"kind": "figure", "key": self.key, **self.trait_values()}


class Control(Part):
    """A control as ipywidgets has it: value, whether it is disabled, and who wants to know."""

    kind = ""

    def __init__(self, value: Any = None, **settings: Any) -> None:
        self.enter()
        self.state: dict[str, Any] = {"value": value, "disabled": False}
        self.settings, self.acts = settings, []

    def observe(self, act: Callable[[Any], None], name: str = "") -> None:
        self.acts.append(act)

    on_click = observe

    def receive(self, value: Any) -> None:
        self.state["value"] = value
        for act in self.acts:
            act(self)

    def change(self, name: str, value: Any) -> None:
        self.state[name] = value
        told(self.tell, key=self.key, content={name: value})

    value = property(lambda self: self.state["value"], lambda self, value: self.change("value", value))
    disabled = property(lambda self: self.state["disabled"], lambda self, value: self.change("disabled", value))

    def described(self) -> dict[str, Any]:
        limits = {name: self.settings[name] for name in ("min", "max", "description") if name in self.settings}
        state = dict(self.state)
        if isinstance(self.value, list):
            state["value"] = [child.described() for child in self.value]
        return {"kind": self.kind, "key": self.key, **limits, **state}


def stand_in(module: str, **names: type) -> None:
    sys.modules[module] = made = ModuleType(module)
    vars(made).update(names)


CONTROLS = ("VBox", "HBox", "HTML", "Button", "IntSlider", "FloatLogSlider", "BoundedIntText")
stand_in("anywidget", AnyWidget=AnyWidget)
stand_in("ipywidgets", **{name: type(name, (Control,), {"kind": name}) for name in CONTROLS})
