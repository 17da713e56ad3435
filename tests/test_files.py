"""A file is written whole or not at all, whatever happens meanwhile."""

import errno
import os
import re
import stat
import tempfile

import pytest

from dbn_lite.errors import InputError
from dbn_lite.files import (
    MAYBE,
    NUMBER,
    TEXT,
    TRUTH,
    alone_in,
    atomic_write,
    count,
    expect_folder,
    expect_writable,
    fault,
    read_json,
)


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "net.npz"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"ne")
        file.flush()
        assert path.read_bytes() == b"old"
        file.write(b"w")

    atomic_write(path, write)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["net.npz"]


def test_a_string_will_do_for_a_path_and_the_writer_may_seek(tmp_path):
    def write(file):
        file.write(b"0123")
        file.seek(1)
        file.write(b"x")

    atomic_write(str(tmp_path / "a"), write)
    assert (tmp_path / "a").read_bytes() == b"0x23"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere an open file cannot be replaced")
def test_whoever_reads_the_old_file_meanwhile_reads_it_to_its_end(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with open(tmp_path / "a", "rb") as reader:
        atomic_write(tmp_path / "a", lambda file: file.write(b"new"))
        assert reader.read() == b"old"


@pytest.mark.skipif(os.name != "posix", reason="permission bits are a POSIX matter")
def test_the_file_gets_the_permissions_of_any_other_new_file(tmp_path):
    atomic_write(tmp_path / "a", lambda file: file.write(b"x"))
    (tmp_path / "b").write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError("a bug of the writer")])
def test_what_the_writer_raises_goes_through_and_nothing_is_left(tmp_path, stop):
    (tmp_path / "a").write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise stop

    with pytest.raises(stop if isinstance(stop, type) else type(stop)):
        atomic_write(tmp_path / "a", write)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def _fails_with(number):
    def write(file):
        file.write(b"half")
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EACCES, "Permission denied; choose a folder that can be written to"),
        (errno.EROFS, "Read-only file system; choose a folder that can be written to"),
    ],
)
def test_a_disk_that_refuses_is_told_in_a_sentence_and_nothing_is_left(tmp_path, number, words):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(InputError, match=words) as caught:
        atomic_write(tmp_path / "a", _fails_with(number))
    assert str(tmp_path / "a") in str(caught.value)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.fixture
def room_for_10000_bytes():
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_limit_on_file_size_reads_as_a_full_disk(tmp_path, room_for_10000_bytes):
    with pytest.raises(InputError, match="the disk is full"):
        atomic_write(tmp_path / "a", lambda file: file.write(bytes(20_000)))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_or_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "missing", tmp_path / "file"):
        for write in (expect_writable, lambda path: atomic_write(path, lambda file: file.write(b"x"))):
            with pytest.raises(InputError, match=f"cannot write .*: the folder {folder} does not exist; make it"):
                write(folder / "a")
    expect_writable(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_to_is_known_beforehand(tmp_path, monkeypatch):
    def refuse(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"cannot write .*a: Read-only file system; choose a folder that can be"):
        expect_writable(tmp_path / "a")


# What is there already

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and devices are of another kind elsewhere")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    path, seen = tmp_path / "a", []
    path.write_bytes(b"old")
    path.chmod(mode)

    def write(file):
        file.write(b"new")
        seen.extend(stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob(".a.*"))

    atomic_write(path, write)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert seen[0] & ~mode == 0  # nobody else may read it meanwhile either


@posix
def test_a_link_goes_on_leading_to_the_file_that_it_leads_to(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_bytes(b"old")
    for name, target in (("link", "there/a"), ("link to a link", "link"), ("new", "there/b")):
        (tmp_path / name).symlink_to(target)
        atomic_write(tmp_path / name, lambda file, name=name: file.write(name.encode()))
        assert os.readlink(tmp_path / name) == target
        assert (tmp_path / name).read_text() == name
    assert sorted(os.listdir(tmp_path / "there")) == ["a", "b"]
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"cannot write .*loop"):
        atomic_write(tmp_path / "loop", lambda file: file.write(b"x"))


@posix
def test_what_is_no_regular_file_is_written_to(tmp_path):
    """A device stays one, also for root; a pipe is given the bytes."""
    atomic_write(os.devnull, lambda file: (file.write(b"012"), file.seek(0), file.write(b"x")))
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    atomic_write(tmp_path / "pipe", lambda file: (file.write(b"0123"), file.seek(1), file.write(b"x")))
    assert os.read(reader, 99) == b"0x23"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_an_output_is_never_an_input_by_whatever_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.npz").write_bytes(b"precious")
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "link").symlink_to("net.npz")
    os.link("net.npz", "hard link")
    for name in ("net.npz", "./net.npz", str(tmp_path / "net.npz"), "link", "hard link"):
        with pytest.raises(InputError, match="is what is read; name another file to write to"):
            expect_writable(name, "other", "net.npz")
    expect_writable("other", "net.npz")
    expect_writable("new", "net.npz", "missing")


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_the_longest_names_of_files_are_taken_and_longer_ones_are_a_sentence(tmp_path, name):
    atomic_write(tmp_path / name, lambda file: file.write(b"x"))
    assert os.listdir(tmp_path) == [name]
    for function in (expect_writable, expect_folder, lambda path: atomic_write(path, lambda file: file.write(b"x"))):
        with pytest.raises(InputError, match=r"cannot .*File name too long; choose|cannot make .*File name too long"):
            function(tmp_path / (name + "aa"))
    assert os.listdir(tmp_path) == [name]


def test_a_folder_is_tested_without_being_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for fine in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        expect_folder(fine)
    for wrong in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(InputError, match=r"cannot make the folder .*file is no folder.; choose another"):
            expect_folder(wrong)
    assert os.listdir(tmp_path) == ["file"]


def test_one_at_a_time_in_a_folder(tmp_path):
    words = f"another process works in {tmp_path}; wait for it, or"
    with alone_in(tmp_path), pytest.raises(InputError, match=words), alone_in(tmp_path):
        pytest.fail("two are in")
    with alone_in(tmp_path):
        pass  # the first one is out, though it was disturbed
    assert os.name != "posix" or os.listdir(tmp_path) == []
    with alone_in(tmp_path / "missing"):
        pass  # what is wrong with a folder is told when it is written to


# What is read


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        (1, count(), ""), (0, count(1), "it is 0, not a whole number of at least 1"), (True, count(), "it is True"),
        (1.0, count(), "it is 1.0"), (1.5, NUMBER, ""), (float("nan"), NUMBER, "it is nan, not a finite number"),
        (None, NUMBER, "it is None"), (None, MAYBE, ""), ("1", MAYBE, "it is '1', not a finite number or null"),
        (1, TEXT, "it is 1, not a text"), (0, TRUTH, "it is 0, not true or false"), ([], [TEXT], ""),
        (["a", 1], [TEXT], r"it\[1\] is 1, not a text"), ({}, [TEXT], "it is {}, not a list"),
        ([], {}, r"it is \[\], not an object"), ({"x": 1, "other": None}, {"x": NUMBER}, ""),
        ({}, {"x": NUMBER}, "it has no 'x'"), ({}, {"x?": NUMBER}, ""), ({"x": "a"}, {"x?": NUMBER}, "it.x is 'a'"),
        ({"x": [{"y": []}]}, {"x": [{"y": {}}]}, r"it.x\[0\].y is \[\], not an object"),
        ({"a": 1, "b": "x"}, {"*": NUMBER}, "it.b is 'x', not a finite number"), ({"a": 1}, {"*": NUMBER}, ""),
        ("x" * 99, NUMBER, r"it is 'x{36}\.\.\., not"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(value, schema, words):
    assert re.fullmatch(f"{words}.*" if words else "", fault(value, schema))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON file; record the run again"), (b"{", "is no JSON file"), (b"\xff", "is no JSON file"),
        (b"[" * 100_000, "is no JSON file"), (b"9" * 5000, "is no JSON file"), (b"[1]", "is not a list of texts .it"),
        (b'["a"] x', "is no JSON file"),
    ],
)  # fmt: skip
def test_a_json_file_is_as_it_must_be_or_refused(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=f"a.json {words}") as caught:
        read_json(tmp_path / "a.json", [TEXT], "a list of texts")
    assert "\n" not in str(caught.value)
    (tmp_path / "a.json").write_text('["a"]\n')
    assert read_json(tmp_path / "a.json", [TEXT], "a list of texts") == ["a"]
    assert read_json(tmp_path / "a.json", [[TEXT]], "lines", lines=True) == [["a"]]


@posix
def test_a_pipe_or_a_huge_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is no regular file; give the path of a record"):
        read_json(tmp_path / "pipe", [TEXT], "a record")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(InputError, match="huge has more than 67108864 bytes; give the path of a record"):
        read_json(tmp_path / "huge", [TEXT], "a record")
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"is no regular file|cannot read .*No such file"):
            read_json(path, [TEXT], "a record")
