"""A machine that learns while one watches: what the live figures cannot do in a page without Python."""

from __future__ import annotations

import asyncio
import base64
import html
import io
import json
import sys
import time
from typing import Any, ClassVar

import ipywidgets
import numpy as np
from matplotlib.figure import Figure as Picture

from dbn_lite import backend, plot
from dbn_lite.errors import InputError
from dbn_lite.rbm import RBM, ContrastiveDivergence, mean_h_from_v, mean_v_from_h, random_rbm

from . import Filters

__all__ = ["TrainLive"]

RANGES = {"n_hid": (1, 1000), "learning_rate": (0.001, 1.0), "n_gibbs": (1, 20), "seed": (0, 9999)}
SLICE = 0.05  # seconds of learning between two looks at what the reader wants
REDRAW = 1.0  # seconds between two pictures


class _Training:
    """A machine and where it stands in its training: a mini-batch, and then the next."""

    MOMENTUM, WEIGHT_DECAY = 0.5, 2e-4
    PROBE: ClassVar[int] = 500  # images that the error is measured on

    def __init__(self, images: Any, batch_size: int, seed: int, n_hid: int) -> None:
        self.rbm = random_rbm(images.shape[1], n_hid, seed)
        self.batch_size, self.seed, self.n_batches = batch_size, seed, 0
        self._learner, self._rng = ContrastiveDivergence(self.rbm, batch_size), backend.current().random(seed, "live")

    def step(self, images: Any, learning_rate: float, n_gibbs: int) -> None:
        """One mini-batch: each once a pass, in an order of its own every pass."""
        n = self.batch_size
        passed, b = divmod(self.n_batches, len(images) // n)
        if b == 0:
            self._order = np.random.default_rng([self.seed, passed]).permutation(len(images) // n)
        batch = images[self._order[b] * n : (self._order[b] + 1) * n]
        self._learner.step(batch, self._rng, learning_rate, self.MOMENTUM, self.WEIGHT_DECAY, n_gibbs)
        self.n_batches += 1

    def error(self, images: Any) -> float:
        """The squared error of the reconstruction, by probabilities, summed over pixels: the mean over the probe."""
        v = images[: self.PROBE]
        again = mean_v_from_h(self.rbm, mean_h_from_v(self.rbm, v))
        return float(((again - v) ** 2).sum(axis=1).mean())


class TrainLive(ipywidgets.VBox):
    """An RBM that learns by contrastive divergence while its filters are shown: rate, Gibbs steps and size on sliders.

    A new rate or number of Gibbs steps counts from the next mini-batch on; another number of hidden units or another
    seed starts over. Momentum and weight decay are those that the paper preset's first layer starts with. Raises
    InputError for images outside [0, 1] and for settings outside `RANGES`.
    """

    MEASURE_EVERY: ClassVar[int] = 20  # mini-batches
    KEPT: ClassVar = (0, 20, 40, 60, 100, 140)  # mini-batches after which a recorded training keeps its filters
    CHANGES: ClassVar[dict[str, dict[str, Any]]] = {
        "as set": {},
        "a rate of 1": {"learning_rate": 1.0},
        "twenty Gibbs steps": {"n_gibbs": 20},
        "ten hidden units": {"n_hid": 10},
    }
    CAPTION = (
        "A restricted Boltzmann machine learns by contrastive divergence: its filters as they form, blue pixels call "
        "a unit, red ones forbid it; and how far one step of its chain takes an image from itself."
    )

    def __init__(
        self,
        images: np.ndarray,
        n_hid: int = 100,
        learning_rate: float = 0.1,
        n_gibbs: int = 1,
        seed: int = 0,
        batch_size: int = 100,
        shape: tuple[int, int] = (28, 28),
    ) -> None:
        """`images` (n, height * width) in [0, 1], of the `shape` (height, width); nothing is learnt yet."""
        _check_images(images, batch_size, shape)
        _check_settings(n_hid=n_hid, learning_rate=learning_rate, n_gibbs=n_gibbs, seed=seed)
        self.images, self.batch_size, self.shape = backend.current().asarray(images), batch_size, shape
        self.task: asyncio.Task[None] | None = None
        self.n_hid = _slider(ipywidgets.IntSlider, "Hidden units", n_hid, *RANGES["n_hid"])
        self.rate = _slider(ipywidgets.FloatLogSlider, "Learning rate", learning_rate, -3, 0)
        self.n_gibbs = _slider(ipywidgets.IntSlider, "Gibbs steps, n", n_gibbs, *RANGES["n_gibbs"])
        self.seed = ipywidgets.BoundedIntText(seed, min=0, max=RANGES["seed"][1], description="Seed", style=_WIDE)
        self.buttons = {name: ipywidgets.Button(description=name) for name in ("Start", "Stop", "Reset")}
        for name, act in {"Start": self.start, "Stop": self.stop, "Reset": self.reset}.items():
            self.buttons[name].on_click(lambda _, act=act: self._guarded(act))
        for control in (self.n_hid, self.seed):
            control.observe(lambda _: self._guarded(self.reset), "value")
        self.status, self.curve = ipywidgets.HTML(), ipywidgets.HTML()
        self._begin()
        self.filters = Filters(self.rbm, shape=shape, caption="Every hidden unit as a picture, as it forms.")
        self.show()
        buttons = ipywidgets.HBox(list(self.buttons.values()))
        sliders = ipywidgets.VBox([self.n_hid, self.rate, self.n_gibbs, self.seed, buttons, self.status])
        top = ipywidgets.HBox([sliders, self.curve], layout={"flex_flow": "row wrap", "align_items": "center"})
        super().__init__([top, self.filters])

    # Learning

    @property
    def running(self) -> bool:
        """Whether it is learning by itself."""
        return self.task is not None and not self.task.done()

    def reset(self) -> None:
        """Forget what was learnt and begin again with the size and the seed that are set; it runs on if it ran."""
        self._begin()
        self.filters.models["net"] = self.rbm
        self.show()

    def _begin(self) -> None:
        self._training = _Training(self.images, self.batch_size, self.seed.value, self.n_hid.value)
        self.errors = [self._training.error(self.images)]

    def advance(self, n_batches: int) -> None:
        """Learn from so many mini-batches, at least 1, before it returns, and show what has become of the machine."""
        if n_batches < 1:
            raise InputError(f"the panel cannot advance by {n_batches} mini-batches; take at least 1.")
        for _ in range(n_batches):
            self._step()
        self.show()

    def start(self) -> None:
        """Learn in small slices within the running event loop, as a notebook has it, until `stop`."""
        if self.running:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise InputError("the panel starts only in a notebook, with an event loop; use advance(n).") from None
        self.task = loop.create_task(self._run())
        self.show()

    def stop(self) -> None:
        """Stop after the mini-batch that was last begun; `start` or `advance` goes on from there."""
        if self.running and self.task is not None:
            self.task.cancel()
        self.task = None
        self.show()

    async def _run(self) -> None:
        try:
            shown = time.monotonic()
            while True:
                until = time.monotonic() + SLICE
                while time.monotonic() < until:
                    self._step()
                if time.monotonic() > shown + REDRAW:
                    self.show()
                    shown = time.monotonic()
                await asyncio.sleep(0.005)  # time for messages: a slider, a button, another cell
        except Exception as error:
            self._complain(error)
            raise  # to whoever awaits the task

    def _step(self) -> None:
        self._training.step(self.images, self.rate.value, self.n_gibbs.value)
        if self.n_batches % self.MEASURE_EVERY == 0:
            self.errors.append(self._training.error(self.images))

    @property
    def rbm(self) -> RBM:
        """The machine as it is now."""
        return self._training.rbm

    @property
    def n_batches(self) -> int:
        """How many mini-batches it has learned from."""
        return self._training.n_batches

    # Showing

    def show(self) -> None:
        """Bring filters, curve and status up to date."""
        self.filters.refresh()
        passes = self.n_batches * self.batch_size / len(self.images)
        self.status.value = (
            f"<span role='status'>{'Learning' if self.running else 'Stopped'}: {self.n_batches:,} mini-batches, "
            f"{passes:.1f} passes; squared error {self.errors[-1]:.1f}.</span>"
        )
        self.curve.value = _image(self._curve(), f"Squared error against mini-batches, now {self.errors[-1]:.1f}.")
        self.buttons["Start"].disabled, self.buttons["Stop"].disabled = self.running, not self.running

    def _curve(self) -> Picture:
        x = [self.MEASURE_EVERY * i for i in range(len(self.errors))]
        return plot.curves({"error": self.errors}, "mini-batches", "squared error of an image", x=x)

    def _guarded(self, action: Any) -> None:
        """Act on a button or a slider; what goes wrong is said in the panel, where the reader looks, and raised."""
        try:
            action()
        except Exception as error:
            self._complain(error)
            raise

    def _complain(self, error: Exception) -> None:
        self.buttons["Start"].disabled, self.buttons["Stop"].disabled = False, True
        said = html.escape(f"{type(error).__name__}: {error}")
        self.status.value = f"<span role='alert'><b>Stopped by an error.</b> {said}</span>"

    def recorded(self) -> list[dict[str, Any]]:
        """Four trainings of the panel's machine from its start, as set and with one setting changed, for a static page.

        Each with its name, its error every `MEASURE_EVERY` mini-batches, and the filters of its first ten units after
        each number of `KEPT`, four bits a weight (`packed`, base64): 8 is nothing, 1 and 15 the largest of a filter.
        """
        runs = []
        for name, changed in self.CHANGES.items():
            given = {
                "n_hid": self.n_hid.value,
                "learning_rate": self.rate.value,
                "n_gibbs": self.n_gibbs.value,
            } | changed
            run = _Training(self.images, self.batch_size, self.seed.value, given["n_hid"])
            errors, filters, n_shown = [run.error(self.images)], [], min(10, given["n_hid"])
            for done in range(self.KEPT[-1] + 1):
                if done in self.KEPT:
                    weights = backend.current().to_numpy(run.rbm.W).T[:n_shown]
                    filters.append(np.rint(7 * weights / np.abs(weights).max(axis=1, keepdims=True)).astype(int) + 8)
                if done < self.KEPT[-1]:
                    run.step(self.images, given["learning_rate"], given["n_gibbs"])
                    if run.n_batches % self.MEASURE_EVERY == 0:
                        errors.append(run.error(self.images))
            nibbles = np.stack(filters).ravel()
            nibbles = np.append(nibbles, np.full(nibbles.size % 2, 8))
            packed = base64.b64encode((16 * nibbles[::2] + nibbles[1::2]).astype(np.uint8).tobytes()).decode()
            rounded = [round(error, 2) for error in errors]
            runs.append({"name": name, "errors": rounded, "n_shown": n_shown, "packed": packed})
        return runs

    def div(self) -> str:
        """The panel for a static page: recorded trainings to scrub and to compare, and a still without JavaScript.

        Where Python runs in the browser nothing is recorded: it takes long there, and the panel itself is at hand.
        """
        weights = backend.current().to_numpy(self.rbm.W).T[:60]
        filters = plot.image_grid(weights, self.shape, columns=15, signed=True)
        runs = [] if sys.platform == "emscripten" else self.recorded()
        options = {"runs": runs, "kept": self.KEPT, "every": self.MEASURE_EVERY, "shape": self.shape}
        return (
            f'<div class="dbn-host" data-dbn-widget="training" data-options="{html.escape(json.dumps(options))}">'
            f"<figure>{_image(filters, f'Weights of hidden units after {self.n_batches:,} mini-batches.')}"
            f"<figcaption>{html.escape(self.CAPTION)} This training was recorded; in Jupyter the panel trains anew, "
            "with a slider for each setting.</figcaption></figure></div>"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"text/html": self.div()}


_WIDE = {"description_width": "8em"}


def _slider(kind: type, text: str, value: float, low: float, high: float) -> Any:
    return kind(value=value, min=low, max=high, description=text, style=_WIDE, continuous_update=False)


def _image(picture: Picture, alt: str) -> str:
    content = io.BytesIO()
    picture.savefig(content, format="webp", dpi=96, facecolor="white", pil_kwargs={"quality": 50})
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img src="data:image/webp;base64,{encoded}" alt="{html.escape(alt)}">'


def _check_images(images: np.ndarray, batch_size: int, shape: tuple[int, int]) -> None:
    n_pixels = shape[0] * shape[1]
    if np.ndim(images) != 2 or np.shape(images)[1] != n_pixels:
        raise InputError(
            f"images of the shape {np.shape(images)} are not (n, {n_pixels}); flatten each or give `shape`."
        )
    if not 1 <= batch_size <= len(images):
        raise InputError(f"mini-batches of {batch_size} are too large or empty; take 1 to {len(images)}.")
    if not (np.min(images) >= 0 and np.max(images) <= 1):
        raise InputError("images must lie in [0, 1]; divide grey levels by their maximum.")


def _check_settings(**settings: float) -> None:
    for name, value in settings.items():
        low, high = RANGES[name]
        kinds, what = ((int, float), "number") if isinstance(low, float) else (int, "whole number")
        if not isinstance(value, kinds) or not low <= value <= high:
            raise InputError(f"{name} is {value!r}; take a {what} from {low} to {high}.")
