"""The epoch loop: greedy learning and up-down alike, stopped and resumed at any mini-batch to the same bits."""

from __future__ import annotations

import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend, provenance, store
from ..backend import Array
from ..dataset import Dataset, Split, arrange_random, check_images, split
from ..dbn import DBN, Net, predict, stack
from ..errors import InputError
from ..presets import Preset, Stage, preset_for
from ..rbm import random_rbm
from .folder import SEEN, RunFolder
from .learners import GreedyLearner, UpDownLearner
from .progress import Progress, in_words

# images (n, pixels), their height and width, a generator: the same images changed, as `distort.elastic` does it
Change = Callable[[np.ndarray, tuple[int, int], np.random.Generator], np.ndarray]

__all__ = ["GreedyLearner", "Run", "UpDownLearner", "error_percent", "fit", "open_run", "part", "split_for"]

CHECKPOINT_SECONDS = 60.0  # at most so much work is lost when a run is killed
LOG_SECONDS = 1.0  # between two writings of a log: a small set has thousands of epochs, each of hundredths of a second
CHECK_EVERY = 50  # mini-batches between two looks at whether all parameters are finite


def error_percent(net: Net, images: np.ndarray, labels: np.ndarray) -> float:
    """How many of `images` (n, vis) the deterministic read-out gets wrong, in percent.

    Raises InputError for labels (n,) that the net does not know.
    """
    expect_labels(net, labels)
    return float(100 * np.mean(predict(net, images) != labels))


def expect_labels(net: Net, labels: np.ndarray) -> None:
    """Refuse, with InputError, to score a net on classes that it cannot tell apart."""
    if len(labels) and int(labels.max()) >= net.n_labels:
        raise InputError(
            f"the net tells {net.n_labels} classes apart, and the labels reach to {labels.max()}; "
            f"give the data set that it was trained on."
        )


def split_for(dataset: Dataset, seed: int, batch_size: int = 100) -> Split:
    """The training and validation images of a run with that seed."""
    return split(dataset, np.random.default_rng([seed, 1]), batch_size=batch_size)


def part(dataset: Dataset, name: str, seed: int, batch_size: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels for testing, validation or training, as a run with that seed and batch size divides them.

    Raises InputError for any other name, for a data set without labels, and for the test images of one that has none.
    """
    if not dataset.labelled:
        raise InputError(f"the data set {dataset.name} has no labels to be wrong about; give one that has.")
    if name == "test":
        dataset.expect_test()
        return dataset.test_images, dataset.test_labels
    if name not in ("train", "validation"):
        raise InputError(f"there is no split called {name!r}; choose one of test, validation, train.")
    parts = split_for(dataset, seed, batch_size)
    if name == "train":
        return parts.train_images, parts.train_labels
    return parts.validation_images, parts.validation_labels


def described(dataset: Dataset) -> str:
    """Which training images a run is of: their name and number, and checksums."""
    crc, labels = (zlib.crc32(a.data) for a in (dataset.train_images, dataset.train_labels))
    return f"{dataset.name}, {len(dataset.train_images)} images, crc {crc:08x}, labels {labels:08x}"


def open_run(
    dataset: Dataset,
    layers: Sequence[int] | None,
    out: str | Path,
    preset: str | Path | Preset,
    seed: int,
    resume: bool = False,
    change: Change | None = None,
) -> Run:
    """The run in the folder `out` that trains on a data set; what may be given is told at `preset_for`.

    One to be resumed that is older than the scaling of presets goes on with what it began with.
    """
    chosen = preset_for(preset, dataset.name, len(dataset.train_images), layers)
    plain = preset_for(preset, "mnist", len(dataset.train_images), layers)
    began_so = resume and RunFolder(out).recorded_preset() == plain.as_json()
    return Run(plain if began_so else chosen, dataset, seed, out, resume, change)


def fit(
    dataset: Dataset,
    layers: Sequence[int] | None = None,
    out: str | Path = "run",
    preset: str | Path | Preset = "quick",
    seed: int = 0,
    after_epoch: Callable[[dict[str, Any]], Any] | None = None,
    progress: bool = True,
    change: Change | None = None,
) -> DBN:
    """Train a net on a data set and return it; the folder `out` keeps it as net.npz, with all that it came from.

    `layers` are the units of the three hidden layers, by default those of the preset; `preset` is a name, the path of a
    .json file, or a Preset, and is scaled to the size of the set if it is a name (`preset_for`). `after_epoch` is told
    at `Run.train`, `change` at `Run`. Raises InputError for what does not fit.
    """
    run = open_run(dataset, layers, out, preset, seed, change=change)
    if progress:
        print(run.told(), file=sys.stderr)
    return run.train(progress, after_epoch)


class Run:
    """One training: where it stands, what it has learned, and the folder that keeps both."""

    def __init__(
        self,
        preset: Preset,
        dataset: Dataset,
        seed: int,
        out: str | Path,
        resume: bool = False,
        change: Change | None = None,
    ) -> None:
        """Open the folder: empty, or with a run to go on with; raises InputError if the two do not fit.

        With `change` a net never meets the images themselves: in each epoch it learns from what `change` makes of them,
        drawn anew. Images for validation and testing stay as they are.
        """
        preset.check(len(dataset.train_images))
        self.preset, self.dataset, self.seed, self.change = preset, dataset, seed, change
        self.folder = RunFolder(out)
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
        n_all = len(dataset.train_images)
        self.progress = Progress(preset, self.net.sizes, len(self.split.train_images), n_all)
        with self.folder.alone():
            if self.folder.open(resume):
                self.folder.sweep()
                self._restore()
            else:
                self.folder.sweep()
                self._begin()
                self._save()

    @property
    def out(self) -> Path:
        """The folder of the run."""
        return self.folder.path

    @property
    def stage(self) -> Stage | None:
        """The stage under way; None when all are done."""
        stages = self.preset.stages
        return stages[self.stage_index] if self.stage_index < len(stages) else None

    @property
    def seen(self) -> bool:
        """Whether the stage under way, or one before it, learns from the validation images too."""
        return any(stage.all_images for stage in self.preset.stages[: self.stage_index + 1])

    @classmethod
    def continued(
        cls, folder: str | Path, dataset: Dataset, stages: Sequence[Stage], out: str | Path, resume: bool = False
    ) -> Run:
        """A run in the folder `out` that goes on from the net of a finished one with more stages of up-down.

        Its record has the stages of both; data, seed and mini-batches are those of the old one. Raises InputError if
        that is not finished, or was of other data, and for stages that learn greedily: up-down has untied the weights.
        """
        net, about = store.load(Path(folder) / "net.npz"), store.read_meta(Path(folder) / "net.npz")
        if any(stage.layer for stage in stages):
            raise InputError("a net can go on with stages of up-down only; give stages of layer 0.")
        if about.get("data") != described(dataset):
            raise InputError(f"{folder} is a run on {about.get('data')}; go on with that, not {described(dataset)}.")
        old = Preset.from_json(about.get("preset", {}))
        preset = replace(old, stages=(*old.stages, *stages), layers=net.sizes[1:4], chosen=True)
        run = cls(preset, dataset, about.get("seed", 0), out, resume)
        if not run.stage_index:  # it was made just now
            run.skip_to(len(old.stages), net)
        return run

    @property
    def n_learned_from(self) -> int:
        """How many of the training images at least one stage learns from."""
        n_all = len(self.dataset.train_images)
        if any(stage.all_images for stage in self.preset.stages):
            return n_all - n_all % self.preset.batch_size
        return len(self.split.train_images)

    def told(self) -> str:
        """What is trained on what, in a sentence."""
        text = f"{self.dataset.name}: a net of {'-'.join(map(str, self.net.sizes))} units learns from "
        text += f"{len(self.split.train_images):,} of {len(self.dataset.train_images):,} images"
        if self.n_learned_from != len(self.split.train_images):
            text += f", in the end from {self.n_learned_from:,}"
        if self.dataset.labelled:
            text += f"; {len(self.split.validation_images):,} are kept for validation"
        return f"{text}; {sum(stage.epochs for stage in self.preset.stages):,} epochs."

    def settings(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be of this run."""
        data, ops = described(self.dataset), backend.current()
        changed = {"change": getattr(self.change, "__name__", "a function")} if self.change else {}
        return {"preset": self.preset.as_json(), "seed": self.seed, "data": data, "backend": ops.name} | changed

    def skip_to(self, stage_index: int, net: DBN) -> None:
        """Begin with a later stage of up-down, as if those before it had ended in `net`."""
        self.best = {name: backend.current().to_numpy(a) for name, a in net.arrays().items()}
        self._take_best()
        if self.dataset.labelled:
            self.best_error = error_percent(self.net, self.split.validation_images, self.split.validation_labels)
        self.stage_index = stage_index
        with self.folder.alone():
            self._begin()
            self._save()

    def train(self, progress: bool = True, after_epoch: Callable[[dict[str, Any]], Any] | None = None) -> DBN:
        """Go through all that is left; returns the final net, on disk as net.npz.

        `after_epoch` is given what each epoch found, its row of the log; if it returns True, the stage ends there.
        Raises InputError if the weights stop being finite, and KeyboardInterrupt after Ctrl-C, when all is saved.
        """
        self.interrupted = False
        self.bar = self.progress.bar(self.stage_index, self.epoch, self.batch, progress)
        quiet = np.errstate(over="ignore", invalid="ignore")  # what they would warn of is found and told below
        with self.folder.alone(), self.bar, _interrupts(self), quiet:
            while stage := self.stage:
                while not self._finished(stage):
                    self._run_epoch(stage)
                    if after_epoch and after_epoch(dict(self.log[-1])):
                        break
                self._end(stage)
            if not self.folder.has_net("net"):  # somebody has deleted it, but the checkpoint is whole
                self.folder.save_net("net", self.net, self.meta())
            return self.folder.load_net("net")

    def _begin(self) -> None:
        """Set up the learner of the stage under way."""
        stage = self.stage
        if not stage:
            return
        ops, images, labels = backend.current(), self.split.train_images, self.split.train_labels
        if stage.all_images:
            if self.best:
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
        told = in_words(stage, self.epoch, self.log[-1] if self.log else {})
        self.bar.set_description_str(self.progress.title + told)
        clock = time.monotonic()
        if self.change:
            self.learner.see(backend.current().asarray(self._changed(self.change)))
        while self.batch < self.n_batches:
            self.learner.step(int(order[self.batch]), rng, stage, rate, momentum)
            self.batch += 1
            self.bar.update(self.progress.cost(stage))
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
        now = self._lap(clock)
        self.log[-1]["seconds"] = round(self.seconds, 1)
        self.epoch, self.batch = self.epoch + 1, 0
        if self._due():
            self._save()
        elif now - self.logged > LOG_SECONDS:
            self._write_log(now)

    def _changed(self, change: Change) -> np.ndarray:
        """What `change` makes of the images in this epoch; raises InputError for what is not as many such images."""
        rng = np.random.default_rng([self.seed, 4, self.stage_index, self.epoch])
        images = check_images(change(self.images, self.dataset.shape, rng), self.net.sizes[0])
        if len(images) != len(self.images):
            raise InputError(f"change made {len(images)} images of {len(self.images)}; let it give one for each.")
        return images

    def _finished(self, stage: Stage) -> bool:
        matched = stage.until_matched and self.epoch > 0 and self.log[-1].get("train_error", 100) <= self.target
        return matched or self.epoch >= stage.epochs

    def _end(self, stage: Stage) -> None:
        """Leave a stage: keep the net that was asked for, go on to the next."""
        if stage.layer:
            self.net = stack(*self.rbms)
        if stage.layer == 3:
            self.folder.save_net("greedy", self.net, self.meta())
        if stage is self.preset.stages[-1]:
            if self.best and not self.seen:
                self._take_best()
            self.folder.save_net("net", self.net, self.meta())
        elif not stage.layer:
            self.folder.save_net(stage.name, self.net, self.meta())
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
        if stage.layer in (0, 3) and self.dataset.labelled:
            row[SEEN if self.seen else "validation_error"] = error_percent(self.net, *held_out)
        if stage.record_every and (self.epoch + 1) % stage.record_every == 0 and self.dataset.labelled:
            row["train_error"] = error_percent(self.net, self.images, self.labels)
            if len(self.dataset.test_images):
                row["test_error"] = error_percent(self.net, self.dataset.test_images, self.dataset.test_labels)
        if not stage.layer and "validation_error" in row and row["validation_error"] < self.best_error:
            to_numpy = backend.current().to_numpy
            self.best = {name: to_numpy(a).copy() for name, a in self.net.arrays().items()}
            self.best_error = row["validation_error"]
        self.log.append(row)

    def _take_best(self) -> None:
        best = {f"best.{name}": a for name, a in self.best.items()}
        self._copy_in(best, {f"best.{name}": a for name, a in self.net.arrays().items()})

    def _lap(self, clock: float) -> float:
        now = time.monotonic()
        self.seconds += now - clock
        return now

    def _check_finite(self, stage: Stage) -> None:
        xp = backend.current().xp
        if not all(bool(xp.isfinite(a).all()) for a in self._parameters(stage).values()):
            raise InputError(
                f"training diverged in epoch {self.epoch + 1} of {stage.name}: weights are no longer finite; "
                f"start again with a smaller learning rate ({self.folder.checkpoint} keeps the last good state)."
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
        meta["arithmetic"] = provenance.arithmetic()
        self.folder.save_checkpoint(arrays, meta)
        self.saved = time.monotonic()
        self._write_log(self.saved)

    def _write_log(self, now: float) -> None:
        self.folder.write_log(self.log)
        self.logged = now

    def _due(self) -> bool:
        return time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def _restore(self) -> None:
        """Go to where the checkpoint stands; raises InputError if it is of another configuration."""
        saved, meta = self.folder.load_checkpoint({"change": None} | self._settings)
        began, here = meta.pop("arithmetic", None), provenance.arithmetic()
        if began and began != here:
            told = [
                "{library}, {threads} threads".format(**{"library": "?", "threads": "?"} | a) for a in (began, here)
            ]
            print(
                f"{self.out} began with {told[0]}, and goes on with {told[1]}: from here on its last bits will differ "
                f"from those of a run that was never stopped; OPENBLAS_NUM_THREADS sets the threads.",
                file=sys.stderr,
            )
        for name, value in meta.items():
            setattr(self, name, value)
        self._check_position()
        self.saved, self.logged = time.monotonic(), 0.0
        self.best = {name.removeprefix("best."): a for name, a in saved.items() if name.startswith("best.")}
        self._copy_in(saved, self._parameters(self.stage))  # first what a learner is made from ...
        self._begin()
        self._copy_in(saved, self._state())  # ... then what it had made of it

    def _check_position(self) -> None:
        """Refuse, with InputError, to stand where no run of this preset can stand."""
        stage, stages, reached = self.stage, self.preset.stages, self.log[len(self.log) - self.epoch :]
        images = self.dataset.train_images if stage and stage.all_images else self.split.train_images
        last, n_batches = stage.epochs if stage else 0, len(images) // self.preset.batch_size if stage else 0
        if self.stage_index > len(stages) or self.epoch > last or self.batch > n_batches * (self.epoch < last):
            raise self.folder.unusable(f"it has no stage {self.stage_index}, epoch {self.epoch}, batch {self.batch}")
        known, earlier = [(row["stage"], row["epoch"]) for row in reached], {s.name for s in stages[: self.stage_index]}
        strange = any(row["stage"] not in earlier for row in self.log[: max(0, len(self.log) - self.epoch)])
        right = known == [(stage.name, i + 1) for i in range(self.epoch)] if stage else bool(self.log)
        if strange or not right:
            raise self.folder.unusable("its log is not of the epochs that it has behind it")
        if stage and stage.until_matched and reached and "train_error" not in reached[-1]:
            raise self.folder.unusable("its log has no training error to match")
        if self.batch:
            try:
                backend.current().random(self.seed).state = self.rng_state
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise self.folder.unusable("its random numbers stand nowhere") from error

    def _copy_in(self, saved: dict[str, np.ndarray], arrays: dict[str, Array]) -> None:
        for name, a in arrays.items():
            if name not in saved or saved[name].shape != a.shape or saved[name].dtype.kind != "f":
                raise InputError(
                    f"{self.folder.checkpoint} has no array {name} of shape {a.shape}; start again in another folder."
                )
            a[...] = backend.current().asarray(saved[name])

    def meta(self) -> dict[str, Any]:
        """What is written beside a net: where it comes from, in which versions, and what it was worth on validation."""
        about: dict[str, Any] = {**self._settings, "last_epoch": self.log[-1]}
        if self.dataset.class_names:
            about["classes"] = self.dataset.class_names
        if self.dataset.file:
            about["file"] = self.dataset.file
        if self.best and self.dataset.labelled:
            about["best_validation_error"] = self.best_error
        return about | {"seconds": round(self.seconds, 1), "versions": provenance.versions()}


@contextmanager
def _interrupts(run: Run) -> Iterator[None]:
    """Ctrl-C asks the run to stop at the next mini-batch; a second Ctrl-C stops at once."""

    def ask(signum: int, frame: object) -> None:
        run.interrupted = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
