"""What files were when they were written: ``manifest.json`` has the size and SHA-256 of each, and of itself."""

import errno
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmctl import disk

NAME = "manifest.json"
_THREADS = 16  # hashing and flushing leave Python alone, and some only wait for the disk
_AT_A_TIME = 1 << 20  # bytes


def seal(folder: Path, files: Iterable[Path] | None = None, **facts: Any) -> None:
    """Flush the files of ``folder`` to disk, read them back, and write its manifest, flushed too.

    Args:
        folder: where ``manifest.json`` is put.
        files: below ``folder``; all that are there by default.
        facts: what else the manifest says; must be JSON.

    Raises:
        OSError: something cannot be read or written, or is not on the disk as it was written.
    """
    chosen = sorted(_all_files(folder) if files is None else files)
    # Each waits for another part of the machine. The hashes are of what the system holds in memory or has read again
    # from the disk, which is the same where the files read back right.
    with _threads() as pool:
        flushed = [pool.submit(disk.flush_file, path) for path in chosen]
        before, hashes = pool.map(_checksum, chosen), pool.map(_hash, chosen)
        checks = [pool.submit(_read_back, *each) for each in zip(chosen, before, flushed, strict=True)]
        for check in checks:
            check.result()
    content: dict[str, Any] = {
        **facts,
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": found}
            for path, found in zip(chosen, hashes, strict=True)
        },
    }
    for inner in {path.parent for path in chosen} - {folder}:
        disk.flush_directory(inner)
    disk.write_file(folder / NAME, json.dumps(content | {"sha256": _own_hash(content)}, indent=2) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """The manifest of ``folder``.

    Raises:
        ValueError: it is missing or not as it was written; the message says which.
    """
    try:
        content = json.loads((folder / NAME).read_bytes())
        said = content.pop("sha256")
        if not all({"bytes", "sha256"} <= entry.keys() for entry in content["files"].values()):
            raise ValueError("an entry without size or hash")
    except FileNotFoundError:
        raise ValueError(f"{NAME} is missing") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{NAME} cannot be read") from error
    if said != _own_hash(content):
        raise ValueError(f"{NAME} is not as it was written")
    found: dict[str, Any] = content
    return found


def damage(folder: Path) -> list[str]:
    """What is not as the manifest of ``folder`` says: a line for each file; empty when all is well.

    Files that the manifest does not name are no damage.
    """
    try:
        files = read(folder)["files"]
    except ValueError as error:
        return [str(error)]
    with _threads() as pool:
        found = list(pool.map(lambda name: _damage_of(folder, name, files[name]), files))
    return [line for line in found if line]


def _threads() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_THREADS)


def _damage_of(folder: Path, name: str, said: Mapping[str, Any]) -> str | None:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return f"{NAME} names {name!r}, which is outside"
    path = folder / name
    try:
        size = path.stat().st_size
        if size != said["bytes"]:
            return f"{name} has {size:,} bytes, was written with {said['bytes']:,}"
        if _hash(path) != said["sha256"]:
            return f"{name} is not as it was written (SHA-256)"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None


def _all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _own_hash(content: Mapping[str, Any]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hash(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_back(path: Path, before: int, flushed: Any) -> None:
    flushed.result()
    if hasattr(
        os, "posix_fadvise"
    ):  # the system forgets what it holds of the file: who reads next reads the disk
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if _checksum(path) != before:
        raise OSError(errno.EIO, f"{path.name} is not on the disk as it was written", str(path))


def _checksum(path: Path) -> int:
    """CRC-32: enough against accidents, and four times as fast as SHA-256."""
    found, buffer = 0, bytearray(_AT_A_TIME)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            found = zlib.crc32(memoryview(buffer)[:size], found)
    return found
