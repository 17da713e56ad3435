"""The live figures on nets small enough to enumerate, in a browser: every number that they show against `exact`."""

import re
from typing import Any

import numpy as np
import pytest
from test_figures import Opened, browser, folder, pytestmark, site  # noqa: F401

from dbn_lite import exact, widgets


@pytest.fixture
def opened(browser: Any, site: str, folder: Any) -> Any:  # noqa: F811
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
    visit.page.wait_for_timeout(100)


# Explaining away


def jumping(bias: Any = (-10, -10, -20), weight: Any = (20, 20)) -> exact.BeliefNet:
    return exact.BeliefNet([np.reshape(weight, (2, 1))], [bias[2:], bias[:2]])


def unit(visit: Opened, name: str) -> Any:
    """A unit of the net, as the button that it is."""
    return visit.page.get_by_role("button", name=re.compile(f"^{name}[:,]"))


def close(found: Any, expected: Any) -> None:
    """To what is printed: four decimals, or two digits of what is small."""
    np.testing.assert_allclose(found, expected, rtol=0.06, atol=6e-5 if np.max(np.abs(expected)) > 0.01 else 0)


def test_explaining_away_by_the_papers_numbers(opened: Any) -> None:
    visit, posterior = opened("explaining"), exact.net_posterior(jumping(), [1])
    close(bars(visit, "Exact posterior P"), posterior)
    q, kl = exact.best_factorial(posterior)
    assert sorted(bars(visit, "Best factorial Q")) == pytest.approx(sorted(exact.factorial(q)), abs=1e-4)
    assert numbers(visit.text(".dbn-status"))[6] == pytest.approx(kl, abs=6e-4)
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
    unit(visit, "Truck: observed on").wait_for()
    given = posterior * [0, 1, 0, 1] / posterior[[1, 3]].sum()
    close(bars(visit, "Exact posterior P"), given)
    close(bars(visit, "Best factorial Q"), given)  # one free unit is always independent
    assert numbers(visit.text(".dbn-status"))[0] == pytest.approx(given[3], rel=0.06)
    unit(visit, "Truck").press("Enter")  # observed off, by key
    given = posterior * [1, 0, 1, 0] / posterior[[0, 2]].sum()
    visit.page.wait_for_timeout(100)
    close(bars(visit, "Exact posterior P"), given)


def test_without_the_effect_the_causes_are_independent(opened: Any) -> None:
    visit = opened("explaining")
    for said in ("observed off", "not observed"):
        unit(visit, "House jumps").press("Space")
        unit(visit, f"House jumps: {said}").wait_for()
        visit.page.wait_for_timeout(100)
        p = exact.net_posterior(jumping(), [0]) if said == "observed off" else np.exp(exact.net_log_prior(jumping()))
        close(bars(visit, "Exact posterior P"), p)
    earthquake, truck, jumps, correlation, *_ = numbers(visit.text(".dbn-status"))
    close([earthquake, truck], [p[2:].sum()] * 2)
    close(jumps, np.exp(exact.net_log_prob(jumping(), [1]))[0])
    assert correlation == 0


def test_sliders_change_the_net_and_the_paper_comes_back(opened: Any) -> None:
    visit = opened("explaining")
    keys(visit, "Bias of truck", "ArrowRight", 12)  # by 6, to -4
    keys(visit, "Weight of earthquake", "ArrowLeft", 7)  # by 3.5, to 16.5
    net = jumping((-10, -4, -20), (16.5, 20))
    posterior = exact.net_posterior(net, [1])
    close(bars(visit, "Exact posterior P"), posterior)
    q, _ = exact.best_factorial(posterior)
    close(bars(visit, "Best factorial Q"), exact.factorial(q))
    assert posterior[1] > 0.9 > 0.1 > posterior[2]
    visit.press("The paper's numbers")
    close(bars(visit, "Exact posterior P"), exact.net_posterior(jumping(), [1]))


# The stills


STILLS = [widgets.ExplainingAway()]


@pytest.mark.parametrize("widget", STILLS, ids=lambda widget: widget.NAME)
def test_without_javascript_a_still_and_its_question_stand_there(widget: widgets.Figure) -> None:
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert f'data-dbn-widget="{widget.NAME}"' in page
    assert re.search(r'<img src="data:image/webp;base64,UklGR[^"]+" alt="[^"]{20,}">', page)
    assert len(page) < 40_000
    assert "?" in widget.caption
