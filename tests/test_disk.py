"""What is told of disks that cannot be written to."""

import errno
import os
from pathlib import Path

import pytest

from llmctl import disk


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "make room;"),
        (errno.EROFS, "have it made writable, or choose another place"),
        (errno.EACCES, "have it made writable, or choose another place"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_the_hint_is_what_helps(number: int, hint: str) -> None:
    with pytest.raises(disk.DiskError, match=os.strerror(number)) as caught, disk.failures_told():
        raise OSError(number, os.strerror(number), "runs/a")
    assert str(caught.value.hint).startswith(hint)


def test_any_other_error_is_left_as_it_is() -> None:
    with pytest.raises(FileNotFoundError), disk.failures_told():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")


class LibraryError(OSError):
    """As ssl.SSLError, whose numbers are its own."""


@pytest.mark.parametrize(
    "error", [LibraryError(errno.EIO, "x"), PermissionError(errno.EACCES, "no connection")]
)
def test_what_is_not_of_the_disk_keeps_its_words(error: OSError) -> None:
    with pytest.raises(type(error)), disk.failures_told():
        raise error


def test_a_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    with disk.staged_file(tmp_path / "a") as file:
        [staging] = tmp_path.glob(".a.*")
        os.utime(staging, (0, 0))
        disk.sweep(tmp_path)
        file.write("whole")
    assert (tmp_path / "a").read_text() == "whole"
    litter = tmp_path / ".a.gone"
    litter.write_text("")
    os.utime(litter, (0, 0))
    disk.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
