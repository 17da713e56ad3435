"""Nets on disk: what comes back is what was written, and what is no net is refused in a sentence."""

import io
import json
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from easy import arrays_of, contents

from dbn_lite import dbn, places, store
from dbn_lite.errors import InputError

SHAPES = {  # from appendix B, for 6 pixels, 5 and 4 hidden units, 7 top units and 3 labels
    "vishid": (6, 5), "hidrecbiases": (5,), "hidpen": (5, 4), "penrecbiases": (4,), "pentop": (4, 7), "labtop": (3, 7),
    "topbiases": (7,), "pengenbiases": (4,), "labgenbiases": (3,), "penhid": (4, 5), "hidgenbiases": (5,),
    "hidvis": (5, 6), "visgenbiases": (6,),
}  # fmt: skip


def arrays(dtype=np.float32):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.npz"


def test_a_net_comes_back_to_the_bit_with_what_was_written_beside_it(path):
    meta = {"seed": 3, "preset": {"name": "easy", "stages": [1, 0.1]}, "last_epoch": {"validation_error": 2.5}}
    store.save(dbn.from_arrays(arrays()), path, **meta)
    assert store.read_meta(path) == meta
    back = store.load(path).arrays()
    assert back.keys() == SHAPES.keys()
    for name, array in arrays().items():
        assert back[name].dtype == np.float32
        assert back[name].tobytes() == array.tobytes(), name


def test_the_file_is_plain_arrays_named_and_shaped_as_in_appendix_b(path):
    store.save(dbn.from_arrays(arrays()), str(path))
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == sorted([*SHAPES, "meta"])
        assert {name: file[name].shape for name in SHAPES} == SHAPES
        assert json.loads(str(file["meta"])) == {}
    for name, array in arrays_of(path).items():
        np.testing.assert_array_equal(array, arrays()[name])
    assert os.listdir(path.parent) == ["net.npz"]


def test_half_precision_rounds_and_is_read_back_as_float32(path):
    store.save(dbn.from_arrays(arrays()), path, dtype="float16")
    assert {array.dtype for array in arrays_of(path).values()} == {np.dtype(np.float16)}
    for name, array in store.load(path).arrays().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays()[name].astype(np.float16).astype(np.float32))


def test_a_net_by_somebody_else_will_do(path):
    """Float64, compressed, without a description, with an array too many."""
    np.savez_compressed(path, extra=np.zeros(2), **arrays(np.float64))
    net = store.load(path)
    assert net.sizes == (6, 5, 4, 7, 3)
    assert net.top.W.dtype == np.float32
    np.testing.assert_array_equal(net.arrays()["labtop"], arrays()["labtop"])
    assert store.read_meta(path) == {}


def test_what_is_loaded_predicts_what_was_saved(path):
    net, images = dbn.from_arrays(arrays()), np.random.default_rng(1).random((50, 6), dtype=np.float32)
    store.save(net, path)
    before, after = dbn.label_log_probs(net, images), dbn.label_log_probs(store.load(path), images)
    assert len(set(before.argmax(axis=1))) > 1
    np.testing.assert_array_equal(before, after)


def test_saving_where_nothing_can_be_written_keeps_what_is_there(tmp_path):
    net = dbn.from_arrays(arrays())
    store.save(net, tmp_path / "net.npz")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*missing/net.npz: the folder .* does not exist"):
        store.save(net, tmp_path / "missing" / "net.npz")
    with pytest.raises(InputError, match=r"cannot write .*: the folder .*net.npz does not exist"):
        store.save(net, tmp_path / "net.npz" / "net.npz")
    with pytest.raises(InputError, match="cannot write"):
        store.save(net, tmp_path)
    assert contents(tmp_path) == before


# What is no net


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        store.load(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_no_file_or_a_folder(path, tmp_path):
    refused(path, "does not exist; give the path of an .npz file")
    refused(tmp_path, "is a folder; give the path of an .npz file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is no regular file; give the path of an .npz file")
    refused(Path(os.devnull), "is no regular file")


@pytest.mark.parametrize("name", SHAPES)
def test_a_net_without_one_of_its_arrays(path, name):
    np.savez(path, **{key: a for key, a in arrays().items() if key != name})
    refused(path, f"is not a net: it has no array '{name}'")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("change", ["longer", "transposed", "flat"])
def test_an_array_that_does_not_fit_the_others(path, name, change):
    own = arrays()
    a = own[name]
    changed = {"longer": np.concatenate([a, a]), "transposed": np.atleast_2d(a).T, "flat": a.reshape(-1, 1, 1)}
    own[name] = changed[change]
    np.savez(path, **own)
    refused(path, r"a net of these layers has floats of|must be matrices")


@pytest.mark.parametrize(("name", "biases"), [("labtop", "labgenbiases"), ("vishid", "visgenbiases")])
def test_a_layer_without_units(path, name, biases):
    np.savez(path, **{**arrays(), name: arrays()[name][:0], biases: arrays()[biases][:0]})
    refused(path, "is not a net: it has a layer without units")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite(path, name, value):
    own = arrays()
    own[name].flat[-1] = value
    np.savez(path, **own)
    refused(path, f"{name} has values that are not finite")


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_a_value_that_float32_cannot_hold(path, value):
    np.savez(path, **{**arrays(), "topbiases": np.full(7, value)})
    refused(path, "topbiases has values that are not finite")


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, np.bool_, "U3"])
def test_an_array_that_holds_no_floats(path, dtype):
    np.savez(path, **{**arrays(), "hidpen": np.ones((5, 4), dtype)})
    refused(path, "hidpen is .* of shape .* floats of")


class _Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("name", ["hidpen", "meta"])
def test_a_pickle_is_refused_and_never_run(path, tmp_path, name):
    trap = np.empty((5, 4), dtype=object)
    trap[...] = _Trap(tmp_path / "sprung")
    np.savez(path, **{**arrays(), name: trap})
    refused(path, "carries a pickle, which is never read")
    with pytest.raises(InputError, match="carries a pickle"):
        store.load_arrays(path)
    path.write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    refused(path, "is not an .npz file of plain arrays")
    assert not (tmp_path / "sprung").exists()
    pickle.loads(path.read_bytes()).close()
    assert (tmp_path / "sprung").exists()  # so the trap was armed


def test_what_is_not_needed_is_not_even_unpacked(path, tmp_path, monkeypatch):
    """Neither a pickle nor a huge array beside those of a net."""
    trap = np.empty(1, dtype=object)
    trap[...] = _Trap(tmp_path / "sprung")
    np.savez_compressed(path, meta=np.array('{"seed": 4}'), trap=trap, huge=np.zeros(20_000_000), **arrays())
    monkeypatch.setattr(store, "MOST_BYTES", 10_000)
    tracemalloc.start()
    net, about = store.load(path), store.read_meta(path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert (net.sizes, about) == ((6, 5, 4, 7, 3), {"seed": 4})
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_would_fill_the_memory_is_refused_by_what_it_declares(path):
    np.savez_compressed(path, **{**arrays(), "vishid": np.zeros((20_000, 14_000), np.float32)})
    assert path.stat().st_size < 2_000_000
    refused(path, r"would take \d{10} bytes of memory, more than 1073741824; give a smaller one")


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"seed": "x"}, r"its description.seed is 'x', not a whole number of at least 0; train it"),
        ({"seed": -1}, "seed is -1, not a whole number"),
        ({"seed": None}, "seed is None"),
        ({"seed": True}, "seed is True"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"preset": {"batch_size": 0}}, "its preset.batch_size is 0, not a whole number of at least 1"),
        ({"preset": {"batch_size": "100"}}, "batch_size is '100'"),
        ({"preset": {"name": [1] * 99}}, r"its preset.name is \[1, 1, .{20,}\.\.\., not a text"),
        ({"data": 3}, "data is 3, not a text"),
        ({"seconds": float("nan")}, "seconds is nan, not a finite number"),
        ({"last_epoch": 7}, "last_epoch is 7, not an object"),
        ({"last_epoch": {"stage": 1}}, "last_epoch.stage is 1, not a text"),
    ],
)
def test_what_is_computed_with_is_checked_and_all_else_is_taken(path, meta, words):
    store.save(dbn.from_arrays(arrays()), path, colour="blue", vis=[1], **meta)
    with pytest.raises(InputError, match=words) as caught:
        store.read_meta(path)
    assert str(path) in str(caught.value)
    store.save(dbn.from_arrays(arrays()), path, colour="blue", vis=[1], seed=0)
    assert store.read_meta(path) == {"colour": "blue", "vis": [1], "seed": 0}


@pytest.mark.parametrize(
    "content", [b"", b"P", b"PK\x03\x04", b"PK\x05\x06", b"weights: 0.1 0.2", b"\x93NUMPY", bytes(5000)]
)
def test_a_file_of_another_kind(path, content):
    path.write_bytes(content)
    refused(path, r"is not an .npz file of plain arrays \(it is damaged")


def test_a_single_array_under_the_name_of_a_net(path):
    with open(path, "wb") as file:
        np.save(file, arrays()["vishid"])
    refused(path, "is not an .npz file of plain arrays")


@pytest.mark.parametrize("meta", ["{", "seven", "[1, 2]", "7", "null"])
def test_a_description_that_is_no_json_object(path, meta):
    np.savez(path, **arrays(), meta=np.array(meta))
    refused(path, "is not an .npz file of plain arrays")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_cut_short_anywhere(path, write):
    whole = io.BytesIO()
    write(whole, **arrays(), meta=np.array("{}"))
    for length in [*range(0, len(whole.getvalue()), 97), len(whole.getvalue()) - 1]:
        path.write_bytes(whole.getvalue()[:length])
        refused(path, r"is not an .npz file of plain arrays \(it is damaged, cut short")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_with_a_wrong_byte_is_refused_or_gives_the_right_net(path, write):
    """Whatever the reader of the format makes of it, no other exception comes out and no changed weight."""
    content, right, refusals = io.BytesIO(), arrays(), 0
    write(content, **right, meta=np.array("{}"))
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content.getvalue()), 600, replace=False):
        damaged = bytearray(content.getvalue())
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            net = store.load(path)
        except InputError as error:
            refusals += "\n" not in str(error)
        else:
            for name, array in net.arrays().items():
                np.testing.assert_array_equal(array, right[name], err_msg=f"byte {place}")
    assert refusals > 300


def test_the_shipped_net_is_of_the_papers_preset(tmp_path, monkeypatch):
    preset = store.read_meta(store.shipped())["preset"]
    assert (preset["name"], preset["layers"]) == ("paper", [500, 500, 2000])
    monkeypatch.setattr(places, "_PACKAGE", tmp_path)
    with pytest.raises(InputError, match=r"paper\.npz does not come with this copy"):
        store.shipped()
