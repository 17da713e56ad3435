"""A file is written whole or not at all, whatever happens meanwhile."""

import errno
import os
import stat
import tempfile

import pytest

from dbn_lite.errors import InputError
from dbn_lite.files import atomic_write, expect_writable


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
