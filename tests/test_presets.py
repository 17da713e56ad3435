"""What is trained when: the paper's numbers, schedules, sizes, and what a preset must not ask for."""

from dataclasses import replace
from itertools import groupby

import pytest
from easy import greedy, preset, up_down

from dbn_lite.errors import InputError
from dbn_lite.presets import PRESETS, Preset, Stage, preset_named

A_SHARE = "give a share from 0 to 1, and one above 0 only to up-down with at least 2 Gibbs iterations."


def test_the_paper_is_trained_as_section_6_1_says():
    paper = preset_named("paper")
    assert (paper.layers, paper.batch_size) == ((500, 500, 2000), 100)
    assert [(s.layer, s.epochs, s.n_gibbs) for s in paper.stages[:7]] == [
        (1, 30, 1), (2, 30, 1), (3, 18, 1), (3, 12, 3), (0, 100, 3), (0, 100, 6), (0, 100, 10),
    ]  # fmt: skip
    assert not any(s.all_images or s.until_matched for s in paper.stages[:7])
    last = paper.stages[7]
    assert len(paper.stages) == 8
    assert (last.layer, last.all_images, last.until_matched, last.n_gibbs) == (0, True, True, 10)
    assert last.epochs > 59  # room for as many as the paper needed
    assert last.record_every == 1  # its training error decides when it stops


@pytest.mark.parametrize("name", ["smoke", "quick", "paper", "dream"])
def test_every_preset_learns_each_layer_then_the_whole(name):
    stages = preset_named(name).stages
    assert [layer for layer, _ in groupby(s.layer for s in stages)] == [1, 2, 3, 0]
    assert len({s.name for s in stages}) == len(stages)
    assert all(s.learning_rate[0] >= s.learning_rate[1] > 0 for s in stages)
    assert all(0 < s.learning_rate[0] * s.weight_decay < 1e-3 for s in stages)
    assert preset_named(name).name == name
    preset_named(name).check(7291)


def test_the_rate_falls_by_equal_ratios_from_the_first_epoch_to_the_last():
    stage = Stage("", 0, 5, (0.16, 0.01), 0)
    assert [stage.rate_in(epoch) for epoch in range(5)] == pytest.approx([0.16, 0.08, 0.04, 0.02, 0.01])
    assert Stage("", 0, 1, (0.16, 0.01), 0).rate_in(0) == pytest.approx(0.16)
    constant = Stage("", 0, 30, (0.1, 0.1), 0)
    assert {constant.rate_in(epoch) for epoch in range(30)} == {0.1}


def test_the_rate_can_be_steady_before_it_falls():
    stage = Stage("", 1, 7, (0.16, 0.01), 0, steady=2)
    assert [stage.rate_in(epoch) for epoch in range(7)] == pytest.approx([0.16] * 3 + [0.08, 0.04, 0.02, 0.01])


def test_dream_differs_from_the_paper_in_chains_that_wander_and_in_epochs():
    paper, dream = preset_named("paper"), preset_named("dream")
    same = {"epochs": 1, "wandering": 0.0, "until_matched": False}
    assert [replace(s, **same) for s in dream.stages] == [replace(s, **same) for s in paper.stages]
    assert {s.wandering for s in dream.stages if not s.layer} == {0.3}
    assert not any(s.wandering for s in paper.stages)


def test_what_is_written_of_a_preset_speaks_of_wandering_only_where_chains_wander():
    """Or runs that are older than the setting would be of another preset."""
    assert not any("wandering" in stage for stage in preset_named("paper").as_json()["stages"])
    written = preset_named("dream").as_json()["stages"]
    assert [stage.get("wandering", 0) for stage in written] == [0] * 4 + [0.3] * 4


def test_momentum_changes_after_five_epochs():
    stage = Stage("", 1, 10, (0.1, 0.1), 0, momentum=(0.5, 0.9))
    assert [stage.momentum_in(epoch) for epoch in range(8)] == [0.5] * 5 + [0.9] * 3


def test_a_16x16_image_gets_three_fifths_of_the_units():
    """Footnote 6."""
    assert PRESETS["paper"].layers_for((16, 16)) == (300, 300, 1200)
    assert PRESETS["paper"].layers_for((28, 28)) == (500, 500, 2000)


def test_another_name_is_refused_with_what_there_is():
    with pytest.raises(InputError, match="no preset called 'slow'; choose one of smoke, quick, paper, dream"):
        preset_named("slow")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Preset("empty", ()), "preset empty has no stages; give it at least one"),
        (preset(*greedy(0)), "greedy 1 has epochs = 0; it must be at least 1"),
        (preset(*greedy(1), up_down(-1)), "up-down has epochs = -1; it must be at least 1"),
        (preset(*greedy(1), up_down(1, n_gibbs=0)), "up-down has n_gibbs = 0; it must be at least 1"),
        (preset(replace(greedy(1)[0], n_gibbs=0)), "greedy 1 has n_gibbs = 0"),
        (preset(*greedy(1), batch_size=0), "a mini-batch of 0 does not fit 100 training images"),
        (preset(*greedy(1), batch_size=-10), "a mini-batch of -10 does not fit"),
        (preset(*greedy(1), batch_size=101), "a mini-batch of 101 does not fit 100 training images; .* smaller one"),
    ],
)
def test_what_cannot_be_run_is_refused(bad, words):
    with pytest.raises(InputError, match=words):
        bad.check(100)


def test_a_mini_batch_may_be_all_there_is():
    preset(*greedy(1), batch_size=100).check(100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": (0.1, 0.0)}, "greedy 1 has the learning rates (0.1, 0.0); they must be above 0."),
        ({"until_matched": True}, "greedy 1 stops by its training error; give it record_every = 1."),
        (
            {"until_matched": True, "record_every": 1},
            "greedy 1 has no training error to match; only a stage of all images has.",
        ),
        ({"record_every": 1}, "greedy 1 knows no labels to be wrong about; give it record_every = 0."),
        ({"layer": 4}, "greedy 1 has layer = 4; give 1, 2 or 3, or 0 for up-down."),
        ({"wandering": 0.3}, f"greedy 1 has wandering = 0.3; {A_SHARE}"),
        ({"layer": 0, "wandering": 0.3}, f"greedy 1 has wandering = 0.3; {A_SHARE}"),
        ({"layer": 0, "n_gibbs": 3, "wandering": 1.1}, f"greedy 1 has wandering = 1.1; {A_SHARE}"),
        ({"layer": -1}, "greedy 1 has layer = -1; give 1, 2 or 3, or 0 for up-down."),
        ({"all_images": True}, "greedy 1 goes on from the best net; put a stage of up-down before it."),
    ],
)
def test_a_stage_that_could_not_run_is_refused(change, words):
    stage = replace(PRESETS["smoke"].stages[0], **change)
    with pytest.raises(InputError) as refused:
        Preset("odd", (stage,)).check(1000)
    assert str(refused.value) == words
