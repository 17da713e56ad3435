"""The record of likelihoods: each number against enumeration on a small net, and what the file holds."""

import json

import numpy as np
import pytest
from tiny import LAB, PEN, VIS, nets

from dbn_lite import backend, data, exact, store
from dbn_lite.dataset import Dataset
from dbn_lite.errors import InputError
from dbn_lite.paper import likelihood
from dbn_lite.study import ais

SETTINGS = {"chains": 400, "betas": 60, "plain_betas": 40, "gibbs_steps": 20, "passes": 200, "seed": 0}


def dataset(n=1000):
    rng = np.random.default_rng(0)
    images, labels = rng.random((n, VIS), dtype=np.float32), (np.arange(n) % LAB).astype(np.uint8)
    return Dataset("mnist", images, labels, images[:40], labels[:40], (1, VIS))


def test_binarised_images_are_black_and_white_with_the_grey_values_as_means():
    grey = np.tile(np.array([0.0, 0.25, 0.9, 1.0], dtype=np.float32), (20_000, 1))
    found = likelihood.binarised(grey)
    assert set(np.unique(found)) == {0, 1}
    np.testing.assert_allclose(found.mean(axis=0), grey[0], atol=0.02)
    assert (found[:, 0] == 0).all()
    assert (found[:, 3] == 1).all()
    np.testing.assert_array_equal(found, likelihood.binarised(grey))
    assert (found != likelihood.binarised(grey, seed=1)).any()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_silent_part_of_z_is_that_of_states_with_at_most_one_unit_on(seed):
    net, arrays = nets(seed)
    machine = exact.top_machine(arrays)
    silent = machine.v_states[machine.v_states[:, :PEN].sum(axis=1) <= 1]
    assert len(silent) == (1 + PEN) * LAB
    want = exact.log_sum(-exact.free_energy(machine, silent))
    assert likelihood.silent_log_z(net) == pytest.approx(float(want), abs=1e-5)
    assert likelihood.silent_log_z(net) < exact.log_partition(machine)


def test_states_of_the_memory_start_at_the_images_and_run():
    net, _ = nets(3)
    images, labels = np.eye(VIS, dtype=np.float32), np.array([0, 1, 1, 0, 1])
    at_once = likelihood.memory_states(net, images, labels, 0)
    np.testing.assert_array_equal(at_once[:, PEN:], np.eye(LAB)[labels])
    assert set(np.unique(at_once)) <= {0, 1}
    later = likelihood.memory_states(net, images, labels, 30)
    assert (later != at_once).any()
    assert (later[:, PEN:].sum(axis=1) == 1).all()


def test_a_faint_page_has_less_ink_than_digits():
    inked = {"hidvis": 0, "hidgenbiases": 0, "visgenbiases": [9, -9, -9, -9, -9]}  # every page shows one pixel
    net, _ = nets(0, **inked)
    states = np.zeros((3, PEN + LAB), np.float32)
    for pixels, faint in ((3, True), (1, False)):
        images = np.tile(np.float32(0.9) * (np.arange(VIS) < pixels), (1000, 1))
        none = np.zeros(1000, int)
        found = likelihood.faint(net, Dataset("x", images, none, images, none, (1, VIS)), states)
        assert found.tolist() == [faint] * 3


def test_log_partitions_are_those_of_enumeration():
    net, arrays = nets(4)
    found, truth = likelihood.log_partitions(net, dataset(), SETTINGS), exact.log_partition(exact.top_machine(arrays))
    assert set(found) == {"plain", "awake", "awake reverse", "digits", "digits reverse"}
    for name in ("plain", "awake", "awake reverse"):
        assert abs(found[name].log_z - truth) < 4 * found[name].standard_error
    inked = ~likelihood.faint(net, dataset(), found["awake"].ends)
    assert found["digits"].log_z == pytest.approx(found["awake"].within(inked).log_z)


def test_where_no_chain_ends_at_a_digit_nothing_is_said_of_digits(tmp_path):
    digits, (net, _) = dataset(), nets(4)
    digits.test_images[:] = 1  # more ink than any page of this net has
    assert set(likelihood.log_partitions(net, digits, SETTINGS)) == {"plain", "awake", "awake reverse"}
    store.save(net, tmp_path / "small.npz")
    row = likelihood.measure(tmp_path / "small.npz", digits, SETTINGS)
    assert "digits" not in row
    assert set(row["binary"]) == {"all", "awake", "standard_error"}


def test_the_row_of_a_net_holds_bounds_that_fit_its_log_z(tmp_path):
    net, arrays = nets(4)
    store.save(net, tmp_path / "small.npz")
    row = likelihood.measure(tmp_path / "small.npz", dataset(), SETTINGS)
    assert row["net"] == "small"
    assert row["seconds"] > 0
    truth, images = exact.log_partition(exact.top_machine(arrays)), likelihood.binarised(dataset().test_images)
    assert row["awake"]["log_z"] == pytest.approx(truth, abs=4 * row["awake"]["standard_error"] + 1e-3)
    weights, biases = (arrays["vishid"], arrays["hidpen"]), (arrays["hidrecbiases"], arrays["penrecbiases"])
    whole = exact.generative_net(arrays)
    by_image = [exact.variational_bound(whole, v, exact.up_pass_posterior(v, weights, biases)) for v in images]
    want = np.mean([found.bound for found in by_image])
    assert row["binary"]["awake"] == pytest.approx(want + truth - row["awake"]["log_z"], abs=0.15)
    assert row["binary"]["all"] < row["binary"]["awake"] <= row["binary"]["digits"]
    assert row["grey"]["all"] != row["binary"]["all"]


def test_the_record_keeps_rows_of_other_nets_and_replaces_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name: {"mnist": dataset()}[name])
    for seed, name in enumerate(("one", "two")):
        store.save(nets(seed)[0], tmp_path / f"{name}.npz")
    quick, out = SETTINGS | {"chains": 20, "betas": 5, "plain_betas": 5, "passes": 1}, tmp_path / "out.json"
    likelihood.record([tmp_path / "one.npz"], out, quick)
    likelihood.record([tmp_path / "two.npz"], out, quick)
    before, other = out.read_bytes(), quick | {"seed": 1}
    with pytest.raises(InputError, match=r"out.json keeps nets measured with other settings; measure these again"):
        likelihood.record([tmp_path / "one.npz"], out, other)
    assert out.read_bytes() == before
    likelihood.record([tmp_path / "one.npz", tmp_path / "two.npz"], out, other)
    result = likelihood.record([tmp_path / "one.npz"], out, other)
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written == result
    assert [row["net"] for row in written["rows"]] == ["two", "one"]
    assert {"settings", "versions", "device", "seconds", "date", "commit", "data", "published"} <= set(written)
    assert written["settings"]["seed"] == 1
    assert all(line["nats"] < -80 for line in written["published"])


def test_it_runs_in_float64_whatever_the_net_is():
    net, _ = nets(0)
    assert backend.current().to_numpy(net.vishid).dtype == np.float32
    estimate = ais.forward(net.top, np.linspace(0, 1, 3), 4)
    assert estimate.log_ratios.dtype == estimate.ends.dtype == np.float64
    assert ais.log_weights(net, np.zeros((2, VIS))).dtype == np.float64


def test_states_at_equilibrium_are_drawn_by_weight_and_then_run():
    net, arrays = nets(4)
    machine = exact.top_machine(arrays)
    one, other = np.r_[1, 0, 1, 1, 0], np.r_[0, 1, 0, 0, 1]
    found = ais.Estimate(np.repeat(np.log([1.0, 3.0]) + 800, 10_000), np.repeat([one, other], 10_000, axis=0) * 1.0)
    at_once = likelihood.equilibrium(net, found, 0)
    assert set(map(tuple, at_once)) == {tuple(one), tuple(other)}
    assert (at_once == other).all(axis=1).mean() == pytest.approx(0.75, abs=0.02)
    want = np.exp(exact.log_prob(machine)) @ machine.v_states
    np.testing.assert_allclose(likelihood.equilibrium(net, found, 40).mean(axis=0), want, atol=0.02)
