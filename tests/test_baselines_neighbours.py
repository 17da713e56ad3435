"""Nearest neighbours against scikit-learn, and the shortcuts against plain sums."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from dbn_lite import data
from dbn_lite.errors import InputError
from dbn_lite.paper import table1
from dbn_lite.paper.table1 import neighbours


@pytest.fixture(scope="module")
def digits():
    return data.load("dreamed")


@pytest.fixture(scope="module")
def grey():
    rng = np.random.default_rng(0)
    return rng.random((400, 30), np.float32), rng.random((50, 30), np.float32)


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("kind", ["grey", "black and white", "digits"])
def test_the_nearest_are_those_of_scikit_learn(p, kind, grey, digits):
    train, queries = grey
    if kind == "black and white":
        train, queries = np.rint(train), np.rint(queries)
    if kind == "digits":
        train, queries = digits.train_images[:1000], digits.test_images[:60]
    reference = NearestNeighbors(n_neighbors=20, metric="minkowski", p=p, algorithm="brute")
    wanted, _ = reference.fit(train.astype(float)).kneighbors(queries.astype(float))
    found = neighbours.nearest(train, queries, 20, p)
    d = np.abs(train[found].astype(float) - queries[:, None]) ** p
    np.testing.assert_allclose(d.sum(2) ** (1 / p), wanted, rtol=1e-4, atol=1e-4)
    assert all(len(set(row)) == 20 for row in found)


def test_most_images_are_never_looked_at_in_full(digits, monkeypatch):
    """The bound is what makes L3 fast: without it every image would be compared pixel by pixel."""
    looked_at, cubed = [], neighbours._cubed
    monkeypatch.setattr(neighbours, "_cubed", lambda x, q: looked_at.append(len(x)) or cubed(x, q))
    neighbours.nearest(digits.train_images[:3000], digits.test_images[:20], 5, 3)
    assert sum(looked_at) < 0.3 * 20 * 3000


@pytest.mark.parametrize("p", [2, 3])
def test_the_whole_classifier_agrees_with_scikit_learn(p, digits):
    """On images where no two classes tie, the order in which ties are broken does not matter."""
    train, labels, test = digits.train_images[:1000], digits.train_labels[:1000], digits.test_images[:100]
    for k in (1, 5):
        theirs = KNeighborsClassifier(k, p=p, algorithm="brute").fit(train, labels)
        votes = theirs.predict_proba(test)
        shares = np.sort(votes, axis=1)
        clear = shares[:, -1] > shares[:, -2]
        ours = neighbours.vote(neighbours.nearest(train, test, k, p), labels)
        assert clear.sum() > 80
        np.testing.assert_array_equal(ours[clear], votes.argmax(axis=1)[clear])


def test_of_equal_votes_the_class_of_the_nearest_wins():
    labels = np.array([3, 3, 7, 7, 1], np.uint8)
    assert neighbours.vote(np.array([[2, 0, 1, 3, 4]]), labels) == 7
    assert neighbours.vote(np.array([[0, 2, 3, 1, 4]]), labels) == 3
    assert neighbours.vote(np.array([[4, 0, 1]]), labels) == 3


def test_neighbours_among_fewer_images_are_found_among_those_of_all(digits):
    train, queries = digits.train_images[:900], digits.test_images[:40]
    draw = np.random.default_rng(1).choice(900, 300, replace=False)
    alone = draw[neighbours.nearest(train[draw], queries, 3, 2)]
    restricted = neighbours.restrict(neighbours.nearest(train, queries, 100, 2), draw, 900, 3)
    np.testing.assert_array_equal(restricted, alone)


def test_too_few_kept_neighbours_are_an_error_not_a_guess():
    with pytest.raises(InputError, match="do not hold 3"):
        neighbours.restrict(np.arange(10)[None], np.array([0, 1, 50]), 60, 3)


def test_k_is_chosen_on_validation_images_that_are_no_neighbours_of_themselves(digits, tmp_path, monkeypatch):
    """An image that were its own neighbour would make k = 1 perfect."""
    small = data.Dataset("dreamed", digits.train_images[:900], digits.train_labels[:900], digits.test_images[:90],
                         digits.test_labels[:90])  # fmt: skip
    monkeypatch.setattr(neighbours, "DRAWS", 3)
    outcome = neighbours.knn_row(small, table1.Job(tmp_path, 600), p=2)
    errors = outcome.notes["validation_errors_by_k"]
    assert errors[1] > 10
    assert outcome.settings["k"] == min(errors, key=errors.get)
    assert len(outcome.predictions) == 3


def test_the_prepared_images_are_searched_too_but_only_among_all(digits, tmp_path):
    small = data.Dataset("dreamed", digits.train_images[:600], digits.train_labels[:600], digits.test_images[:60],
                         digits.test_labels[:60])  # fmt: skip
    found = neighbours.knn_row(small, table1.Job(tmp_path, 60_000), p=2).notes["by_preprocessing"]
    assert found.keys() == {"black and white", "unit length", "deskewed"}
    theirs = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(small.train_images, small.train_labels)
    wrong = (theirs.predict(small.test_images) != small.test_labels).sum()
    assert found["unit length"]["test"][1] == wrong  # at unit length L2 is the angle
    assert found["black and white"]["test"] != found["unit length"]["test"]
    assert "by_preprocessing" not in neighbours.knn_row(small, table1.Job(tmp_path, 500), p=2).notes
