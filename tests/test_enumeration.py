"""The enumeration of small nets in the live figures, under Node, against `exact` to a millionth."""

from typing import Any

import numpy as np
import pytest
from test_widgets import pytestmark, run  # noqa: F401

from dbn_lite import exact

DRAW = np.random.default_rng(11)
MACHINE = exact.BoltzmannMachine(*(1.5 * DRAW.normal(size=size) for size in ((4, 3), 4, 3)))
GIVEN = {"W": MACHINE.W, "visBias": MACHINE.vis_bias, "hidBias": MACHINE.hid_bias}
DATA = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]])
START = "const { exact } = DBN, { W, visBias, hidBias } = given, machine = { W, visBias, hidBias };"


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-6, atol=1e-6)


def test_states_are_in_the_same_order() -> None:
    close(run("return DBN.exact.states(4);"), exact.binary_states(4))


def test_distributions_of_a_machine() -> None:
    found = run(
        START + """return { v: exact.logVisible(machine), h: exact.logVisible(exact.flip(machine)),
            up: exact.logGiven(machine), down: exact.logGiven(exact.flip(machine)) };""",
        **GIVEN,
    )  # fmt: skip
    close(found["v"], exact.log_prob(MACHINE))
    close(found["h"], exact.log_prob_h(MACHINE))
    close(found["up"], np.log(exact.prob_h_given_v(MACHINE, MACHINE.v_states)))
    close(found["down"], np.log(exact.prob_v_given_h(MACHINE, MACHINE.h_states)))


@pytest.mark.parametrize("n_gibbs", [1, 2, 7])
def test_gradients_and_divergences(n_gibbs: int) -> None:
    p0 = exact.data_distribution(MACHINE, DATA)
    found = run(
        START + """const { p0, k } = given, logs = exact.logVisible(machine), p = exact.afterGibbs(machine, p0, k);
            return { ml: exact.gradient(machine, p0, logs.map(Math.exp)), cd: exact.gradient(machine, p0, p),
                     kl: [exact.kl(p0, logs), exact.kl(p, logs)], p };""",
        p0=p0, k=n_gibbs, **GIVEN,
    )  # fmt: skip
    gradients = {"ml": exact.ml_gradient(MACHINE, DATA), "cd": exact.expected_cd_gradient(MACHINE, DATA, n_gibbs)}
    for name, (W, vis_bias, hid_bias) in gradients.items():
        close(found[name]["W"], W)
        close(found[name]["visBias"], vis_bias)
        close(found[name]["hidBias"], hid_bias)
    close(found["kl"], exact.contrastive_divergence(MACHINE, p0, n_gibbs)[:2])
    close(found["p"], exact.after_gibbs(MACHINE, p0, n_gibbs))


def test_adding_a_multiple_reaches_every_parameter() -> None:
    found = run(START + "return exact.added(machine, machine, 0.5);", **GIVEN)
    for name, value in GIVEN.items():
        close(found[name], 1.5 * value)


@pytest.mark.parametrize("depth", [1, 2])
def test_the_bound_and_its_parts(depth: int) -> None:
    """Energy, entropy and log p(v) of every visible state, below one and two hidden layers and a prior."""
    lower = exact.BoltzmannMachine(*(DRAW.normal(size=size) for size in ((3, 4), 3, 4)))
    weights, biases = [lower.W.T, MACHINE.W.T][:depth], [lower.vis_bias, lower.hid_bias, MACHINE.hid_bias][: depth + 1]
    log_prior = DRAW.normal(size=2 ** len(biases[-1]))
    log_prior -= exact.log_sum(log_prior)
    # The upper machine's visible biases generate layer 1, whose recognition takes the lower machine's hidden ones.
    net = exact.BeliefNet(weights, [lower.vis_bias, *([MACHINE.vis_bias] * (depth - 1)), biases[-1]], log_prior)
    up_weights, up_biases = [lower.W, MACHINE.W][:depth], [lower.hid_bias, MACHINE.hid_bias][:depth]
    found = run(
        START + """const lower = { W: given.below, visBias: given.belowVis, hidBias: given.belowHid };
            return exact.bound([lower, machine].slice(0, given.depth), given.prior);""",
        below=lower.W, belowVis=lower.vis_bias, belowHid=lower.hid_bias, prior=log_prior, depth=depth, **GIVEN,
    )  # fmt: skip
    for i, v in enumerate(exact.binary_states(3)):
        part = exact.variational_bound(net, v, exact.up_pass_posterior(v, up_weights, up_biases))
        close([found[name][i] for name in ("logProb", "energy", "entropy")], [part.log_prob, part.energy, part.entropy])


@pytest.mark.parametrize("seed", range(6))
def test_the_best_factorial_approximation(seed: int) -> None:
    log_p = 4 * np.random.default_rng(seed).normal(size=2 ** (2 + seed % 2))
    log_p -= exact.log_sum(log_p)
    found = run("return DBN.exact.bestFactorial(given.logP);", logP=log_p)
    q, kl = exact.best_factorial(np.exp(log_p))
    close(found["q"], q)
    close(found["kl"], kl)


def test_the_best_approximation_commits_itself_to_one_cause() -> None:
    """The house that jumped: either cause alone, never a mixture of both."""
    log_p = np.log([4.5e-5, 0.499955, 0.499955, 4.5e-5])
    found = run("return DBN.exact.bestFactorial(given.logP);", logP=log_p)
    _, kl = exact.best_factorial(np.exp(log_p))
    close(found["kl"], kl)
    assert sorted(round(q) for q in found["q"]) == [0, 1]
    assert max(abs(q - round(q)) for q in found["q"]) < 1e-3


def test_layers_follow_one_another() -> None:
    p0 = exact.data_distribution(MACHINE, DATA)
    found = run(START + "return exact.spread(given.p0, exact.logGiven(machine));", p0=p0, **GIVEN)
    close(found, p0 @ exact.prob_h_given_v(MACHINE, MACHINE.v_states))
