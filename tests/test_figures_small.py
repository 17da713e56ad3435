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


# The book's picture

NIGHT = widgets.InfiniteNet.MACHINE
UPPER = exact.BoltzmannMachine(widgets.InfiniteNet.OTHER_W, NIGHT.vis_bias, NIGHT.hid_bias)
H, V = exact.binary_states(2), exact.binary_states(3)


def charted(visit: Opened, title: str, n_kinds: int) -> np.ndarray:
    """The numbers of a chart, (n_kinds, columns), as it tells them to those who do not see it."""
    visit.settle()
    label = visit.page.locator(f"svg[aria-label^='{title}']").get_attribute("aria-label") or ""
    return np.reshape(numbers(label), (n_kinds, -1))


def beliefs(visit: Opened) -> np.ndarray:
    """The columns of P and of Q, (2, 4), each as high as it says."""
    found = charted(visit, "Belief in the causes", 2)
    columns = visit.page.locator("svg[aria-label^='Belief in the causes'] rect")
    heights = columns.evaluate_all("all => all.map((rect) => Number(rect.getAttribute('height')))")
    drawn = np.reshape(heights, (2, 4))
    np.testing.assert_allclose(drawn / drawn.sum(axis=1, keepdims=True), found, atol=1.5e-3)
    return found


def unit(visit: Opened, name: str) -> Any:
    """A unit of the picture, as the button that it is."""
    return visit.page.get_by_role("button", name=re.compile(f"^{name}:"))


def press_to(visit: Opened, v: Any) -> None:
    """Press the visible units until they are in a state."""
    for name, on in zip(("house jumps", "lamp swings", "dog barks"), v, strict=True):
        if f"observed {'on' if on else 'off'}" not in (unit(visit, name).get_attribute("aria-label") or ""):
            unit(visit, name).press("Enter")
    visit.settle()


def large(visit: Opened) -> float:
    return numbers(visit.text(".dbn-large"))[0]


# Chapter 1: explaining away

PAPERS = exact.BeliefNet([[[20, 10, 0], [20, 0, 10]]], [[-20, -5, -5], [-10, -10]])


def given(net: exact.BeliefNet, v: tuple[int | None, ...], h: tuple[int | None, ...] = (None, None)) -> np.ndarray:
    """p(causes | what is observed), (4,), from the whole joint; None is not observed."""
    joint = np.exp(exact.net_log_joint(net))
    for axis, (states, seen) in enumerate(((V, v), (H, h))):
        fits = np.all([[x is None or x == on for x, on in zip(seen, state, strict=True)] for state in states], axis=1)
        joint = joint * np.expand_dims(fits, 1 - axis)
    return joint.sum(axis=0) / joint.sum()


def explained(visit: Opened, posterior: np.ndarray) -> None:
    """Hold columns, table and words to a posterior."""
    found = beliefs(visit)
    assert found[0] == pytest.approx(posterior, abs=6e-4)
    quake, truck, together, q_quake, q_truck, kl = numbers(visit.text(".dbn-status"))
    assert (quake, truck) == pytest.approx((posterior[2:].sum(), posterior[1::2].sum()), rel=6e-3)
    on = np.array([posterior[2:].sum(), posterior[1::2].sum()])
    scale = np.sqrt((on * (1 - on)).prod())
    assert together == pytest.approx((posterior[3] - on.prod()) / scale if scale else 0, abs=6e-4)
    assert found[1] == pytest.approx(exact.factorial([q_quake, q_truck]), abs=6e-3)
    assert kl == pytest.approx(exact.kl(exact.factorial([q_quake, q_truck]), posterior), abs=2e-3)


def test_explaining_away_by_the_papers_numbers(opened: Any) -> None:
    visit, posterior = opened("explaining"), given(PAPERS, (1, None, None))
    assert posterior == pytest.approx(exact.net_posterior(exact.BeliefNet([[[20], [20]]], [[-20], [-10, -10]]), [1]))
    explained(visit, posterior)
    assert large(visit) == pytest.approx(np.array([1, -1, -1, 1]) @ np.log(posterior), abs=0.06)
    best = exact.best_factorial(posterior)[1]
    assert numbers(visit.text(".dbn-status"))[5] == pytest.approx(best, abs=6e-4)
    powers = [numbers(text)[-2:] for text in visit.page.locator("td:has(strong)").all_inner_texts()]
    jumps = exact.log_prob_logistic((20 * H.sum(axis=1) - 20)[:, None], np.ones((1, 1)))[:, 0]
    assert powers == pytest.approx(np.stack([exact.net_log_prior(PAPERS), jumps], axis=1), abs=0.051)


@pytest.mark.parametrize("name", ["truck", "lamp swings"])
def test_evidence_for_one_cause_explains_the_other_away(opened: Any, name: str) -> None:
    visit = opened("explaining")

    def expected(on: int) -> np.ndarray:
        return given(PAPERS, (1, None, None), (None, on)) if name == "truck" else given(PAPERS, (1, on, None))

    unit(visit, name).click()
    visit.page.get_by_role("button", name=f"{name}: observed on").wait_for()
    assert beliefs(visit)[0] == pytest.approx(expected(1), abs=6e-4)
    assert expected(1)[2 if name == "truck" else 1] < 0.01 < 0.99 < expected(1)[1 if name == "truck" else 2]
    unit(visit, name).press("Enter")  # observed off, by key
    assert beliefs(visit)[0] == pytest.approx(expected(0), abs=6e-4)
    unit(visit, name).press("Space")  # not observed
    explained(visit, given(PAPERS, (1, None, None)))


def test_without_the_effect_the_causes_are_independent(opened: Any) -> None:
    visit = opened("explaining")
    for seen in (0, None):
        unit(visit, "house jumps").press("Space")
        posterior = given(PAPERS, (seen, None, None))
        assert beliefs(visit)[0] == pytest.approx(posterior, abs=6e-4)
    assert numbers(visit.text(".dbn-status"))[2] == 0


def test_weights_and_biases_are_dragged(opened: Any) -> None:
    visit = opened("explaining")
    keys(visit, "Bias of truck", "ArrowRight", 12)  # by 6, to -4
    keys(visit, "Weight of earthquake, house jumps", "ArrowLeft", 7)  # by 3.5, to 16.5
    W, biases = np.array(PAPERS.weights[0]), [np.array(bias) for bias in PAPERS.biases]
    W[0, 0], biases[1][1] = 16.5, -4
    explained(visit, given(exact.BeliefNet([W], biases), (1, None, None)))
    handle = visit.page.get_by_label("Weight of truck, house jumps", exact=True)
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x, y + 22, steps=4)  # a tenth of the way from -30 to 30
    visit.page.mouse.up()
    W[1, 0] = float(handle.get_attribute("aria-valuenow"))
    assert W[1, 0] == 14
    explained(visit, given(exact.BeliefNet([W], biases), (1, None, None)))
    client = visit.page.context.new_cdp_session(visit.page)  # a finger
    for kind, down in (("touchStart", [y]), ("touchMove", [y - 11]), ("touchMove", [y - 22]), ("touchEnd", [])):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": at} for at in down]})
    W[1, 0] = 20
    explained(visit, given(exact.BeliefNet([W], biases), (1, None, None)))
    visit.choose("Numbers", "milder, as in chapter 2")
    explained(visit, given(exact.BeliefNet([NIGHT.W.T], [NIGHT.vis_bias, NIGHT.hid_bias]), (1, None, None)))


# Chapter 2: the infinite net


def by_hand(lowest: exact.BoltzmannMachine, above: exact.BoltzmannMachine, depth: int, v: list[int]) -> Any:
    """Interactions in H0 of likelihood, prior and posterior, KL(Q || P) of the up-pass, and P, from the whole joint."""
    weights = [lowest.W.T, *([above.W, above.W.T][k % 2] for k in range(depth - 1))]
    net = exact.BeliefNet(weights, [[lowest.vis_bias, lowest.hid_bias][k % 2] for k in range(depth + 1)])
    both = exact.log_sum(exact.net_log_joint(net).reshape(8, 4, -1), axis=2)
    prior, given_v = exact.log_sum(both, axis=0), both[exact.state_index(v, 3)[0]]
    posterior = given_v - exact.log_sum(given_v)
    interactions = [float(np.array([1, -1, -1, 1]) @ x) for x in (given_v - prior, prior, posterior)]
    return [*interactions, exact.kl(exact.prob_h_given_v(lowest, v)[0], np.exp(posterior))], np.exp(posterior)


@pytest.mark.parametrize("tied", [True, False])
def test_layers_on_top_cancel_the_competition_if_tied(opened: Any, tied: bool) -> None:
    visit, couplings = opened("infinite"), []
    if not tied:
        visit.page.get_by_label("Tied weights").press("Space")
    above = NIGHT if tied else UPPER
    for depth in range(1, 7):
        visit.says(f"Layers above the data: {depth}.")
        said, posterior = by_hand(NIGHT, above, depth, [1, 0, 0])
        assert numbers(visit.text(".dbn-status")) == pytest.approx(said, abs=6e-4)
        inferred = exact.prob_h_given_v(NIGHT, [1, 0, 0])[0]
        assert beliefs(visit) == pytest.approx(np.stack([posterior, inferred]), abs=6e-4)
        couplings.append(said[:3])
        assert charted(visit, "What couples", 3) == pytest.approx(np.transpose(couplings), abs=6e-4)
        assert large(visit) == pytest.approx(said[2], abs=6e-3)
        visit.press("Step")
    for _ in range(3):
        visit.press("Step")  # as far as it goes, 8 layers
    visit.says("Layers above the data: 8.")
    likelihood, prior, posterior, off = numbers(visit.text(".dbn-status"))
    assert prior == pytest.approx(np.array([1, -1, -1, 1]) @ widgets.InfiniteNet.log_prior(8, tied), abs=6e-4)
    complementary = np.array([1, -1, -1, 1]) @ exact.log_prob_h(NIGHT)  # of the net without end
    assert likelihood == pytest.approx(-complementary, abs=6e-4)
    assert (abs(posterior) < 0.25 and off < 0.03) == tied
    press_to(visit, [0, 1, 0])
    assert numbers(visit.text(".dbn-status"))[:3] == [likelihood, prior, posterior]  # the same for every v


def test_both_sets_of_weights_are_moved(opened: Any) -> None:
    visit = opened("infinite")
    visit.page.get_by_label("Tied weights").press("Space")
    for _ in range(3):
        visit.press("Step")
    keys(visit, "Upper weight of truck, dog barks", "PageUp", 2)
    keys(visit, "Weight of earthquake, lamp swings", "Home")
    press_to(visit, [1, 1, 0])
    lowest, above = (exact.BoltzmannMachine(m.W.copy(), m.vis_bias, m.hid_bias) for m in (NIGHT, UPPER))
    lowest.W[1, 0], above.W[2, 1] = -6, 1
    assert numbers(visit.text(".dbn-status")) == pytest.approx(by_hand(lowest, above, 4, [1, 1, 0])[0], abs=6e-4)
    visit.press("The book's weights")
    assert numbers(visit.text(".dbn-status")) == pytest.approx(by_hand(NIGHT, UPPER, 4, [1, 1, 0])[0], abs=6e-4)


# Chapter 3: folded


def test_every_layer_adds_its_term_of_equation_4(opened: Any) -> None:
    visit, machine = opened("folded"), NIGHT
    for v, weight, name in (([1, 0, 0], (0, 0), "earthquake, house jumps"), ([0, 1, 1], (2, 1), "truck, dog barks")):
        press_to(visit, v)
        visit.choose("Weight", name)
        found, terms = charted(visit, "What each layer adds", 3), exact.tied_gradient_terms(machine, [v])
        expected = np.array([next(terms)[weight] for _ in range(8)])
        np.testing.assert_allclose(found[0] + found[1], expected, atol=6e-4)
        np.testing.assert_allclose(found[2], np.cumsum(expected), atol=6e-4)
        for n in (1, 3):
            visit.choose("Stop the chain after", f"n = {n}: CD-{n}")
            found = charted(visit, "What each layer adds", 3)
            assert np.all(found[0, 2 * n :] == 0)
            assert np.all(found[1, : 2 * n] == 0)
            cd = exact.expected_cd_gradient(machine, [v], n).W[weight]
            whole, said = numbers(visit.text(".dbn-status"))[-2:]
            assert (whole, said) == pytest.approx((exact.ml_gradient(machine, [v]).W[weight], cd), abs=6e-5)
            assert large(visit) == pytest.approx(cd, abs=6e-4)


def test_a_pass_up_the_net_is_the_chain_of_the_machine(opened: Any) -> None:
    visit, seen = opened("folded"), []
    press_to(visit, [0, 0, 0])
    for _ in range(2):
        visit.press("Step")
    p_h = exact.mean_h_from_v(NIGHT, [0, 0, 0])[0]
    for seed in range(40):
        visit.type("Seed", seed)
        v0, h0, v1 = re.findall("[01]+(?=,|$)", visit.page.locator(".dbn-strip").get_attribute("aria-label"))
        assert v0 == "000"
        seen.append([int(x) for x in h0])
        p_v = exact.mean_v_from_h(NIGHT, [seen[-1]])[0]
        assert numbers(visit.text(".dbn-status"))[:3] == pytest.approx(p_v, abs=6e-4)
    assert np.all(np.abs(np.mean(seen, axis=0) - p_h) < 4 * np.sqrt(p_h * (1 - p_h) / 40))
    keys(visit, "Fold", "End")
    texts = visit.page.locator(".dbn-ladder g:has(> circle)").evaluate_all(
        "all => all.slice(0, 5).map((unit) => unit.querySelector('text').textContent)"
    )
    assert "".join(texts) == v1 + h0  # each layer of the machine shows its latest state


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
    visit.choose("Gibbs steps, n", str(k))
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


# Chapter 4: the bottom untied


Machine = exact.BoltzmannMachine


def upside_down(machine: Machine) -> Machine:
    return Machine(machine.W.T.copy(), machine.hid_bias, machine.vis_bias)


def hold(visit: Opened, lowest: Machine, top: Machine, p0: np.ndarray, v: list[int]) -> tuple[float, float]:
    """Hold words, curves and columns to the enumeration; gives mean log p(v) and bound."""
    net = exact.BeliefNet([lowest.W.T], [lowest.vis_bias, lowest.hid_bias], exact.log_prob(top))
    parts = [exact.variational_bound(net, state) for state in V]
    log_p, bound = (float(p0 @ [getattr(part, name) for part in parts]) for name in ("log_prob", "bound"))
    said, mine = numbers(visit.text(".dbn-status")), parts[exact.state_index(v, 3)[0]]
    assert [*said[:3], *said[-2:]] == pytest.approx([log_p, bound, log_p - bound, mine.log_prob, mine.bound], abs=6e-5)
    assert charted(visit, "Learning", 2)[:, 0] == pytest.approx([log_p, bound], abs=6e-4)
    p_and_q = np.stack([exact.net_posterior(net, v), exact.prob_h_given_v(lowest, v)[0]])
    assert beliefs(visit) == pytest.approx(p_and_q, abs=6e-4)
    assert large(visit) == pytest.approx(log_p - bound, abs=6e-4)
    return log_p, bound


def test_the_gap_opens_when_the_bottom_is_untied(opened: Any) -> None:
    visit, lowest, v = opened("bound"), NIGHT, [0, 0, 0]
    p0 = np.array([0.5, *[0] * 6, 0.5])
    assert hold(visit, lowest, upside_down(lowest), p0, v)[0] > np.log(1 / 8)  # better than uniform
    for _ in range(3):
        visit.press("Step")
        lowest = moved(lowest, exact.ml_gradient(lowest, V[[0, 7]]), 0.3)
    top = upside_down(lowest)
    frozen = hold(visit, lowest, top, p0, v)
    assert frozen[0] == pytest.approx(frozen[1], abs=1e-9)
    visit.page.get_by_label("All layers tied").uncheck()
    past, seen = [frozen[1]], p0 @ exact.prob_h_given_v(lowest, V)
    for update in range(57):
        visit.page.locator(".dbn-figure").press("s")
        up = exact.data_statistics(top, top.v_states, seen)
        top = moved(top, up.minus(exact.model_statistics(top)), 0.3)
        if update % 8 == 0:
            visit.says(f"Update {update + 4} of 60.")  # it is drawn with the next frame
            log_p, bound = hold(visit, lowest, top, p0, v)
            assert bound > past[-1] - 1e-9
            assert log_p >= bound > frozen[0]
            past.append(bound)
    visit.says("Update 60 of 60.")
    assert f"both were {frozen[0]:.4f} when" in visit.text(".dbn-status")
    assert large(visit) > 0.03
    visit.press("Step")  # the end
    visit.says("Update 60 of 60.")
    np.testing.assert_allclose(widgets.Bound.learned(3, 57)[1].W, top.W, rtol=1e-12)
    press_to(visit, [1, 0, 1])
    hold(visit, lowest, top, p0, [1, 0, 1])
    visit.press("Reset")
    visit.says("Update 0 of 60.")


def test_weights_above_and_the_data_are_dragged(opened: Any) -> None:
    visit, lowest = opened("bound"), NIGHT
    keys(visit, "Upper weight of truck, lamp swings", "PageUp", 3)  # by 3, to 5
    top = upside_down(lowest)
    top.W[1, 1] = 5
    visit.settle()
    assert not visit.page.get_by_label("All layers tied").is_checked()
    hold(visit, lowest, top, np.array([0.5, *[0] * 6, 0.5]), [0, 0, 0])
    keys(visit, "How often each night comes: drag: 100", "ArrowUp", 4)  # to a fifth
    hold(visit, lowest, top, np.array([0.4, 0, 0, 0, 0.2, 0, 0, 0.4]), [0, 0, 0])


# Chapter 5: awake and asleep


class Untied:
    """A bottom with weights of recognition and of generation, below a memory: by `exact`, gradients by differences."""

    def __init__(self) -> None:
        lowest, self.top, _ = widgets.Bound.learned(0, 40)
        starts = {"G": lowest.W, "b": lowest.vis_bias, "R": lowest.W, "c": lowest.hid_bias}
        self.parts = {name: np.array(start, float) for name, start in starts.items()}

    def net(self) -> exact.BeliefNet:
        return exact.BeliefNet([self.parts["G"].T], [self.parts["b"], self.parts["c"]], exact.log_prob(self.top))

    def q(self, v: np.ndarray) -> np.ndarray:
        return exact.up_pass_posterior(v, [self.parts["R"]], [self.parts["c"]])

    def bounds(self) -> np.ndarray:
        """Mean log p(v), bound and gap."""
        found = [exact.variational_bound(self.net(), v, self.q(v)) for v in V[[0, 7]]]
        return np.mean([(part.log_prob, part.bound, part.gap) for part in found], axis=0)

    def missed(self, dreams: np.ndarray) -> float:
        """KL(P || Q) on dreams, (8, 4) their joint probabilities, which stay."""
        return sum(exact.kl(p, p.sum() * self.q(v)) for v, p in zip(V, dreams, strict=True))

    def dreams(self) -> np.ndarray:
        return np.exp(exact.net_log_joint(self.net()))

    def climb(self, names: str, value: Any) -> None:
        """A step of 0.3 along the gradient of value() with respect to some parts, by central differences."""
        steps = {}
        for name in names:
            steps[name] = np.zeros_like(self.parts[name])
            for i in np.ndindex(steps[name].shape):
                ends = []
                for way in (1e-5, -1e-5):
                    self.parts[name][i] += way
                    ends.append(value())
                    self.parts[name][i] -= way
                steps[name][i] = (ends[0] - ends[1]) / 2e-5
        for name, step in steps.items():
            self.parts[name] += 0.3 * step

    def wake(self) -> None:
        seen = np.mean([self.q(v) for v in V[[0, 7]]], axis=0)
        above = exact.data_statistics(self.top, H, seen).minus(exact.model_statistics(self.top))
        self.climb("Gb", lambda: self.bounds()[1])
        self.top = moved(self.top, above, 0.3)

    def sleep(self) -> None:
        dreams = self.dreams()
        self.climb("Rc", lambda: -self.missed(dreams))


def agrees(visit: Opened, net: Untied) -> np.ndarray:
    """Hold the figure to the oracle; gives mean log p(v), bound, gap, and KL(P || Q) on dreams."""
    expected = np.append(net.bounds(), net.missed(net.dreams()))
    visit.settle()
    assert numbers(visit.text(".dbn-status")) == pytest.approx(expected, abs=6e-5)
    assert large(visit) == pytest.approx(expected[2], abs=6e-4)
    assert charted(visit, "How wrong", 2)[:, 0] == pytest.approx(expected[2:], abs=6e-4)
    assert beliefs(visit) == pytest.approx(np.stack([exact.net_posterior(net.net(), [0, 0, 0]), net.q(V[0])]), abs=6e-4)
    return expected


def test_awake_the_bound_rises_and_asleep_recognition_learns(opened: Any) -> None:
    visit, net = opened("wake"), Untied()
    past = [agrees(visit, net)]
    for lesson in ("Wake only", "Sleep only", "Step", "Wake only"):
        visit.press(lesson)
        if lesson != "Sleep only":
            net.wake()
        if lesson != "Wake only":
            net.sleep()
        past.append(agrees(visit, net))
        if lesson == "Wake only":
            assert past[-1][1] > past[-2][1]
        if lesson == "Sleep only":
            assert past[-1][0] == pytest.approx(past[-2][0], abs=1e-12)  # log p(v) knows nothing of recognition
            assert past[-1][3] < past[-2][3]
    assert past[1][0] < past[0][0]  # awake, log p(v) itself may fall
    visit.choose("Drag the weights of", "generation")
    keys(visit, "Generative weight of truck, dog barks", "PageDown")
    net.parts["G"][2, 1] = round(net.parts["G"][2, 1] - 1, 1)
    agrees(visit, net)
    visit.press("Reset")
    agrees(visit, Untied())


# The stills


NAMES = ("ExplainingAway", "InfiniteNet", "FoldedNet", "LearningCD", "Bound", "WakeSleep")
STILLS = [getattr(widgets, name)() for name in NAMES]


@pytest.mark.parametrize("widget", STILLS, ids=lambda widget: widget.NAME)
def test_without_javascript_a_still_and_its_question_stand_there(widget: widgets.Figure) -> None:
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert f'data-dbn-widget="{widget.NAME}"' in page
    assert re.search(r'<img src="data:image/webp;base64,UklGR[^"]+" alt="[^"]{20,}">', page)
    assert len(page) < 40_000
    assert "?" in widget.caption
