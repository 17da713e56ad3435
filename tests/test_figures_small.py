"""The live figures on nets small enough to enumerate, in a browser: every number that they show against `exact`."""

import re
from typing import Any

import numpy as np
import pytest
from test_figures import Opened, pytestmark  # noqa: F401
from test_widgets import run

from dbn_lite import exact, widgets


@pytest.fixture
def opened(browser: Any, site: str, folder: Any) -> Any:
    """Opens a figure by name; all are closed in the end, with nothing to complain of."""
    visits: list[Opened] = []

    def open_figure(name: str, **options: Any) -> Opened:
        visits.append(Opened(browser, site, folder, {name: options}))
        return visits[-1]

    yield open_figure
    for visit in visits:
        assert visit.complaints == []
        visit.close()


def numbers(text: str) -> list[float]:
    """The decimal numbers of a text, in order; e is a power of ten."""
    return [float(x) for x in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text.replace("−", "-"))]


def bars(visit: Opened, label: str) -> list[float]:
    texts = visit.page.get_by_role("group", name=label, exact=True).locator("output").all_inner_texts()
    return [float(text.replace("−", "-")) for text in texts]


def keys(visit: Opened, label: str, key: str, times: int = 1) -> None:
    """Press a key on a control, several times."""
    for _ in range(times):
        visit.page.get_by_label(label, exact=True).press(key)
    visit.settle()


# Explaining away


def jumping(bias: Any = (-10, -10, -20), weight: Any = (20, 20)) -> exact.BeliefNet:
    return exact.BeliefNet([np.reshape(weight, (2, 1))], [bias[2:], bias[:2]])


def unit(visit: Opened, name: str, said: str = "") -> Any:
    """A unit of the net, as the button that it is, perhaps when it says what is observed."""
    return visit.page.get_by_role("button", name=re.compile(f"^{name} {said}"))


def correlation(p: np.ndarray) -> float:
    """Of the two causes, from the probabilities of neither, the truck, the earthquake and both."""
    on = exact.binary_states(2).T @ p
    return float((p[3] - on.prod()) / np.sqrt((on * (1 - on)).prod()))


def close(found: Any, expected: Any) -> None:
    """To what is printed: four decimals, or two digits of what is small."""
    np.testing.assert_allclose(found, expected, rtol=0.06, atol=6e-5 if np.max(np.abs(expected)) > 0.01 else 0)


def test_explaining_away_by_the_papers_numbers(opened: Any) -> None:
    visit, posterior = opened("explaining"), exact.net_posterior(jumping(), [1])
    close(bars(visit, "Exact posterior P"), posterior)
    q, kl = exact.best_factorial(posterior)
    assert sorted(bars(visit, "Best factorial Q")) == pytest.approx(sorted(exact.factorial(q)), abs=1e-4)
    assert numbers(visit.text(".dbn-status"))[6] == pytest.approx(kl, abs=6e-4)
    assert numbers(visit.text(".dbn-status"))[3] == pytest.approx(correlation(posterior), abs=6e-4)
    cells = [numbers(text) for text in visit.page.locator("td:has(strong)").all_inner_texts()]
    prior = exact.net_log_prior(jumping())
    likelihood = exact.log_conditional(jumping(), 0)[:, 1]
    for (p, log_prior, log_likelihood), *expected in zip(cells, posterior, prior, likelihood, strict=True):
        assert p == pytest.approx(expected[0], rel=0.06)
        assert (log_prior, log_likelihood) == pytest.approx(expected[1:], abs=0.051)
    assert "both at once have e to the -20.0 times" in visit.text(".dbn-status")


def test_observing_the_truck_explains_the_earthquake_away(opened: Any) -> None:
    visit, net = opened("explaining"), jumping()
    posterior = exact.net_posterior(net, [1])
    unit(visit, "Truck").click()
    unit(visit, "Truck", "observed on").wait_for()
    given = posterior * [0, 1, 0, 1] / posterior[[1, 3]].sum()
    close(bars(visit, "Exact posterior P"), given)
    close(bars(visit, "Best factorial Q"), given)  # one free unit is always independent
    assert numbers(visit.text(".dbn-status"))[0] == pytest.approx(given[3], rel=0.06)
    unit(visit, "Truck").press("Enter")  # observed off, by key
    given = posterior * [1, 0, 1, 0] / posterior[[0, 2]].sum()
    visit.settle()
    close(bars(visit, "Exact posterior P"), given)


def test_without_the_effect_the_causes_are_independent(opened: Any) -> None:
    visit = opened("explaining")
    for said in ("observed off", r"\d"):
        unit(visit, "House jumps").press("Space")
        unit(visit, "House jumps", said).wait_for()
        visit.settle()
        p = exact.net_posterior(jumping(), [0]) if said == "observed off" else np.exp(exact.net_log_prior(jumping()))
        close(bars(visit, "Exact posterior P"), p)
    earthquake, truck, jumps, together, *_ = numbers(visit.text(".dbn-status"))
    close([earthquake, truck], [p[2:].sum()] * 2)
    close(jumps, np.exp(exact.net_log_prob(jumping(), [1]))[0])
    assert together == 0


def test_sliders_change_the_net_and_the_paper_comes_back(opened: Any) -> None:
    visit = opened("explaining")
    keys(visit, "Bias of truck", "ArrowRight", 12)  # by 6, to -4
    keys(visit, "Weight of earthquake", "ArrowLeft", 7)  # by 3.5, to 16.5
    net = jumping((-10, -4, -20), (16.5, 20))
    posterior = exact.net_posterior(net, [1])
    close(bars(visit, "Exact posterior P"), posterior)
    q, _ = exact.best_factorial(posterior)
    close(bars(visit, "Best factorial Q"), exact.factorial(q))
    assert numbers(visit.text(".dbn-status"))[3] == pytest.approx(correlation(posterior), abs=6e-4)
    assert posterior[1] > 0.9 > 0.1 > posterior[2]
    visit.press("The paper's numbers")
    close(bars(visit, "Exact posterior P"), exact.net_posterior(jumping(), [1]))


# The infinite net

TINY = widgets.InfiniteNet.MACHINE
UPPER = exact.BoltzmannMachine(widgets.InfiniteNet.OTHER_W, TINY.vis_bias, TINY.hid_bias)


def cut(depth: int, tied: bool = True) -> exact.BeliefNet:
    """V0 <- H0 <- V1 <- ... with independent units at the top."""
    above = TINY if tied else UPPER
    weights = [TINY.W.T, *([above.W, above.W.T][k % 2] for k in range(depth - 1))]
    return exact.BeliefNet(weights, [[TINY.vis_bias, TINY.hid_bias][k % 2] for k in range(depth + 1)])


def by_hand(depth: int, tied: bool, v: list[int]) -> list[float]:
    """Interactions in H0 of prior, likelihood and posterior, and KL(Q || P) of the up-pass, from the whole joint."""
    joint = exact.net_log_joint(cut(depth, tied)).reshape(8, 4, -1)
    both = exact.log_sum(joint, axis=2)
    prior, given_v = exact.log_sum(both, axis=0), both[exact.state_index(v, 3)[0]]
    posterior = given_v - exact.log_sum(given_v)
    interactions = [float(np.array([1, -1, -1, 1]) @ x) for x in (prior, given_v - prior, posterior)]
    return [*interactions, exact.kl(exact.prob_h_given_v(TINY, v)[0], np.exp(posterior))]


def shown(visit: Opened) -> list[float]:
    return [*numbers(visit.text(".dbn-formula")), numbers(visit.text(".dbn-status"))[0]]


def states(visit: Opened, layer: str) -> list[list[int]]:
    """The states of a layer: the chain's and the net's."""
    label = visit.page.get_by_role("button", name=re.compile(f"^{layer}:")).get_attribute("aria-label")
    return [[int(x) for x in side] for side in label.split(": ")[1].split(",")]


@pytest.mark.parametrize("tied", [True, False])
def test_interactions_in_the_unrolled_net(opened: Any, tied: bool) -> None:
    visit = opened("infinite")
    if not tied:
        visit.page.get_by_label("Tied weights").press("Space")
    for depth in range(1, 7):
        visit.says(f"Layers above the data: {depth}.")
        assert shown(visit) == pytest.approx(by_hand(depth, tied, [1, 0, 1]), abs=6e-4)
        visit.press("Step")
    for _ in range(3):
        visit.press("Step")  # as far as it goes, 8 layers
    visit.says("Layers above the data: 8.")
    prior, likelihood, posterior, off = shown(visit)
    assert prior == pytest.approx(np.array([1, -1, -1, 1]) @ widgets.InfiniteNet.log_prior(8, tied), abs=6e-4)
    complementary = np.array([1, -1, -1, 1]) @ exact.log_prob_h(TINY)  # of the net without end
    assert likelihood == pytest.approx(-complementary, abs=6e-4)
    assert (abs(posterior) < 0.25 and off < 0.02) == tied
    visit.choose("Data v0", "010")
    assert shown(visit)[:3] == [prior, likelihood, posterior]  # the same for every v
    visit.choose("Data v0", "110")
    visit.press("Reset")
    assert shown(visit) == pytest.approx(by_hand(1, tied, [1, 1, 0]), abs=6e-4)


def test_chain_and_net_are_in_the_same_states_when_tied(opened: Any) -> None:
    visit, seen, differ = opened("infinite"), [], 0
    for _ in range(7):
        visit.press("Step")
    visit.choose("Data v0", "000")
    p_h = exact.mean_h_from_v(TINY, [0, 0, 0])[0]  # neither nearly certain
    for seed in range(40):
        visit.type("Seed", seed)
        layers = [states(visit, f"{'VH'[k % 2]}{k // 2}") for k in range(9)]
        assert layers[0] == [[0, 0, 0]] * 2
        assert all(chain == net for chain, net in layers)
        visit.says("in the same states")
        seen.append(layers[1][0])
    assert np.all(np.abs(np.mean(seen, axis=0) - p_h) < 4 * np.sqrt(p_h * (1 - p_h) / 40))
    visit.page.get_by_label("Tied weights").press("Space")
    for seed in range(5):
        visit.type("Seed", seed)
        h0, v1 = states(visit, "H0"), states(visit, "V1")
        assert h0[0] == h0[1] == seen[seed]  # W leads there in both
        differ += v1[0] != v1[1]
        visit.page.get_by_role("button", name=re.compile("^V1:")).click()
        visit.says("Layer V1:")
        expected = exact.mean_v_from_h(UPPER, [h0[1]])[0]
        assert numbers(visit.text(".dbn-status"))[1:] == pytest.approx(expected, abs=6e-4)
    assert differ


# Learning by contrastive divergence

PATTERNS = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])


def first_machine(seed: int, width: float) -> exact.BoltzmannMachine:
    """A machine of 4 and 4 units with the weights, of that width, that the figures draw from a seed."""
    u = run("const rng = DBN.random(given.seed); return Array.from({ length: 16 }, rng);", seed=seed)
    return exact.BoltzmannMachine(width * (np.reshape(u, (4, 4)) - 0.5), np.zeros(4), np.zeros(4))


def moved(machine: exact.BoltzmannMachine, way: exact.Statistics, rate: float) -> exact.BoltzmannMachine:
    return exact.BoltzmannMachine(
        machine.W + rate * way.W, machine.vis_bias + rate * way.vis_bias, machine.hid_bias + rate * way.hid_bias
    )


def angle_and_length(way: exact.Statistics, ml: exact.Statistics) -> tuple[float, float]:
    a, b = (np.concatenate([part.ravel() for part in g]) for g in (ml, way))
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    return float(np.degrees(np.arccos(min(1, a @ b / lengths[0] / lengths[1])))), float(lengths[1] / lengths[0])


@pytest.mark.parametrize(("k", "seed"), [(1, 0), (3, 4)])
def test_learning_takes_the_mean_steps_of_contrastive_divergence(opened: Any, k: int, seed: int) -> None:
    visit, machine = opened("learning"), first_machine(seed, 4)
    visit.type("Seed", seed)
    visit.choose("k", str(k))
    p0 = exact.data_distribution(machine, PATTERNS)
    for update in range(41):
        way, ml = exact.expected_cd_gradient(machine, PATTERNS, k), exact.ml_gradient(machine, PATTERNS)
        if update in (0, 1, 40):
            visit.says(f"Updates: {update}.")
            *divergences, angle, length = numbers(visit.text(".dbn-status"))
            assert divergences == pytest.approx(exact.contrastive_divergence(machine, p0, k), abs=6e-5)
            assert (angle, length) == pytest.approx(angle_and_length(way, ml), abs=0.06)
        machine = moved(machine, way, 1.0)
        visit.page.get_by_role("button", name="Step").click()
    p = np.exp(exact.log_prob(machine, PATTERNS))
    visit.settle()
    assert bars(visit, "P∞") == pytest.approx([*p, 1 - p.sum()], abs=6e-4)
    visit.press("Reset")
    visit.says("Updates: 0.")
    assert numbers(visit.text(".dbn-status"))[0] == pytest.approx(
        exact.contrastive_divergence(first_machine(seed, 4), p0, k)[0], abs=6e-5
    )


def test_learning_by_the_exact_gradient_follows_it(opened: Any) -> None:
    visit, machine = opened("learning"), first_machine(0, 4)
    visit.choose("Learn by", "exact gradient")
    keys(visit, "Rate", "ArrowRight", 5)  # to 1.5
    for _ in range(20):
        machine = moved(machine, exact.ml_gradient(machine, PATTERNS), 1.5)
    for _ in range(20):
        visit.page.locator(".dbn-figure").press("s")
    visit.says("Updates: 20.")
    of_data, _, _, angle, length = numbers(visit.text(".dbn-status"))
    p0 = exact.data_distribution(machine, PATTERNS)
    assert of_data == pytest.approx(exact.contrastive_divergence(machine, p0, 1)[0], abs=6e-5)
    assert (angle, length) == (0, 1)


# The bound


class Greedy:
    """The same learning, by `exact`: maximum likelihood, new layers tied to the one below."""

    def __init__(self, first: exact.BoltzmannMachine, rate: float = 0.2) -> None:
        self.layers: list[exact.BoltzmannMachine] = []
        self.top, self.rate = first, rate
        self.data = exact.data_distribution(first, PATTERNS)

    def update(self) -> None:
        up = exact.data_statistics(self.top, self.top.v_states, self.data)
        self.top = moved(self.top, up.minus(exact.model_statistics(self.top)), self.rate)

    def add(self) -> None:
        self.data = self.data @ exact.prob_h_given_v(self.top, self.top.v_states)
        self.layers.append(self.top)
        self.top = exact.BoltzmannMachine(self.top.W.T, self.top.hid_bias, self.top.vis_bias)

    def bounds(self) -> list[exact.Bound]:
        """Of every pattern, the up-pass by the frozen layers' transposed weights."""
        if not self.layers:
            return [exact.variational_bound(exact.unroll(self.top, 1), v) for v in PATTERNS]
        below = [machine.vis_bias for machine in self.layers]
        # The biases of the top layer enter by the prior alone.
        net = exact.BeliefNet([m.W.T for m in self.layers], [*below, np.zeros(4)], exact.log_prob(self.top))
        recognition = [m.W for m in self.layers], [m.hid_bias for m in self.layers]
        return [exact.variational_bound(net, v, exact.up_pass_posterior(v, *recognition)) for v in PATTERNS]


def compare(visit: Opened, greedy: Greedy) -> tuple[float, float]:
    """Hold every bar of the figure, and its words, to the enumeration; gives the mean log p(v) and bound."""
    parts = greedy.bounds()
    rows = np.array([[-part.log_prob, part.gap, part.entropy] for part in parts])
    rows = np.vstack([rows.mean(axis=0), rows])
    stacks = visit.page.get_by_role("group", name="Energy").get_by_role("img")
    labels = [numbers(stacks.nth(i).get_attribute("aria-label") or "") for i in range(5)]
    np.testing.assert_allclose(labels, rows, atol=6e-4)
    assert bars(visit, "Energy") == pytest.approx([np.mean([p.energy for p in parts]), *(p.energy for p in parts)],
                                                  abs=6e-4)  # fmt: skip
    drawn = [[segment.bounding_box()["width"] for segment in stacks.nth(i).locator("i").all()] for i in range(5)]
    np.testing.assert_allclose(drawn / np.sum(drawn), rows / rows.sum(), atol=2e-3)  # as long as they are large
    log_p, bound = float(-rows[0, 0]), float(-rows[0, 0] - rows[0, 1])
    assert numbers(visit.text(".dbn-status"))[:2] == pytest.approx([log_p, bound], abs=6e-5)
    return log_p, bound


def test_the_bound_is_tight_when_tied_and_rises_after(opened: Any) -> None:
    visit, greedy, tight = opened("bound"), Greedy(first_machine(0, 6)), []
    for _ in range(4):
        log_p, bound = compare(visit, greedy)
        tight.append(log_p - bound)
        greedy.update()
        visit.press("Step")
    frozen, bound = compare(visit, greedy)
    greedy.add()
    visit.press("Step")
    visit.says("Layer 2 of 3, update 0")
    tight += [frozen - bound, np.subtract(*compare(visit, greedy))]
    assert np.abs(tight).max() < 1e-9
    said = [frozen]
    for _ in range(40):
        greedy.update()
        visit.page.locator(".dbn-figure").press("s")
        visit.settle()
        log_p, bound = numbers(visit.text(".dbn-status"))[:2]
        assert bound > said[-1] - 1e-4
        assert log_p > frozen - 1e-4
        said.append(bound)
    compare(visit, greedy)
    assert said[-1] > frozen + 0.05  # a good deal
    assert log_p > bound + 0.05  # no longer tight
    assert f"both were {frozen:.4f}" in visit.text(".dbn-status")
    greedy.add()
    visit.press("Step")
    compare(visit, greedy)
    for _ in range(40):
        greedy.update()
    visit.press("Finish this layer")
    compare(visit, greedy)
    visit.press("Step")
    visit.says("Layer 3 of 3, update 40 of 40")  # the end
    visit.press("Reset")
    compare(visit, Greedy(first_machine(0, 6)))


# The stills


STILLS = [widgets.ExplainingAway(), widgets.InfiniteNet(), widgets.LearningCD(), widgets.Bound()]


@pytest.mark.parametrize("widget", STILLS, ids=lambda widget: widget.NAME)
def test_without_javascript_a_still_and_its_question_stand_there(widget: widgets.Figure) -> None:
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert f'data-dbn-widget="{widget.NAME}"' in page
    assert re.search(r'<img src="data:image/webp;base64,UklGR[^"]+" alt="[^"]{20,}">', page)
    assert len(page) < 40_000
    assert "?" in widget.caption
