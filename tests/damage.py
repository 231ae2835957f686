"""Ways in which a file is not what it was any more."""

from collections.abc import Callable
from pathlib import Path

HOLE = 4096


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_bit_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def a_hole(path: Path) -> None:
    """4 KiB of zeros in the middle, or all of a smaller file."""
    content = path.read_bytes()
    begin = max((len(content) - HOLE) // 2, 0)
    hole = bytes(min(HOLE, len(content)))
    path.write_bytes(content[:begin] + hole + content[begin + len(hole) :])


DAMAGES: tuple[Callable[[Path], None], ...] = (missing, empty, cut_in_half, one_bit_flipped, a_hole)
