"""The panel on which a machine learns: slice by slice, by hand and by itself, the numbers are those of one run."""

import asyncio
import base64
import html
import json
import re
from typing import Any

import numpy as np
import pytest
from easy import noisy_prototypes

from dbn_lite import rbm
from dbn_lite.backend import Random
from dbn_lite.errors import InputError
from dbn_lite.widgets.live import TrainLive

IMAGES = noisy_prototypes(n=300, n_test=10).train_images
SETTINGS: dict[str, Any] = {"n_hid": 12, "learning_rate": 0.2, "n_gibbs": 2, "batch_size": 20, "shape": (8, 8)}


def panel(**settings: Any) -> TrainLive:
    return TrainLive(IMAGES, **SETTINGS | settings)


def learnt(n_batches: int, rate: Any = 0.2, n_gibbs: Any = 2, n_hid: int = 12, seed: int = 0) -> rbm.RBM:
    """What contrastive divergence itself makes of them; rate and n_gibbs may be functions of the mini-batch."""
    machine, rng = rbm.random_rbm(64, n_hid, seed), Random(seed, "live")
    learner = rbm.ContrastiveDivergence(machine, 20)
    orders = [np.random.default_rng([seed, passed]).permutation(15) for passed in range(n_batches // 15 + 1)]
    for i, b in enumerate(np.concatenate(orders)[:n_batches]):
        r, k = (x(i) if callable(x) else x for x in (rate, n_gibbs))
        learner.step(IMAGES[20 * b : 20 * b + 20], rng, r, 0.5, 2e-4, k)
    return machine


def same(one: rbm.RBM, other: rbm.RBM) -> bool:
    return all(getattr(one, n).tobytes() == getattr(other, n).tobytes() for n in ("W", "vis_bias", "hid_bias"))


def test_slices_equal_one_run_bit_for_bit() -> None:
    whole, sliced = panel(), panel()
    whole.advance(50)
    for n in (1, 14, 1, 34):
        sliced.advance(n)
    assert same(whole.rbm, learnt(50))
    assert same(sliced.rbm, whole.rbm)
    assert not same(whole.rbm, learnt(49))
    assert sliced.errors == whole.errors
    assert len(whole.errors) == 3


def test_the_curve_is_the_reconstruction_error_and_falls() -> None:
    live = panel()
    live.advance(60)
    for error, n in zip(live.errors, (0, 20, 40, 60), strict=True):
        a = {name: np.float64(getattr(learnt(n), name)) for name in ("W", "vis_bias", "hid_bias")}
        h = 1 / (1 + np.exp(-(IMAGES @ a["W"] + a["hid_bias"])))
        v = 1 / (1 + np.exp(-(h @ a["W"].T + a["vis_bias"])))
        assert error == pytest.approx(((v - IMAGES) ** 2).sum(axis=1).mean(), rel=1e-4)
    assert live.errors[-1] < 0.95 * live.errors[0]
    assert f"{live.errors[-1]:.1f}" in live.status.value
    assert "60 mini-batches, 4.0 passes" in live.status.value


def test_a_rate_and_a_number_of_steps_count_from_the_next_mini_batch() -> None:
    live = panel()
    live.advance(10)
    live.rate.value, live.n_gibbs.value = 0.05, 3
    live.advance(10)
    assert same(live.rbm, learnt(20, rate=lambda i: 0.2 if i < 10 else 0.05, n_gibbs=lambda i: 2 if i < 10 else 3))
    assert not same(live.rbm, learnt(20))


def test_another_size_or_seed_starts_over() -> None:
    live = panel()
    live.advance(10)
    live.n_hid.value = 9
    assert (live.n_batches, live.rbm.n_hid, len(live.errors)) == (0, 9, 1)
    live.seed.value = 4
    live.advance(10)
    assert same(live.rbm, learnt(10, n_hid=9, seed=4))
    assert live.filters.models["net"] is live.rbm


def test_filters_are_sent_as_they_form() -> None:
    live, sent = panel(), []
    live.filters.send = lambda message, buffers: sent.append((message["name"], buffers[0]))
    live.advance(5)
    live.advance(5)
    assert [name for name, _ in sent] == ["net", "net"]
    assert sent[0][1] != sent[1][1]


async def until(condition: Any) -> None:
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.005)


def test_it_stops_and_goes_on_while_other_things_happen() -> None:
    async def use() -> tuple[TrainLive, list[int]]:
        live, seen = panel(), []
        for _ in range(3):
            live.buttons["Start"].click()
            assert live.running
            assert live.buttons["Start"].disabled
            before = live.n_batches
            await until(lambda before=before: live.n_batches > before)  # this loop is answered between slices
            live.buttons["Stop"].click()
            assert not live.running
            seen.append(live.n_batches)
            await asyncio.sleep(0.1)
            assert live.n_batches == seen[-1]  # nothing is learnt after a stop
        live.advance(7)
        return live, seen

    live, seen = asyncio.run(use())
    assert 0 < seen[0] < seen[1] < seen[2] == live.n_batches - 7
    assert same(live.rbm, learnt(live.n_batches))


def test_it_starts_over_while_it_runs() -> None:
    async def use() -> TrainLive:
        live = panel()
        live.start()
        task = live.task
        live.start()
        assert live.task is task  # one at a time
        await until(lambda: live.n_batches)
        live.buttons["Reset"].click()
        assert live.n_batches == 0
        await until(lambda: live.n_batches)
        assert live.running
        live.stop()
        return live

    live = asyncio.run(use())
    assert same(live.rbm, learnt(live.n_batches))


def test_an_error_while_it_runs_is_said_and_raised() -> None:
    async def use(live: TrainLive) -> None:
        live.start()
        await until(lambda: live.n_batches)
        live.images = live.images[:, :10]
        live.reset()  # a machine for ten pixels, and images that turn out to have sixty-four
        live.images = IMAGES
        assert live.task is not None
        await live.task

    live = panel()
    with pytest.raises(InputError, match="data have the shape"):
        asyncio.run(use(live))
    assert "role='alert'" in live.status.value
    assert "InputError: data have the shape" in live.status.value
    assert not live.running
    assert not live.buttons["Start"].disabled
    live.reset()
    live.advance(3)
    assert same(live.rbm, learnt(3))


def test_without_an_event_loop_the_remedy_is_said() -> None:
    live = panel()
    with pytest.raises(InputError, match=r"use advance\(n\)"):
        live.start()
    with pytest.raises(InputError, match="at least 1"):
        live.advance(0)
    assert live.n_batches == 0


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n_hid": 0}, "n_hid is 0; take a whole number from 1 to 1000."),
        ({"n_hid": 2.5}, "n_hid is 2.5; take a whole number from 1 to 1000."),
        ({"learning_rate": -0.1}, "learning_rate is -0.1; take a number from 0.001 to 1.0."),
        ({"learning_rate": float("nan")}, "learning_rate is nan; take a number from 0.001 to 1.0."),
        ({"n_gibbs": 0}, "n_gibbs is 0; take a whole number from 1 to 20."),
        ({"seed": -1}, "seed is -1; take a whole number from 0 to 9999."),
        ({"batch_size": 301}, "mini-batches of 301 are too large or empty; take 1 to 300."),
        ({"shape": (28, 28)}, "images of the shape (300, 64) are not (n, 784); flatten each or give `shape`."),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        panel(**bad)


@pytest.mark.parametrize("images", [255 * IMAGES, IMAGES - 1, IMAGES * np.nan])
def test_images_outside_the_unit_interval_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        TrainLive(images, **SETTINGS)


def recorded(page: str) -> dict[str, Any]:
    """What the script of a page is given."""
    found = re.search(r'data-dbn-widget="training" data-options="([^"]+)"', page)
    assert found
    return json.loads(html.unescape(found[1]))


def test_a_page_holds_recorded_trainings_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainLive, "KEPT", (0, 20, 40))
    live = panel()
    live.advance(7)
    before = live.rbm.W.copy()
    data = live._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert re.search(r'<img src="data:image/webp;base64,UklGR[^"]+" alt="[^"]{20,}">', page)
    given = recorded(page)
    assert [given[name] for name in ("kept", "every", "shape")] == [[0, 20, 40], 20, [8, 8]]
    changes = [{}, {"rate": 1.0}, {"n_gibbs": 20}, {"n_hid": 10}]
    for run, change in zip(given["runs"], changes, strict=True):
        for i, n in enumerate((0, 20, 40)):
            machine = learnt(n, **change)
            h = rbm.mean_h_from_v(machine, IMAGES)
            error = ((rbm.mean_v_from_h(machine, h) - IMAGES) ** 2).sum(axis=1).mean()
            assert run["errors"][i] == pytest.approx(error, abs=6e-3)
            values = np.frombuffer(base64.b64decode(run["packed"]), np.uint8)
            filters = np.stack([values >> 4, values & 15], axis=1).reshape(3, run["n_shown"], 64)[i].astype(float) - 8
            largest = np.abs(machine.W.T[: run["n_shown"]]).max(axis=1, keepdims=True)
            np.testing.assert_allclose(filters / 7, machine.W.T[: run["n_shown"]] / largest, atol=0.072)
    assert len({run["name"] for run in given["runs"]}) == 4
    assert (live.n_batches, live.rbm.W.tolist()) == (7, before.tolist())  # the panel itself stays where it was


def test_where_python_runs_in_the_browser_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "emscripten")
    assert recorded(panel().div())["runs"] == []
