"""Shape contexts: a hand-made pair of shapes, plain sums, and what must not matter to a shape."""

from itertools import permutations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator
from scipy.optimize import linear_sum_assignment

from dbn_lite import data
from dbn_lite.paper import table1
from dbn_lite.paper.table1 import shapes

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    return data.load("dreamed")


def disc(row, column, radius):
    rows, columns = np.indices((28, 28))
    return np.clip(radius + 0.5 - np.hypot(rows - row, columns - column), 0, 1).astype(np.float32)


# ---- Outlines and contexts


def test_the_outline_of_a_disc_is_a_circle():
    shape = shapes.outline(disc(12, 15, 7))
    away = shape.points - (15, 12)
    np.testing.assert_allclose(np.hypot(*away.T), 7, atol=0.15)
    gaps = np.hypot(*(shape.points - np.roll(shape.points, 1, axis=0)).T)
    np.testing.assert_allclose(gaps, 2 * np.pi * 7 / 100, rtol=0.1)
    along = np.column_stack([np.cos(shape.angles), np.sin(shape.angles)])
    assert np.abs((along * away).sum(1)).max() / 7 < 0.25  # the direction is that of the tangent
    turn = along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0]
    assert (np.sign(turn) == np.sign(turn[0])).all()


def test_an_image_without_ink_is_a_shape_too():
    empty = shapes.outline(np.zeros((28, 28), np.float32))
    assert np.isfinite(empty.points).all()
    one = shapes.outline(disc(14, 14, 6))
    assert np.isfinite(shapes.terms(empty, [one, empty])).all()


def test_contexts_count_the_other_points_by_direction_and_distance():
    points = np.array([(0, 0), (1, 0.1), (0.1, 1), (-4, 0.1), (0.1, -0.6)], float)
    d = np.hypot(*(points[:, None] - points).T)
    counts = shapes.contexts(points)[0].reshape(5, 12)
    wanted = np.zeros((5, 12))
    for other in points[1:]:
        distance = np.hypot(*other) / d.mean()
        direction = int(np.degrees(np.arctan2(other[1], other[0])) % 360 // 30)
        ring = sum(distance >= edge for edge in (0.125, 0.25, 0.5, 1, 2))
        if ring < 5:
            wanted[ring, direction] += 1
    np.testing.assert_array_equal(counts, wanted)
    assert wanted.sum() == 3  # one lies too far away


def test_contexts_know_neither_place_nor_size(digits):
    points = shapes.outline(digits.test_images[0].reshape(28, 28)).points
    np.testing.assert_array_equal(shapes.contexts(points), shapes.contexts(4 * points + 64))


def test_costs_are_chi_squared_distances_and_differences_of_direction(digits):
    a, b = (shapes.outline(image.reshape(28, 28)) for image in digits.test_images[:2])
    H, G = a.contexts.astype(float)[:, None] / 99, b.contexts.astype(float) / 99
    chi = 0.5 * ((H - G) ** 2 / np.maximum(H + G, 1e-12)).sum(2)
    turned = 0.5 * (1 - np.cos(a.angles[:, None] - b.angles))
    found = shapes.costs(shapes.features(a.contexts), shapes.features(b.contexts), turned.astype(np.float32))
    np.testing.assert_allclose(found, 0.9 * chi + 0.1 * turned, atol=1e-5)


# ---- Matching and bending


def test_the_match_is_the_cheapest_of_all(monkeypatch):
    monkeypatch.setattr(shapes, "LOOSE", 0)
    cost = RNG.random((5, 5))
    mine, theirs = shapes.match(cost)
    assert cost[mine, theirs].sum() == pytest.approx(
        min(sum(cost[i, j] for i, j in enumerate(order)) for order in permutations(range(5)))
    )


def test_a_hand_made_pair_of_shapes_is_matched_point_by_point():
    """The letter L and the same L in another order, moved and half as large again."""
    down, right = np.linspace(0, 12, 60), np.linspace(0.2, 8, 40)
    points = np.vstack([np.column_stack([0 * down, down]), np.column_stack([right, 0 * right + 12])])
    angles = np.concatenate([np.full(60, np.pi / 2), np.zeros(40)])
    order = RNG.permutation(100)
    other = 1.5 * points[order] + (3, -2)
    turned = (0.5 * (1 - np.cos(angles[:, None] - angles[order]))).astype(np.float32)
    h, g = (shapes.features(shapes.contexts(p)) for p in (points, other))
    cost = shapes.costs(h, g, turned)
    mine, theirs = shapes.match(cost)
    assert len(mine) == 100
    assert (order[theirs] == mine).mean() > 0.95
    assert cost[mine, theirs].mean() < 0.02


def test_points_that_fit_nowhere_stay_loose():
    cost = np.full((4, 4), 0.01) + 0.9 * (1 - np.eye(4))
    cost[2] = 0.8  # dearer than two loose points
    mine, theirs = shapes.match(cost)
    assert sorted(zip(mine, theirs, strict=True)) == [(0, 0), (1, 1), (3, 3)]


def test_one_set_of_loose_points_is_as_good_as_two():
    """Belongie and others let points of both shapes go loose, each at its own cost."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        cost = 0.3 * rng.random((40, 40)) + 0.4 * rng.random((40, 1))
        both = np.full((40 + shapes.LOOSE, 40 + shapes.LOOSE), shapes.LOOSE_COST)
        both[:40, :40] = cost
        rows, columns = linear_sum_assignment(both)
        real = (rows < 40) & (columns < 40)
        assert 15 <= real.sum() < 40
        np.testing.assert_array_equal(shapes.match(cost), (rows[real], columns[real]))


def test_a_plate_without_stiffness_goes_through_its_points():
    source, target = RNG.random((20, 2)) * 20, RNG.random((20, 2)) * 20
    plate = shapes.Plate(source)
    moved, bent = plate.bend(np.arange(20), target, 0.0)
    np.testing.assert_allclose(moved, target, atol=1e-6)
    assert bent > 0
    assert plate.bend(np.arange(20), target, 1e6)[1] < 1e-3 * bent


def test_the_plate_is_the_thin_plate_spline_of_scipy():
    """Which gives the points that were told where to go, and those that were not, the same places."""
    points, target, told = RNG.random((30, 2)) * 20, RNG.random((20, 2)) * 20, RNG.permutation(30)[:20]
    theirs = RBFInterpolator(points[told], target, kernel="thin_plate_spline", smoothing=3.0)
    # r^2 log r there, r^2 log r^2 here: twice the kernel, so twice the stiffness
    np.testing.assert_allclose(shapes.Plate(points).bend(told, target, 6.0)[0], theirs(points), atol=1e-5)


def test_a_plate_takes_an_affine_map_as_it_is_and_does_not_bend():
    points = RNG.random((30, 2)) * 20
    A, shift = np.array([[1.2, 0.3], [-0.1, 0.8]]), np.array([2.0, -1.0])
    moved, bent = shapes.Plate(points).bend(np.arange(20), points[:20] @ A + shift, 5.0)
    np.testing.assert_allclose(moved, points @ A + shift, atol=1e-6)  # the ten that were not told, too
    assert bent == pytest.approx(0, abs=1e-9)


def test_bending_does_not_depend_on_the_size_of_the_picture():
    source, target = RNG.random((20, 2)) * 20, RNG.random((20, 2)) * 20
    bent = [shapes.Plate(size * source).bend(np.arange(20), size * target, 0.0)[1] for size in (1, 3)]
    assert bent[1] == pytest.approx(bent[0], rel=1e-6)


# ---- Digits


def test_a_digit_is_nearer_to_itself_moved_than_to_another(digits):
    moved = table1.svm.distort.translate(digits.test_images[:3], (28, 28), 1, 1)
    first, same, other = (
        shapes.outline(x.reshape(28, 28)) for x in (digits.test_images[0], moved[0], digits.test_images[1])
    )
    far = shapes.terms(first, [same, other]) @ shapes.WEIGHTS
    assert far[0] < 0.1 * far[1]


def test_a_stopped_row_goes_on_and_the_rest_is_marked_as_untried(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "PROTOTYPES", 400)
    monkeypatch.setattr(shapes, "CANDIDATES", 6)
    row = table1.row_named("shape-contexts")
    few, guess = table1.run(row, digits, table1.Job(tmp_path, 3))
    said = []
    more, again = table1.run(row, digits, table1.Job(tmp_path, 12, say=said.append))
    assert len(said) == 9 + 2  # three were there; two choose k
    assert (guess != 255).sum() == few["test_images"] == 3
    assert (again != 255).sum() == more["test_images"] == 12
    np.testing.assert_array_equal(again[guess != 255], guess[guess != 255])
    assert (np.flatnonzero(again != 255) % 5 == 0).all()
    assert more["errors"] <= 5
    assert more["test_errors_by_k"][more["settings"]["k"]] == more["errors"]
    assert more["validation_errors_by_k"].keys() == {1, 3, 5}


def test_where_all_candidates_are_of_one_class_nothing_is_matched(digits, tmp_path, monkeypatch):
    """And the answer is the same."""
    monkeypatch.setattr(shapes, "PROTOTYPES", 400)
    monkeypatch.setattr(shapes, "CANDIDATES", 3)
    row, asked, terms = table1.row_named("shape-contexts"), [], shapes.terms
    monkeypatch.setattr(shapes, "terms", lambda a, others: asked.append(a) or terms(a, others))
    _, guess = table1.run(row, digits, table1.Job(tmp_path / "some", 20))
    assert 0 < len(asked) < 20
    monkeypatch.setattr(np, "unique", lambda labels: [0, 1])
    _, again = table1.run(row, digits, table1.Job(tmp_path / "all", 20))
    np.testing.assert_array_equal(again, guess)
