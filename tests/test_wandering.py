"""Chains that wander: they go on from where they stand, all else is up-down, and a valley without images empties."""

import numpy as np
import pytest
from tiny import LAB, VIS, nets

from dbn_lite import backend, dbn, exact
from dbn_lite.errors import InputError
from dbn_lite.updown import UpDown


def mini_batches(n, batch_size=20, seed=0):
    """Images and labels for n mini-batches of the tiny net."""
    rng, ops = np.random.default_rng(seed), backend.current()
    for _ in range(n):
        labels = np.eye(LAB)[rng.integers(LAB, size=batch_size)]
        yield ops.asarray(rng.random((batch_size, VIS))), ops.asarray(labels)


def test_the_first_chains_go_on_from_where_they_stand_and_the_others_from_the_data(monkeypatch):
    learner, began, ended, from_data = UpDown(nets()[0], 20, n_wandering=5), [], [], []
    ops, matmul, below = backend.current(), backend.current().matmul, learner.gibbs_sampling

    def watched_product(a, b, out):
        if a is learner.topstates and len(began) == len(ended):  # the first way down of this mini-batch
            began.append(a.copy())
        return matmul(a, b, out)

    def watched(n_gibbs, rng):
        from_data.append(learner.topstates.copy())
        below(n_gibbs, rng)
        ended.append(learner.topstates.copy())

    monkeypatch.setattr(ops, "matmul", watched_product)
    learner.gibbs_sampling = watched
    rng = ops.random(0)
    for images, targets in mini_batches(4):
        learner.step(images, targets, rng, 3, 0.1)
    assert len(began) == 4
    assert (began[0][:5] == 0).all()
    for start, before in zip(began[1:], ended[:-1], strict=True):
        np.testing.assert_array_equal(start[:5], before[:5])
    for start, seen in zip(began, from_data, strict=True):
        np.testing.assert_array_equal(start[5:], seen[5:])
        assert (start[:5] != seen[:5]).any()


def in_the_valley(net):
    """The exact probability of penultimate states with most units off, where no image leads."""
    memory = exact.top_machine({name: np.float64(a) for name, a in net.arrays().items()})
    p = np.exp(exact.log_prob(memory))
    return p[memory.v_states[:, : net.n_pen].sum(axis=1) < 2].sum()


def test_a_valley_that_no_image_visits_empties_when_some_chains_wander():
    """The penultimate units are all on for any image; the memory finds them all off far more probable."""
    sign = {"penrecbiases": 8.0, "hidpen": 0.0, "pentop": -4.0, "topbiases": 6.0, "labtop": 0.0, "pengenbiases": 5.0}
    start, left = nets(scale=0.3, **sign)[0], {}
    assert in_the_valley(start) > 0.9
    for name, n_wandering in (("up-down", 0), ("wandering", 10)):
        learner = UpDown(dbn.from_arrays(start.arrays()), 20, n_wandering=n_wandering)
        rng = backend.current().random(1)
        for images, targets in mini_batches(800):
            learner.step(images, targets, rng, 2, 0.02)
        left[name] = in_the_valley(learner.net)
    assert left["up-down"] > 0.9
    assert left["wandering"] < 0.2


@pytest.mark.parametrize(("n", "why"), [(-1, "n_wandering is -1"), (21, "21 of 20 chains cannot wander; let 0 to 20")])
def test_more_chains_than_there_are_cannot_wander(n, why):
    with pytest.raises(InputError, match=why):
        UpDown(nets()[0], 20, n_wandering=n)


def test_a_single_iteration_is_refused_because_no_chain_would_move():
    learner = UpDown(nets()[0], 20, n_wandering=5)
    (images, targets), *_ = mini_batches(1)
    with pytest.raises(InputError, match="chains do not wander in 1 Gibbs iteration; take at least 2"):
        learner.step(images, targets, backend.current().random(0), 1, 0.1)
