"""The epoch loop: greedy learning and up-down alike, stopped and resumed at any mini-batch to the same bits."""

from __future__ import annotations

import json
import platform
import signal
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from . import backend, store
from .backend import Array
from .data import Dataset, Split, arrange_random, split
from .dbn import DBN, predict, stack
from .errors import InputError
from .files import atomic_write
from .presets import Preset, Stage
from .rbm import RBM, ContrastiveDivergence, mean_h_from_v, mean_v_from_h, random_rbm
from .updown import UpDown

CHECKPOINT_SECONDS = 60.0  # at most so much work is lost when a run is killed
CHECK_EVERY = 50  # mini-batches between two looks at whether all parameters are finite


def error_percent(net: DBN, images: np.ndarray, labels: np.ndarray) -> float:
    """How many of `images` (n, vis) the deterministic read-out gets wrong, in percent."""
    return float(100 * np.mean(predict(net, images) != labels))


def split_for(dataset: Dataset, seed: int, batch_size: int = 100) -> Split:
    """The training and validation images of a run with that seed."""
    return split(dataset, np.random.default_rng([seed, 1]), batch_size=batch_size)


def part(dataset: Dataset, name: str, seed: int, batch_size: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels for testing, validation or training, as a run with that seed and batch size divides them.

    Raises InputError for any other name.
    """
    if name == "test":
        return dataset.test_images, dataset.test_labels
    if name not in ("train", "validation"):
        raise InputError(f"there is no split called {name!r}; choose one of test, validation, train.")
    parts = split_for(dataset, seed, batch_size)
    if name == "train":
        return parts.train_images, parts.train_labels
    return parts.validation_images, parts.validation_labels


class GreedyLearner:
    """Contrastive divergence on one layer of the stack (section 4), its input computed once from the layers below."""

    def __init__(self, rbms: list[RBM], stage: Stage, images: Array, targets: Array, batch_size: int) -> None:
        ops, self.rbm, self.batch_size = backend.current(), rbms[stage.layer - 1], batch_size
        self.inputs = images
        for below in rbms[: stage.layer - 1]:
            self.inputs = mean_h_from_v(below, self.inputs)
        if self.rbm.n_labels:
            self.inputs = ops.xp.hstack([self.inputs, targets])
        self.learner = ContrastiveDivergence(self.rbm, batch_size)
        self._step = ops.record(self.learner.step)

    def step(self, batch: int, rng: backend.Random, stage: Stage, rate: float, momentum: float) -> None:
        """Learn from one mini-batch."""
        rows = self.inputs[batch * self.batch_size : (batch + 1) * self.batch_size]
        self._step(rows, rng, rate, momentum, stage.weight_decay, stage.n_gibbs)

    def velocities(self) -> dict[str, Array]:
        """The velocity of each parameter."""
        velocity = self.learner.velocity
        return {"W": velocity.W, "vis_bias": velocity.vis_bias, "hid_bias": velocity.hid_bias}

    def chains(self) -> dict[str, Array]:
        """No chain outlives its mini-batch."""
        return {}

    def reconstruction_error(self) -> float:
        """The squared error of the reconstruction, summed over units, averaged over the first 1,000 cases."""
        v = self.inputs[:1000]
        return float(((mean_v_from_h(self.rbm, mean_h_from_v(self.rbm, v)) - v) ** 2).sum(axis=1).mean())


class UpDownLearner:
    """The up-down algorithm on the whole net (section 5)."""

    def __init__(self, net: DBN, stage: Stage, images: Array, targets: Array, preset: Preset) -> None:
        self.images, self.targets, self.batch_size = images, targets, preset.batch_size
        n_wandering = round(stage.wandering * preset.batch_size)
        self.learner = UpDown(net, preset.batch_size, preset.sample_labels, n_wandering=n_wandering)
        self._step = backend.current().record(self.learner.step)

    def step(self, batch: int, rng: backend.Random, stage: Stage, rate: float, momentum: float) -> None:
        """Learn from one mini-batch."""
        rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        data, targets = self.images[rows], self.targets[rows]
        self._step(data, targets, rng, stage.n_gibbs, rate, momentum, stage.weight_decay)

    def velocities(self) -> dict[str, Array]:
        """The velocity of each parameter."""
        return self.learner.velocity

    def chains(self) -> dict[str, Array]:
        """Where the chains that wander stand, if there are any."""
        return {"wandering": self.learner.wandering} if len(self.learner.wandering) else {}


class Run:
    """One training: where it stands, what it has learned, and the folder that keeps both.

    The folder holds checkpoint.npz and log.jsonl while it runs; greedy.npz, a net for each stage of up-down, called
    after it, and net.npz, the last, come as they are reached.
    """

    def __init__(self, preset: Preset, dataset: Dataset, seed: int, out: str | Path, resume: bool = False) -> None:
        """Open the folder: empty, or with a run to go on with; raises InputError if the two do not fit."""
        preset.check(len(dataset.train_images))
        self.preset, self.dataset, self.seed, self.out = preset, dataset, seed, Path(out)
        self.split = split_for(dataset, seed, preset.batch_size)
        self.stage_index = self.epoch = self.batch = 0
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, np.ndarray] = {}
        self.best_error = self.target = 100.0
        self.seconds, self.interrupted = 0.0, False
        self.rng_state: dict[str, Any] = {}
        vis, (hid, pen, top) = dataset.train_images.shape[1], preset.layers_for(dataset.shape)
        self.rbms = [
            random_rbm(vis, hid, seed, consumer="greedy 1"),
            random_rbm(hid, pen, seed, consumer="greedy 2"),
            random_rbm(pen + dataset.n_classes, top, seed, dataset.n_classes, consumer="greedy 3"),
        ]
        self.net = stack(*self.rbms)
        self._settings = self.settings()
        if self._holds_a_run() and not resume:
            raise InputError(f"{self.out} already holds a run; go on with it by --resume or choose another folder.")
        if self.checkpoint.is_file():
            self._restore()
        elif self._holds_a_run():
            raise InputError(f"{self.out} holds a run without its checkpoint.npz; choose another folder.")
        else:
            self._make_folder()
            self._begin()
            self._save()

    @property
    def checkpoint(self) -> Path:
        """The file that a resumed run goes on from."""
        return self.out / "checkpoint.npz"

    @property
    def stage(self) -> Stage | None:
        """The stage under way; None when all are done."""
        stages = self.preset.stages
        return stages[self.stage_index] if self.stage_index < len(stages) else None

    def settings(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be of this run."""
        crc = zlib.crc32(self.dataset.train_images.data)
        data = f"{self.dataset.name}, {len(self.dataset.train_images)} images, crc {crc:08x}"
        return {"preset": self.preset.as_json(), "seed": self.seed, "data": data, "backend": backend.current().name}

    def skip_to(self, stage_index: int, net: DBN) -> None:
        """Begin with a later stage of up-down, as if those before it had ended in `net`."""
        self.best = {name: backend.current().to_numpy(a) for name, a in net.arrays().items()}
        self._take_best()
        self.best_error = error_percent(self.net, self.split.validation_images, self.split.validation_labels)
        self.stage_index = stage_index
        self._begin()
        self._save()

    def train(self, progress: bool = True) -> DBN:
        """Go through all that is left; returns the final net, on disk as net.npz.

        Raises InputError if the weights stop being finite, and KeyboardInterrupt after Ctrl-C, when all is saved.
        """
        self.interrupted = False
        tick = 0.2 if sys.stderr.isatty() else 10.0
        layout = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}<{remaining}]"
        done, of = self._work_done(), self._work()
        self.bar = tqdm(total=of, initial=done, disable=not progress, bar_format=layout, mininterval=tick)
        quiet = np.errstate(over="ignore", invalid="ignore")  # what they would warn of is found and told below
        with self.bar, _interrupts(self), quiet:
            while stage := self.stage:
                while not self._finished(stage):
                    self._run_epoch(stage)
                self._end(stage)
        return store.load(self.out / "net.npz")

    def _begin(self) -> None:
        """Set up the learner of the stage under way."""
        stage = self.stage
        if not stage:
            return
        ops, images, labels = backend.current(), self.split.train_images, self.split.train_labels
        if stage.all_images:
            self._take_best()
            self.target = error_percent(self.net, images, labels)
            rows = arrange_random(
                len(self.dataset.train_images), self.preset.batch_size, np.random.default_rng([self.seed, 3])
            )
            images, labels = self.dataset.train_images[rows], self.dataset.train_labels[rows]
        self.images, self.labels = images, labels
        self.n_batches = len(images) // self.preset.batch_size
        targets = ops.asarray(np.eye(self.dataset.n_classes)[labels])
        self.learner: GreedyLearner | UpDownLearner
        if stage.layer:
            self.learner = GreedyLearner(self.rbms, stage, ops.asarray(images), targets, self.preset.batch_size)
        else:
            self.learner = UpDownLearner(self.net, stage, ops.asarray(images), targets, self.preset)

    def _run_epoch(self, stage: Stage) -> None:
        order = np.random.default_rng([self.seed, 2, self.stage_index, self.epoch]).permutation(self.n_batches)
        rng = backend.current().random(self.seed, f"states {self.stage_index} {self.epoch}")
        if self.batch:
            rng.state = self.rng_state
        rate, momentum = stage.rate_in(self.epoch), stage.momentum_in(self.epoch)
        self._describe(stage)
        clock = time.monotonic()
        while self.batch < self.n_batches:
            self.learner.step(int(order[self.batch]), rng, stage, rate, momentum)
            self.batch += 1
            self.bar.update(self._cost(stage))
            if self.batch % CHECK_EVERY == 0 or self.batch == self.n_batches:
                self._check_finite(stage)
            if self.interrupted or self._due():
                clock = self._lap(clock)
                self._check_finite(stage)  # or a checkpoint would replace the last good one
                self.rng_state = rng.state
                self._save()
                if self.interrupted:
                    raise KeyboardInterrupt
        self._record(stage, rate)
        self._lap(clock)
        self.log[-1]["seconds"] = round(self.seconds, 1)
        self.epoch, self.batch = self.epoch + 1, 0
        if self._due():
            self._save()
        else:
            self._write_log()

    def _finished(self, stage: Stage) -> bool:
        matched = stage.until_matched and self.epoch > 0 and self.log[-1]["train_error"] <= self.target
        return matched or self.epoch >= stage.epochs

    def _end(self, stage: Stage) -> None:
        """Leave a stage: keep the net that was asked for, go on to the next."""
        if stage.layer:
            self.net = stack(*self.rbms)
        if stage.layer == 3:
            store.save(self.net, self.out / "greedy.npz", **self.meta())
        if stage is self.preset.stages[-1]:
            if self.best and not stage.all_images:
                self._take_best()
            store.save(self.net, self.out / "net.npz", **self.meta())
        elif not stage.layer:
            store.save(self.net, self.out / f"{stage.name}.npz", **self.meta())
        self.stage_index, self.epoch = self.stage_index + 1, 0
        self._begin()
        self._save()

    def _record(self, stage: Stage, rate: float) -> None:
        """Add this epoch's figures to the log, and keep the net if it is the best yet on the validation images."""
        held_out = self.split.validation_images, self.split.validation_labels
        if stage.layer == 3:
            self.net = stack(*self.rbms)
        row: dict[str, Any] = {"stage": stage.name, "epoch": self.epoch + 1, "learning_rate": rate}
        if isinstance(self.learner, GreedyLearner):
            row["reconstruction_error"] = self.learner.reconstruction_error()
        if stage.layer in (0, 3):
            row["validation_error"] = error_percent(self.net, *held_out)
        if stage.record_every and (self.epoch + 1) % stage.record_every == 0:
            row["train_error"] = error_percent(self.net, self.images, self.labels)
            row["test_error"] = error_percent(self.net, self.dataset.test_images, self.dataset.test_labels)
        if not stage.layer and not stage.all_images and row["validation_error"] < self.best_error:
            to_numpy = backend.current().to_numpy
            self.best = {name: to_numpy(a).copy() for name, a in self.net.arrays().items()}
            self.best_error = row["validation_error"]
        self.log.append(row)

    def _take_best(self) -> None:
        for name, a in self.net.arrays().items():
            a[...] = backend.current().asarray(self.best[name])

    def _describe(self, stage: Stage) -> None:
        last = self.log[-1] if self.log else {}
        found = [
            f"{name.split('_')[0]} {last[name]:.2f}"
            for name in ("reconstruction_error", "validation_error")
            if name in last
        ]
        self.bar.set_description_str(", ".join([f"{stage.name}, epoch {self.epoch + 1}/{stage.epochs}", *found]))

    def _lap(self, clock: float) -> float:
        now = time.monotonic()
        self.seconds += now - clock
        return now

    def _check_finite(self, stage: Stage) -> None:
        xp = backend.current().xp
        if not all(bool(xp.isfinite(a).all()) for a in self._parameters(stage).values()):
            raise InputError(
                f"training diverged in epoch {self.epoch + 1} of {stage.name}: weights are no longer finite; "
                f"start again with a smaller learning rate ({self.checkpoint} keeps the last good state)."
            )

    def _parameters(self, stage: Stage | None) -> dict[str, Array]:
        """What the stage changes, under the names that the checkpoint uses."""
        if stage and stage.layer:
            return {
                f"rbm{i}.{name}": a
                for i, rbm in enumerate(self.rbms, 1)
                for name, a in (("W", rbm.W), ("vis_bias", rbm.vis_bias), ("hid_bias", rbm.hid_bias))
            }
        return {f"net.{name}": a for name, a in self.net.arrays().items()}

    def _state(self) -> dict[str, Array]:
        parameters = self._parameters(self.stage)
        if not self.stage:
            return parameters
        velocities = {f"velocity.{name}": a for name, a in self.learner.velocities().items()}
        return parameters | velocities | {f"chains.{name}": a for name, a in self.learner.chains().items()}

    def _save(self) -> None:
        """Write the checkpoint, and the log as far as it goes."""
        to_numpy = backend.current().to_numpy
        arrays = {name: to_numpy(a) for name, a in self._state().items()}
        arrays |= {f"best.{name}": a for name, a in self.best.items()}
        fields = ("stage_index", "epoch", "batch", "rng_state", "log", "best_error", "seconds")
        meta = {"settings": self._settings} | {name: getattr(self, name) for name in fields}
        store.save_arrays(self.checkpoint, arrays, meta)
        self.saved = time.monotonic()
        self._write_log()

    def _due(self) -> bool:
        return time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def _write_log(self) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in self.log)
        atomic_write(self.out / "log.jsonl", lambda file: file.write(lines.encode()))

    def _restore(self) -> None:
        """Go to where the checkpoint stands; raises InputError if it is of another configuration."""
        saved, meta = store.load_arrays(self.checkpoint)
        theirs = meta.pop("settings", {})
        for name, ours in self._settings.items():
            if theirs.get(name) != ours:
                raise InputError(
                    f"{self.checkpoint} is of a run with another {name}; resume with the same {name} "
                    f"or choose another folder."
                )
        for name, value in meta.items():
            setattr(self, name, value)
        self.saved = time.monotonic()
        self.best = {name.removeprefix("best."): a for name, a in saved.items() if name.startswith("best.")}
        self._copy_in(saved, self._parameters(self.stage))  # first what a learner is made from ...
        self._begin()
        self._copy_in(saved, self._state())  # ... then what it had made of it

    def _copy_in(self, saved: dict[str, np.ndarray], arrays: dict[str, Array]) -> None:
        for name, a in arrays.items():
            if name not in saved or saved[name].shape != a.shape:
                raise InputError(
                    f"{self.checkpoint} has no array {name} of shape {a.shape}; start again in another folder."
                )
            a[...] = backend.current().asarray(saved[name])

    def _holds_a_run(self) -> bool:
        return any((self.out / name).exists() for name in ("checkpoint.npz", "net.npz", "log.jsonl"))

    def _make_folder(self) -> None:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.out} ({error.strerror}); choose another.") from error

    def meta(self) -> dict[str, Any]:
        """What is written beside a net: where it comes from, in which versions, and what it was worth on validation."""
        about: dict[str, Any] = {**self._settings, "last_epoch": self.log[-1]}
        if self.best:
            about["best_validation_error"] = self.best_error
        return about | {"seconds": round(self.seconds, 1), "versions": versions()}

    def _cost(self, stage: Stage) -> int:
        """Arithmetic of one mini-batch, in operations: what the progress bar counts."""
        vis, hid, pen, top, lab = self.net.sizes
        one = {1: vis * hid, 2: hid * pen, 3: (pen + lab) * top}
        if stage.layer:
            return 2 * self.preset.batch_size * (3 + 2 * stage.n_gibbs) * one[stage.layer]
        return 2 * self.preset.batch_size * (6 * (one[1] + one[2]) + (3 + 2 * stage.n_gibbs) * one[3])

    def _work(self) -> int:
        """Arithmetic of the whole preset."""
        return sum(stage.epochs * self._batches(stage) * self._cost(stage) for stage in self.preset.stages)

    def _work_done(self) -> int:
        done = sum(s.epochs * self._batches(s) * self._cost(s) for s in self.preset.stages[: self.stage_index])
        return done + (self._cost(self.stage) * (self.epoch * self.n_batches + self.batch) if self.stage else 0)

    def _batches(self, stage: Stage) -> int:
        images = self.dataset.train_images if stage.all_images else self.split.train_images
        return len(images) // self.preset.batch_size


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    try:
        own = version("dbn-lite")
    except PackageNotFoundError:  # run from a folder, not installed
        own = "not installed"
    xp = backend.current().xp  # NumPy once more, or CuPy
    return {"dbn-lite": own, "numpy": np.__version__, xp.__name__: xp.__version__, "python": platform.python_version()}


@contextmanager
def _interrupts(run: Run) -> Iterator[None]:
    """Ctrl-C asks the run to stop at the next mini-batch; a second Ctrl-C stops at once."""

    def ask(signum: int, frame: object) -> None:
        run.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
