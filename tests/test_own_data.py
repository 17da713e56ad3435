"""One's own data and net: arrays and files of them, presets as files, uneven classes, a run that is watched."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from easy import arrays_of, assert_same_bits, error_percent, greedy, log_of, meta_of, noisy_prototypes, preset, up_down

import dbn_lite
from dbn_lite import cli, data, store, train
from dbn_lite.errors import InputError
from dbn_lite.paper import record
from dbn_lite.presets import PRESETS, Preset, Stage, preset_for
from dbn_lite.study import dreams, watch

RNG = np.random.default_rng(3)
IMAGES = RNG.random((60, 9)).astype(np.float32)
LABELS = np.arange(60) % 3
SMALL = noisy_prototypes(300, 100)
QUICKLY = preset(*greedy(2), up_down(2))


def refused(function, *given, **more):
    with pytest.raises(InputError) as error:
        function(*given, **more)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def call(capsys):
    """Run a command: what it prints as JSON, or the one sentence that it refuses with."""

    def run(*argv):
        code = cli.main([*map(str, argv), "--json"])
        out, error = capsys.readouterr()
        if code:
            assert (code, out, error.count("\n")) == (2, "", 1)
            return error
        return json.loads(out)

    return run


# Arrays


def test_arrays_make_a_data_set():
    pixels = (IMAGES * 255).astype(np.uint8)
    made = data.from_arrays(pixels, LABELS, test=(pixels[:5].reshape(5, 3, 3), LABELS[:5].astype(float)))
    assert (made.name, made.shape, made.n_classes, made.class_names) == ("own", (3, 3), 3, ())
    np.testing.assert_allclose(made.train_images, pixels / 255, rtol=1e-6)
    np.testing.assert_array_equal(made.train_images[:5], made.test_images)
    np.testing.assert_array_equal(made.train_labels, LABELS)
    assert made.train_labels.dtype == made.test_labels.dtype == np.uint8


def test_the_shape_is_that_of_the_array_or_given_or_a_square():
    assert data.from_arrays(IMAGES[:, :8].reshape(60, 2, 4), LABELS).shape == (2, 4)
    assert data.from_arrays(IMAGES[:, :8], LABELS, shape=(4, 2)).shape == (4, 2)
    assert data.from_arrays(IMAGES.tolist(), LABELS.tolist()).shape == (3, 3)
    assert "8 pixels, which make no square; say their shape" in refused(data.from_arrays, IMAGES[:, :8], LABELS)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["cat", "dog", "ant"])[LABELS], ("ant", "cat", "dog")),
        (np.array(["cat", "dog", "ant"], dtype=object)[LABELS], ("ant", "cat", "dog")),
        (LABELS + 1, ("1", "2", "3")),
        (np.array([-4, 70_000, 8])[LABELS], ("-4", "8", "70000")),
        (LABELS % 2 == 0, ()),
    ],
)
def test_labels_of_any_name_are_numbered_in_order(labels, names):
    made = data.from_arrays(IMAGES, labels, test=(IMAGES[:9], labels[:9]))
    assert made.class_names == names
    as_words = np.array(names)[made.train_labels] if names else made.train_labels.astype(str)
    np.testing.assert_array_equal(as_words, np.asarray(labels).astype(int if not names else str).astype(str))
    np.testing.assert_array_equal(made.test_labels, made.train_labels[:9])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((IMAGES * 16, LABELS), "of the data set own, for training, images reach from .* scale them to lie from 0"),
        ((IMAGES, LABELS[:9]), r"labels have the shape \(9,\); give one label for each image, \(60,\)"),
        ((IMAGES, LABELS + 0.5), "labels have the type float64; give a whole number or a word for each image"),
        ((IMAGES, np.eye(3, dtype=int)[LABELS]), r"labels have the shape \(60, 3\)"),
        ((IMAGES, [None] * 60), "labels have the type object"),
        ((IMAGES, [[1], [1, 2]]), "labels differ in length"),
        ((np.zeros((60, 3, 3, 3)), LABELS), r"images have the shape \(60, 3, 3, 3\)"),
        ((np.zeros((0, 9)), []), r"images have the shape \(0, 9\)"),
        ((IMAGES, LABELS, IMAGES), r"test is no pair; give \(images, labels\)"),
        ((IMAGES, LABELS, (IMAGES, None)), "only one part has labels"),
        ((IMAGES, LABELS, (IMAGES[:, :4], LABELS)), "for testing, images have 4 pixels; give images of 9"),
        ((IMAGES, LABELS, (IMAGES, LABELS + 1)), "has test images of class 3, and none to learn it from"),
        ((IMAGES, LABELS, (IMAGES, LABELS.astype(str))), "test images of class '0', and none to learn it from"),
        ((IMAGES, LABELS, None, "own", (2, 4)), "images have 9 pixels; give images of 8"),
        ((IMAGES, LABELS, None, "own", (0, 9)), "shape is 0; give a whole number of at least 1"),
        ((IMAGES, LABELS, None, "own", 9), "shape is 9; give height and width"),
    ],
)
def test_what_makes_no_data_set_is_one_sentence(given, words):
    assert re.search(words, refused(data.from_arrays, *given))


def test_more_classes_than_a_byte_can_tell_are_refused():
    images = np.zeros((300, 4))
    words = "300 different labels, and a net tells 256 classes apart"
    assert words in refused(data.from_arrays, images, np.arange(300))
    assert data.from_arrays(images, np.arange(300) % 256).n_classes == 256


# Files


def test_a_file_is_a_data_set_and_is_trained_on_and_found_again(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = np.array([f"class {c}" for c in range(10)])
    np.savez(
        "mine.npz", images=SMALL.train_images, labels=words[SMALL.train_labels],
        test_images=SMALL.test_images.reshape(100, 8, 8), test_labels=words[SMALL.test_labels],
    )  # fmt: skip
    Path("mine.json").write_text(json.dumps(QUICKLY.as_json()))
    argv = ("train", "--data", "mine.npz", "--preset", "mine.json", "--layers", "20,15,30", "--out", "run")
    result = call(*argv)
    assert (result["images"], result["learned_from"]) == (300, 220)
    info = call("info", "run/net.npz")
    assert [info[name] for name in ("vis", "hid", "pen", "top", "lab")] == [64, 20, 15, 30, 10]
    assert info["classes"] == words.tolist()
    asked = call("evaluate", "run/net.npz")
    assert (asked["data"], asked["images"]) == ("mine.npz", 100)
    assert asked["error_percent"] == pytest.approx(
        error_percent(arrays_of("run/net.npz"), SMALL.test_images, SMALL.test_labels), abs=1e-4
    )
    assert call("evaluate", "run/net.npz", "--data", "mine.npz", "--split", "validation")["images"] == 50
    net = dbn_lite.fit(
        data.load("mine.npz"), layers=(20, 15, 30), out="again", preset=replace(QUICKLY, name="easy"), progress=False
    )
    assert_same_bits("run/net.npz", "again/net.npz")
    np.testing.assert_array_equal(net.vishid, arrays_of("run/net.npz")["vishid"])
    assert call(*argv, "--resume")["net"]  # it is over, and of the same settings
    Path("mine.npz").rename("theirs.npz")
    assert "was trained on mine.npz, which is not at hand; give its file by --data" in call("evaluate", "run/net.npz")
    assert call("evaluate", "run/net.npz", "--data", "theirs.npz")["errors"] == asked["errors"]


def test_a_file_that_is_called_like_a_published_set_does_not_pass_for_it(tmp_path):
    np.savez(tmp_path / "mnist.npz", images=IMAGES, labels=LABELS)
    assert data.load(str(tmp_path / "mnist.npz")).name == "mnist.npz"


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": IMAGES}, "mine.npz has no array 'images'; write it by np.savez(file, images=..., labels=...)"),
        ({"images": IMAGES, "labels": LABELS, "test_labels": LABELS}, "mine.npz has no array 'test_images'"),
        ({"images": IMAGES, "labels": LABELS.astype(object)}, "it carries a pickle, which is never read); write it by"),
        ({"images": IMAGES * 255, "labels": LABELS}, "of the data set mine.npz, for training, images reach from"),
    ],
)
def test_a_file_that_is_no_data_set_is_one_sentence(tmp_path, monkeypatch, call, arrays, words):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", **arrays)
    assert words in call("train", "--data", "mine.npz", "--preset", "smoke", "--out", "run")
    assert not Path("run").exists()


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    assert "mine.npz does not exist" in call("train", "--data", "mine.npz", "--out", "run")
    Path("mine.npz").write_bytes(b"PK\x03\x04 no archive")
    assert "mine.npz is not an .npz file of plain arrays" in call("train", "--data", "mine.npz", "--out", "run")
    np.savez("mine.npz", images=IMAGES, labels=LABELS)
    for layers in ("a,b", "1,2", "1,2,0", "1,2,3,4"):
        assert "layers " in call("train", "--data", "mine.npz", "--layers", layers, "--out", "run")
    assert "there is no preset called 'mine'" in call("train", "--data", "mine.npz", "--preset", "mine", "--out", "run")


# What may be missing


def test_without_test_images_training_goes_and_who_wants_them_is_told(tmp_path, call):
    path = tmp_path / "mine.npz"
    np.savez(path, images=SMALL.train_images, labels=SMALL.train_labels)
    small, out = data.load(str(path)), tmp_path / "run"
    net = dbn_lite.fit(small, out=out, preset=preset(*greedy(1), up_down(2, record_every=1)), progress=False)
    last = log_of(out)[-1]
    assert "train_error" in last
    assert "test_error" not in last
    words = "the data set mine.npz has no test images; give it some, or choose another split"
    assert words in call("evaluate", out / "net.npz", "--data", path)
    assert call("evaluate", out / "net.npz", "--data", path, "--split", "validation")["images"] == 50
    assert words in refused(record.of_run, out, small)
    assert words in refused(dreams.measure, net, small)
    assert words in call("dreams", out / "net.npz", "--data", path)


def test_without_labels_a_net_learns_to_dream(tmp_path, call):
    path = tmp_path / "mine.npz"
    np.savez(path, images=SMALL.train_images, test_images=SMALL.test_images)
    plain, out = data.load(str(path)), tmp_path / "run"
    stages = (*greedy(1), up_down(2, record_every=1), up_down(1, name="all images", all_images=True))
    net = dbn_lite.fit(plain, out=out, preset=preset(*stages), progress=False)
    assert net.n_labels == 1
    assert not any("error" in name and name != "reconstruction_error" for row in log_of(out) for name in row)
    assert "best_validation_error" not in meta_of(out / "net.npz")
    assert dbn_lite.generate(net, None, 3, 2).shape == (3, 64)
    assert "has no labels to be wrong about; give one that has" in call("evaluate", out / "net.npz", "--data", path)
    ups = arrays_of(out / "up-down.npz"), arrays_of(out / "net.npz")
    assert any((ups[0][name] != ups[1][name]).any() for name in ups[0])  # the last stage learned


# Uneven classes


def uneven(counts, n_pixels=4):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    greys = np.repeat((np.arange(len(labels)) / len(labels))[:, None], n_pixels, axis=1)
    return data.from_arrays(greys, labels)


@pytest.mark.parametrize(
    ("counts", "batch_size", "n_train"),
    [
        ((1950, 25, 25), 100, 1600),
        ((200,) * 3, 100, 500),  # 100 is no multiple of 3
        ((40,) * 26, 100, 800),
        ((3, 70), 10, 60),
        ((1000,) * 9 + (105,), 100, 7500),
    ],
)
def test_no_image_is_left_out_where_classes_are_uneven(counts, batch_size, n_train):
    """Each is used once, to learn from or to validate, and every mini-batch has each class as often as the data do."""
    own = uneven(counts)
    cut = train.split_for(own, 5, batch_size)
    assert len(cut.train_labels) == n_train
    greys = np.concatenate([cut.train_images, cut.validation_images])[:, 0]
    np.testing.assert_array_equal(np.sort(greys), np.sort(own.train_images[:, 0]))
    which = np.rint(np.concatenate([cut.train_images, cut.validation_images])[:, 0] * len(greys)).astype(int)
    np.testing.assert_array_equal(own.train_labels[which], np.append(cut.train_labels, cut.validation_labels))
    share = np.array(counts) / sum(counts)
    for batch in cut.train_labels.reshape(-1, batch_size):
        assert np.abs(np.bincount(batch, minlength=len(counts)) - batch_size * share).max() < 2
    for labels in (cut.train_labels, cut.validation_labels):
        assert np.abs(np.bincount(labels, minlength=len(counts)) - len(labels) * share).max() < 2


def test_mini_batches_of_uneven_classes_are_drawn_anew_for_each_seed_and_mixed():
    own = uneven((150, 30, 20))
    one, same, other = (train.split_for(own, seed, 20) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.train_images, same.train_images)
    assert (one.train_images != other.train_images).any()
    assert (np.diff(one.train_labels[:20].astype(int)) < 0).any()


def test_a_run_says_how_many_images_it_learns_from(tmp_path, capsys):
    own = uneven((195, 5), 16)
    dbn_lite.fit(own, (4, 4, 4), tmp_path / "run", preset(*greedy(1), up_down(1)))
    told = capsys.readouterr().err.split("\n")[0]
    assert told == "own: a net of 16-4-4-4-2 units learns from 160 of 200 images; 40 are kept for validation; 4 epochs."
    stages = (*greedy(1), up_down(1), up_down(1, name="all", all_images=True))
    run = train.Run(preset(*stages, batch_size=30), own, 0, tmp_path / "all")
    assert "learns from 150 of 200 images, in the end from 180; 50 are kept" in run.told()


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_comes_back_from_what_is_written_of_it(name, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(PRESETS[name].as_json()))
    assert Preset.from_json(PRESETS[name].as_json()) == Preset.from_json(path) == PRESETS[name]
    own = preset_for(name, "own", 3000, (10, 20, 30))
    assert Preset.from_json(own.as_json()) == own


def test_what_has_a_default_may_be_left_out_of_a_file():
    stage = {"name": "a", "layer": 1, "epochs": 2, "learning_rate": [0.1, 0.05], "weight_decay": 0}
    read = Preset.from_json({"name": "mine", "stages": [stage]})
    assert read == Preset("mine", (Stage("a", 1, 2, (0.1, 0.05), 0),))
    assert read.layers_for((16, 16)) == (300, 300, 1200)  # nobody chose them


GOOD = PRESETS["smoke"].as_json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": [10, 10]}, "it.layers is [10, 10], not a list of three whole numbers of units, at least 1 each"),
        ({"layers": [10, 10, 0]}, "it.layers is [10, 10, 0], not"),
        ({"batch": 10}, "it has an unknown entry 'batch'"),
        ({"batch_size": "10"}, "it.batch_size is '10', not a whole number of at least 1"),
        ({"stages": {}}, "it.stages is {}, not a list"),
        ({"stages": [{"name": "a"}]}, "it.stages[0] has no 'layer'"),
        ({"stages": [GOOD["stages"][0] | {"learning_rate": 0.1}]}, "it.stages[0].learning_rate is 0.1, not a list of"),
        ({"stages": [GOOD["stages"][0] | {"epochs": 1.5}]}, "it.stages[0].epochs is 1.5, not a whole number"),
        ({"stages": [GOOD["stages"][0] | {"rate": 0.1}]}, "it has an unknown entry 'rate'"),
        ({"name": 3}, "it.name is 3, not a text"),
    ],
)
def test_what_is_wrong_in_a_preset_is_one_sentence(change, words, tmp_path):
    assert words in refused(Preset.from_json, GOOD | change)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(GOOD | change))
    assert str(path) in refused(Preset.from_json, path)


@pytest.mark.parametrize("name", ["../x", "/x", "net", "greedy", "checkpoint", "", "a\\b", "a\nb"])
def test_a_stage_cannot_write_where_another_file_is(name):
    """A stage of up-down leaves a net called after it, and a preset may be somebody else's file."""
    assert f"a stage is called {name!r}; give it a name" in refused(preset(up_down(1, name=name)).check, 100)


def test_a_preset_that_is_no_file_is_one_sentence(tmp_path):
    assert "it is [], not an object" in refused(Preset.from_json, [])
    assert "cannot read" in refused(Preset.from_json, tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{")
    assert "is no JSON file; write it as" in refused(Preset.from_json, tmp_path / "x.json")


def test_a_named_preset_makes_as_many_updates_on_another_set_as_on_mnist():
    quick = PRESETS["quick"]
    assert preset_for("quick", "mnist", 60_000) is preset_for("quick", "dreamed", 12_000) is quick
    scaled = preset_for("quick", "usps", 7291)
    for before, after in zip(quick.stages, scaled.stages, strict=True):
        assert after.epochs * 7291 == pytest.approx(before.epochs * 60_000, abs=7291 / 2)
        assert replace(after, epochs=before.epochs, steady=0) == replace(before, steady=0)
    paper = preset_for("paper", "usps", 30_000)
    assert [s.steady for s in paper.stages[:2]] == [40, 40]
    assert [s.record_every for s in paper.stages] == [0] * 4 + [20] * 3 + [1]
    assert preset_for("smoke", "usps", 7291) == PRESETS["smoke"]
    assert preset_for(quick, "usps", 7291) is quick  # whoever gives a preset gives its epochs
    assert {s.epochs for s in preset_for("quick", "large", 10**7).stages} == {1}


def test_layers_that_are_not_three_are_one_sentence():
    for layers in (100, (100, 100), "abcd"):
        assert f"layers are {layers!r}; give the units of three" in refused(preset_for, "quick", "own", 100, layers)


def test_units_that_somebody_chose_are_taken_as_chosen():
    assert preset_for("quick", "usps", 7291).layers_for((16, 16)) == (300, 300, 1200)
    assert preset_for("quick", "usps", 7291, (500, 500, 2000)).layers_for((16, 16)) == (500, 500, 2000)
    assert preset_for("quick", "mnist", 60_000, [1, 2, 3]).layers_for((28, 28)) == (1, 2, 3)


def test_a_run_that_is_older_than_scaling_goes_on_with_its_own_preset(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "easy", QUICKLY)
    train.Run(QUICKLY, SMALL, 0, tmp_path / "old").train(progress=False)
    before = log_of(tmp_path / "old")
    run = train.open_run(SMALL, None, tmp_path / "old", "easy", 0, resume=True)
    assert run.preset == QUICKLY
    run.train(progress=False)
    assert log_of(tmp_path / "old") == before
    assert train.open_run(SMALL, None, tmp_path / "new", "easy", 0).preset.stages[0].epochs == 400


# What is learned from is not what is validated on


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A run with a stage on all images."""
    out = tmp_path_factory.mktemp("seen") / "run"
    train.Run(preset(*greedy(1), up_down(2), up_down(2, name="last", all_images=True)), SMALL, 0, out).train(False)
    return out


def test_an_error_on_images_that_were_learned_from_is_called_so(seen):
    rows = log_of(seen)
    assert ["validation_error" in row for row in rows] == [False, False, True, True, True, False, False]
    assert [train.SEEN in row for row in rows] == [False] * 5 + [True] * 2
    parts = train.split_for(SMALL, 0, 20)
    expected = error_percent(arrays_of(seen / "net.npz"), parts.validation_images, parts.validation_labels)
    assert rows[-1]["train_error_on_validation_images"] == pytest.approx(expected)


def test_evaluate_says_what_was_learned_from(seen, call, tmp_path):
    np.savez(tmp_path / "small.npz", images=SMALL.train_images, labels=SMALL.train_labels)
    argv = ("--data", tmp_path / "small.npz", "--split", "validation")
    note = "the net learned from these images too, in the stage last: this is a training error"
    assert call("evaluate", seen / "net.npz", *argv)["note"] == note
    assert "note" not in call("evaluate", seen / "up-down.npz", *argv)
    assert "note" not in call("evaluate", seen / "greedy.npz", *argv)
    assert "note" not in call("evaluate", seen / "net.npz", "--data", tmp_path / "small.npz", "--split", "train")


def test_logs_that_called_it_a_validation_error_are_recorded_all_the_same(seen, tmp_path):
    """As runs that began with older code have them."""
    new = record.of_run(seen, SMALL)
    old, path = tmp_path / "old", seen / "log.jsonl"
    old.mkdir()
    for file in seen.iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    (old / "log.jsonl").write_text(path.read_text().replace(train.SEEN, "validation_error"))
    assert record.of_run(old, SMALL)["rows"] == new["rows"]
    assert new["rows"][-1]["validation_error"] is None
    assert new["rows"][-1][train.SEEN] == pytest.approx(log_of(seen)[-1][train.SEEN], abs=1e-4)


# Steering and watching


def test_a_stage_ends_where_somebody_wants_it_to(tmp_path):
    told = []

    def enough(row):
        told.append(row)
        return row["stage"] == "up-down" and row["epoch"] == 2

    stages = (*greedy(2), up_down(9), up_down(1, name="more"))
    run = train.Run(preset(*stages), SMALL, 0, tmp_path / "run")
    run.train(False, after_epoch=enough)
    assert [(row["stage"], row["epoch"]) for row in told if "greedy" not in row["stage"]] == [
        ("up-down", 1), ("up-down", 2), ("more", 1),
    ]  # fmt: skip
    assert told == run.log
    assert train.Run(preset(*stages), SMALL, 0, tmp_path / "run", resume=True).stage is None


def test_a_run_is_continued_with_its_new_settings_on_record(tmp_path):
    first = train.Run(preset(*greedy(1), up_down(1)), SMALL, 4, tmp_path / "a")
    first.train(False)
    more = (up_down(2, name="more"), up_down(1, name="all", all_images=True))
    run = train.Run.continued(tmp_path / "a", SMALL, stages=more, out=tmp_path / "b")
    for name, array in run.net.arrays().items():
        np.testing.assert_array_equal(array, arrays_of(tmp_path / "a" / "net.npz")[name])
    run.train(False)
    about = meta_of(tmp_path / "b" / "net.npz")
    assert [stage["name"] for stage in about["preset"]["stages"]] == [
        "greedy 1", "greedy 2", "greedy 3", "up-down", "more", "all",
    ]  # fmt: skip
    assert (about["seed"], about["data"]) == (4, meta_of(tmp_path / "a" / "net.npz")["data"])
    assert [row["stage"] for row in log_of(tmp_path / "b")] == ["more", "more", "all"]
    again = train.Run.continued(tmp_path / "a", SMALL, more, tmp_path / "b", resume=True)
    assert again.stage is None
    other = noisy_prototypes(300, 100, seed=1)
    assert "go on with that, not prototypes, 300" in refused(
        train.Run.continued, tmp_path / "a", other, more, tmp_path / "c"
    )
    assert "stages of up-down only" in refused(train.Run.continued, tmp_path / "a", SMALL, greedy(1), tmp_path / "c")


def test_a_run_that_goes_on_from_all_images_keeps_its_last_net(seen, tmp_path):
    run = train.Run.continued(seen, SMALL, [up_down(1, name="more")], tmp_path / "more")
    run.train(False)
    before, after = arrays_of(seen / "net.npz"), arrays_of(tmp_path / "more" / "net.npz")
    assert (before["vishid"] != after["vishid"]).any()
    assert train.SEEN in log_of(tmp_path / "more")[-1]


def pictures(text):
    return re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,', text)


def test_a_run_is_a_page_while_it_trains_and_after(tmp_path):
    run, found = train.Run(preset(*greedy(1), up_down(1)), SMALL, 0, tmp_path / "run"), {}

    def look(row):
        run._save()
        found[row["stage"]] = watch.page(tmp_path / "run")

    begun = watch.page(tmp_path / "run")
    assert pictures(begun) == ["Filters of the first layer"]
    assert "the first epoch is under way" in begun
    run.train(False, after_epoch=look)
    dreamed = "What it dreams of each class, 4 chains after 100 iterations"
    assert pictures(found["greedy 1"]) == ["Reconstruction", "Filters of the first layer"]
    assert pictures(found["up-down"]) == ["Errors", "Reconstruction", "Filters of the first layer", dreamed]
    assert 'http-equiv="refresh"' in found["up-down"]
    told = watch.watch(tmp_path / "run", tmp_path / "page.html", every=0)
    assert told == {"epochs": 4, "finished": True}
    text = (tmp_path / "page.html").read_text()
    assert 'http-equiv="refresh"' not in text
    assert "Finished. up-down, epoch 1: learning rate 0.05, validation error " in text
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing from elsewhere


def test_watch_is_a_command(tmp_path, call, seen):
    for more in ((), ("--once",)):
        result = call("watch", seen, "--out", tmp_path / "page.html", *more)
        assert result == {"written": str(tmp_path / "page.html"), "epochs": 7, "finished": True}
    assert "does not exist" in call("watch", tmp_path / "none")
    store.save(store.load(seen / "net.npz"), tmp_path / "checkpoint.npz")
    assert "is of no run" in call("watch", tmp_path)


# The page of recipes


PAGE = Path(__file__).parents[1] / "book" / "build-on-it.md"


def test_the_recipes_of_own_data_run_as_they_stand(tmp_path, monkeypatch, capsys):
    """In their order, with a preset `quick` that is over at once."""
    short = replace(QUICKLY, name="quick", layers=(500, 500, 2000), batch_size=100)
    monkeypatch.setitem(PRESETS, "quick", replace(short, stages=(*greedy(1), up_down(1))))
    monkeypatch.chdir(tmp_path)
    of_own_data = PAGE.read_text().split("\n## Features")[0]  # the others: tests/test_build_on_it.py
    recipes = re.findall(r"```(\w+)\n(.*?)```", of_own_data, re.DOTALL)
    assert len(recipes) > 5
    here = {}
    for kind, text in recipes:
        if kind == "python":
            exec(compile(text, PAGE.name, "exec"), here)
        for line in text.splitlines() if kind == "sh" else ():
            program, *argv = line.split()
            assert (program, cli.main(argv)) == ("dbn-lite", 0), line
    out = capsys.readouterr().out
    assert "digits.npz" in out  # the set that evaluate found by itself
    assert_same_bits("run/net.npz", "own/net.npz")
    assert (tmp_path / "run" / "watch.html").is_file()
    assert here["net"].sizes == (64, 100, 100, 300, 10)
    assert [row["stage"] for row in log_of(tmp_path / "longer")] == ["all images"] * 5


def test_digits_of_scikit_learn_are_learned(tmp_path):
    """In a twentieth of the epochs that the page takes: seconds, and 7.2 % where this was written."""
    from sklearn.datasets import load_digits

    digits, order = load_digits(), np.random.default_rng(0).permutation(1797)
    images, labels, train_on, test_on = digits.images / 16, digits.target, order[360:], order[:360]
    own = data.from_arrays(images[train_on], labels[train_on], test=(images[test_on], labels[test_on]))
    quick = preset_for("quick", "own", len(train_on), (100, 100, 300))
    short = replace(quick, stages=tuple(replace(s, epochs=max(1, s.epochs // 20)) for s in quick.stages))
    net = dbn_lite.fit(own, out=tmp_path / "run", preset=short, progress=False)
    wrong = error_percent(arrays_of(tmp_path / "run" / "net.npz"), own.test_images, own.test_labels)
    assert wrong == pytest.approx(train.error_percent(net, own.test_images, own.test_labels), abs=0.3)
    assert wrong < 9
