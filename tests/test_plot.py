"""Figures: what is drawn is what was given, in its place, in its colour."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from dbn_lite import plot


def pictures(figure):
    return [axis.images[0] for axis in figure.axes if axis.images]


def shade(picture, value):
    return picture.cmap(picture.norm(value))[:3]


def test_each_picture_is_in_its_place():
    images = np.arange(5 * 6).reshape(5, 6) / 30
    figure = plot.image_grid(images, (2, 3), columns=4)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 8
    assert [bool(axis.images) for axis in figure.axes] == [True] * 5 + [False] * 3
    for picture, image in zip(pictures(figure), images, strict=True):
        np.testing.assert_array_equal(picture.get_array(), image.reshape(2, 3))
    figure.draw_without_rendering()
    places = np.array([axis.get_position().get_points().mean(axis=0) for axis in figure.axes[:5]])
    assert (np.diff(places[:4, 0]) > 0).all()  # left to right
    assert places[4, 1] < places[0, 1]  # then down
    assert places[4, 0] == pytest.approx(places[0, 0], abs=0.01)
    assert not any(axis.axison for axis in figure.axes)


def test_ink_is_dark_and_does_not_depend_on_the_company():
    for images in (np.array([[0.0, 0.5]]), np.array([[0.0, 1.0]])):
        (picture,) = pictures(plot.image_grid(images, (1, 2)))
        assert shade(picture, 0.0) == (1, 1, 1)
        assert shade(picture, 1.0) == (0, 0, 0)
        assert shade(picture, 0.5)[0] == pytest.approx(0.5, abs=0.02)


def test_signed_pictures_share_one_scale_with_white_at_zero():
    first, second = pictures(plot.image_grid(np.array([[-4.0, 0.0], [0.0, 2.0]]), (1, 2), signed=True))
    assert first.get_clim() == second.get_clim() == (-4, 4)
    assert min(shade(first, 0.0)) > 0.95
    red, _, blue = shade(first, -4.0)
    assert red > blue  # inhibition
    red, _, blue = shade(first, 4.0)
    assert blue > red  # excitation


def test_weights_that_are_all_zero_can_be_drawn():
    (picture,) = pictures(plot.image_grid(np.zeros((1, 4)), (2, 2), signed=True))
    assert min(shade(picture, 0.0)) > 0.95


def test_titles_stand_above_their_pictures():
    figure = plot.image_grid(np.zeros((3, 4)), (2, 2), columns=2, titles=["a", "b", "c"])
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", ""]


def test_curves_go_through_their_values_and_are_told_apart():
    figure = plot.curves({"train": [3.0, 2.0, 1.5], "validation": [4.0, 3.5]}, "epoch", "error, %")
    (axis,) = figure.axes
    assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in map(_numbers, axis.lines)] == [
        ([1, 2, 3], [3.0, 2.0, 1.5]),
        ([1, 2], [4.0, 3.5]),
    ]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "error, %")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "validation"]
    assert to_rgb(axis.lines[0].get_color()) != to_rgb(axis.lines[1].get_color())


def test_more_curves_than_colours_are_all_drawn_and_told_apart():
    """A sixth trial of a search must not vanish from its figure."""
    names = [f"trial {i}" for i in range(12)]
    (axis,) = plot.curves({name: [1.0, 2.0] for name in names}, "x", "y").axes
    assert [line.get_label() for line in axis.lines] == names
    looks = [(colour, str(dashes)) for _, colour, dashes in plot._styles(names)]
    assert [line.get_color() for line in axis.lines] == [colour for colour, _ in looks]
    assert len(set(looks)) == 12


def _numbers(line):
    line.set_data(*(np.asarray(values) for values in line.get_data()))
    return line


def test_one_curve_needs_no_legend():
    assert plot.curves({"error": [1.0]}, "x", "y").legends == []


@pytest.mark.parametrize("names", [["a"] * 2, ["of some length"] * 5, ["so long that it needs a line of its own"] * 3])
def test_the_legend_of_curves_stands_above_the_axes_and_within_the_figure(names):
    figure = plot.curves({f"{name} {i}": [1.0, 2.0] for i, name in enumerate(names)}, "x", "y")
    figure.draw_without_rendering()
    (legend,), (axis,) = figure.legends, figure.axes
    box = legend.get_window_extent()
    assert box.y0 >= axis.get_window_extent().y1
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1


def test_nothing_is_remembered():
    before = plt.get_fignums()
    plot.image_grid(np.zeros((1, 4)), (2, 2))
    plot.curves({"a": [1.0]}, "x", "y")
    assert plt.get_fignums() == before


def test_figures_are_white_cards_in_the_colours_of_the_pages():
    figures = [
        plot.image_grid(np.zeros((1, 4)), (2, 2)),
        plot.curves({"a": [1.0]}, "x", "y"),
        plot.probabilities(np.ones(2) / 2, {}, ["0", "1"]),
        plot.gibbs_chain(np.zeros((1, 4)), np.zeros((1, 2)), (2, 2), (1, 2)),
    ]
    assert [figure.get_facecolor() for figure in figures] == [(1, 1, 1, 1)] * 4
    root = Path(__file__).parents[1]
    sheets = (root / "dbn_lite" / "widgets" / "figures.css", root / "book" / "static" / "book.css")
    css = "".join(sheet.read_text() for sheet in sheets if sheet.exists())
    for name in ("visible", "hidden", "label", "weight", "energy"):
        light = re.search(rf"--dbn-{name}: (#\w+);", css)  # the first is that of a light page
        assert light
        assert getattr(plot, name.upper()) == light.group(1)


def test_a_header_of_titles_needs_one_for_each_column_only():
    figure = plot.image_grid(np.zeros((4, 4)), (2, 2), columns=2, titles=["a", "b"])
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]


def test_framed_pictures_show_where_they_end():
    figure = plot.image_grid(np.zeros((3, 4)), (2, 2), columns=2, framed=True)
    assert [axis.axison for axis in figure.axes] == [True, True, True, False]  # no frame around no picture


def test_curves_take_their_places_and_a_logarithmic_scale():
    (axis,) = plot.curves({"a": [1.0, 0.1], "b": [2.0, 0.2]}, "n", "error", x=[1, 8], log_y=True).axes
    assert [list(line.get_xdata()) for line in axis.lines] == [[1, 8], [1, 8]]
    assert axis.get_yscale() == "log"
    assert axis.lines[0].get_linestyle() != axis.lines[1].get_linestyle()  # not by colour alone


def test_probabilities_are_bars_and_measurements_dots_on_them():
    probs, found = np.array([0.1, 0.2, 0.7]), np.array([0.15, 0.25, 0.6])
    figure = plot.probabilities(probs, {"sampled": found}, ["00", "01", "10"])
    (axis,) = figure.axes
    assert [bar.get_height() for bar in axis.patches] == probs.tolist()
    (dots,) = axis.lines
    np.testing.assert_array_equal(dots.get_ydata(), found)
    np.testing.assert_allclose(dots.get_xdata(), [bar.get_x() + bar.get_width() / 2 for bar in axis.patches])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["00", "01", "10"]


def test_a_gibbs_chain_runs_to_the_right_with_hidden_above_visible():
    visible, hidden = np.arange(12).reshape(3, 4) / 12, np.arange(18).reshape(3, 6) / 18
    figure = plot.gibbs_chain(visible, hidden, (2, 2), (2, 3))
    above, below = figure.axes[:3], figure.axes[3:]
    for axes, states, shape in ((above, hidden, (2, 3)), (below, visible, (2, 2))):
        for axis, state in zip(axes, states, strict=True):
            np.testing.assert_array_equal(axis.images[0].get_array(), state.reshape(shape))
    assert [axis.get_ylabel() for axis in figure.axes] == [f"${layer}^{{{t}}}$" for layer in "hv" for t in range(3)]
    figure.draw_without_rendering()
    middles = np.array([axis.get_position().get_points().mean(axis=0) for axis in figure.axes]).reshape(2, 3, 2)
    assert (middles[0, :, 1] > middles[1, :, 1]).all()
    assert (np.diff(middles[..., 0], axis=1) > 0).all()
    assert len(figure.artists) == 3 + 2  # an arrow up at each time, and one on to the next


def test_learning_curves_show_each_error_where_it_was_measured_and_where_stages_begin():
    def row(stage, train, validation, test):
        return {"stage": stage, "train_error": train, "validation_error": validation, "test_error": test}

    rows = [row("k=3", None, 3.0, None), row("k=3", 2.0, 2.5, 2.4), row("k=6", 1.0, 2.0, 1.9)]
    (axis,) = plot.learning_curves(rows, {"paper": 1.25}).axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines[:3]}
    assert drawn == {
        "validation": ([1, 2, 3], [3.0, 2.5, 2.0]),
        "train": ([2, 3], [2.0, 1.0]),
        "test": ([2, 3], [2.4, 1.9]),
    }
    marks = [line.get_xdata()[0] for line in axis.lines[4:]]
    assert list(axis.lines[3].get_ydata()) == [1.25, 1.25]
    assert marks == [0.5, 2.5]
    assert [text.get_text() for text in axis.texts] == ["paper", "k=3", "k=6"]
    assert len({to_rgb(line.get_color()) for line in axis.lines[:3]}) == 3
    assert not plot.learning_curves(rows[:1], {}).axes[0].lines[2].get_xdata().size


def test_sheets_beside_each_other_have_their_pictures_in_place_and_lines_between():
    images = np.arange(6 * 6).reshape(6, 6) / 36
    figure = plot.beside({"one": images, "other": images[::-1]}, (2, 3), columns=2)
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["one", "other"]
    for picture, given in zip(pictures(figure), (images, images[::-1]), strict=True):
        drawn = np.asarray(picture.get_array())
        assert drawn.shape == (3 * 2 + 2, 2 * 3 + 1)
        for i, image in enumerate(given):
            y, x = i // 2 * 3, i % 2 * 4
            np.testing.assert_array_equal(drawn[y : y + 2, x : x + 3], image.reshape(2, 3))
        assert (drawn[2::3] == 0.25).all()
        assert (drawn[:, 3] == 0.25).all()
    first, second = (axes.get_position() for axes in figure.axes)
    assert first.x1 <= second.x0


def test_walks_of_any_length_are_drawn_from_0_to_1_above_their_higher_end():
    short, long = np.array([-5.0, 3.0, -4.0]), np.linspace(2.0, 1.0, 40)
    figure = plot.walks({"some": [short, long, long], "other": [np.zeros(5)]}, "way", "nats")
    (axes,) = figure.axes
    bold = [line for line in axes.lines if line.get_linewidth() > 2]
    thin = [line for line in axes.lines if line.get_linewidth() < 1]
    assert (len(bold), len(thin)) == (2, 4)
    for line in axes.lines:
        assert (line.get_xdata()[0], line.get_xdata()[-1]) == (0, 1)
    np.testing.assert_allclose(thin[0].get_ydata()[[0, 50, 100]], [-1, 7, 0], atol=1e-9)
    np.testing.assert_allclose(thin[1].get_ydata()[[0, 100]], [0, -1], atol=1e-9)
    np.testing.assert_allclose(bold[0].get_ydata(), thin[1].get_ydata(), atol=1e-9)  # the median of three
    assert bold[0].get_color() == thin[0].get_color() != bold[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["some", "other"]


def test_a_diagram_has_its_boxes_in_place_and_an_arrow_of_each_kind():
    boxes = {"below": (0, 0, "#0072b2"), "above": (0, 1, "#b34700"), "beside": (1, 1, "#a3467f")}
    kinds = ["generates", "infers", "both"]
    ways = [("above", "below"), ("below", "above"), ("above", "beside")]
    arrows = [(*way, label, kind) for way, label, kind in zip(ways, "WUX", kinds, strict=True)]
    (axis,) = plot.diagram(boxes, arrows).axes
    names = {text.get_text(): text for text in axis.texts if text.get_text()}
    for name, (x, y, colour) in boxes.items():
        assert names[name].get_position() == (x, y)
        assert to_rgb(names[name].get_color()) == to_rgb(colour)
    down, up, across = (text for text in axis.texts if getattr(text, "arrow_patch", None))
    assert [round(arrow.xyann[1] - arrow.xy[1]) for arrow in (down, up, across)] == [1, -1, 0]  # from, less to
    assert down.xy[0] < 0 < up.xy[0]  # the way back beside the way down
    assert [arrow.arrow_patch.get_linestyle() for arrow in (down, up, across)] == ["-", "--", "-"]
    heads = [type(arrow.arrow_patch.get_arrowstyle()).__name__ for arrow in (down, up, across)]
    assert heads == ["CurveB", "CurveB", "CurveAB"]
    assert names["W"].get_position()[0] < down.xy[0] < up.xy[0] < names["U"].get_position()[0]


def test_arrows_of_a_diagram_stand_upright_and_a_group_holds_its_boxes():
    boxes = {"wide": (0.5, 1, "#b34700", 2), "left": (0, 0, "#b34700"), "right": (1.1, 0, "#a3467f"), "on": (0, -1, "")}
    arrows = [("left", "wide", "", "both"), ("right", "wide", "", "both"), ("on", "left", "", "infers")]
    (axis,) = plot.diagram(boxes, arrows, {"together": ["wide", "left", "right"]}).axes
    drawn = [text for text in axis.texts if getattr(text, "arrow_patch", None)]
    assert all(arrow.xy[0] == arrow.xyann[0] for arrow in drawn)
    ground, wide, left, right, on = (patch.get_path().get_extents() for patch in axis.patches)
    assert (wide.width, round(left.width, 9)) == (2, 0.75)
    for box in (wide, left, right):
        assert ground.contains(*box.min)
        assert ground.contains(*box.max)
    assert not ground.overlaps(on)
    assert axis.patches[-1].get_edgecolor()[3] == 0  # no colour, no frame
    (name,) = (text for text in axis.texts if text.get_text() == "together")
    assert wide.y1 < name.get_position()[1] < ground.y1


def test_errors_against_x_have_a_ring_as_claimed_and_a_mark_as_found():
    figure = plot.against([1, 10, 100], [1.4, 2.0, 0.8], [1.5, np.nan, 0.9], ["a", "a", "b"], "seconds", log_x=True)
    (axes,) = figure.axes
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    marks = [line for line in axes.lines if line.get_markerfacecolor() != "white"]
    assert [list(line.get_xydata().ravel()) for line in rings] == [[1, 1.4, 10, 2.0], [100, 0.8]]
    np.testing.assert_array_equal(marks[0].get_ydata(), [1.5, np.nan])
    assert [line.get_marker() for line in marks] == ["o", "s"]
    assert marks[0].get_color() != marks[1].get_color()
    assert [(text.get_text(), text.xy) for text in axes.texts] == [("1", (1, 1.5)), ("2", (10, 2.0)), ("3", (100, 0.9))]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a, ours", "b, ours", "the paper"]


@pytest.mark.parametrize("titles", [(), [f"t{i}" for i in range(7)]])
def test_a_contact_sheet_has_each_picture_in_its_place_under_its_title(titles):
    images = np.random.default_rng(0).random((7, 8 * 16))
    figure = plot.contact_sheet(images, (8, 16), 3, titles)
    (axis,) = figure.axes
    sheet = np.asarray(axis.images[0].get_array())
    pitch = sheet.shape[0] // 3, sheet.shape[1] // 3
    for i, image in enumerate(images):
        bottom, left = (i // 3 + 1) * pitch[0], (i % 3) * pitch[1]
        np.testing.assert_array_equal(sheet[bottom - 8 : bottom, left : left + 16], image.reshape(8, 16))
    assert sheet.sum() == pytest.approx(images.sum())  # and nothing else
    assert [text.get_text() for text in axis.texts] == list(titles)
    for i, text in enumerate(axis.texts):
        x, y = text.get_position()
        assert x == pytest.approx((i % 3) * pitch[1] + 8)
        assert (i // 3) * pitch[0] <= y < (i // 3 + 1) * pitch[0] - 8  # above its picture, below the row before
    assert shade(axis.images[0], 1.0) == (0, 0, 0)
    assert not axis.axison
