"""What files were when they were written: ``manifest.json`` has the size and SHA-256 of each, and of itself."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmctl import disk

NAME = "manifest.json"
MISSING = f"{NAME} is missing"
_THREADS = 16  # hashing and flushing leave Python alone, and some only wait for the disk


def seal(folder: Path, files: Iterable[Path] | None = None, **facts: Any) -> None:
    """Flush the files of ``folder`` to disk, and write its manifest, flushed too.

    Args:
        folder: where ``manifest.json`` is put.
        files: below ``folder``; all that are there by default.
        facts: what else the manifest says; must be JSON.

    Raises:
        OSError: something cannot be read or written.
    """
    chosen = sorted(_all_files(folder) if files is None else files)
    with _threads() as pool:  # flushing waits for the disk, hashing for the processor
        flushed, hashes = pool.map(disk.flush_file, chosen), list(pool.map(_hash, chosen))
        list(flushed)
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
        raise ValueError(MISSING) from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{NAME} cannot be read") from error
    if said != _own_hash(content):
        raise ValueError(f"{NAME} is not as it was written")
    found: dict[str, Any] = content
    return found


def damage(folder: Path, *, on_disk: bool = False) -> list[str]:
    """What is not as the manifest of ``folder`` says: a line for each file; empty when all is well.

    Files that the manifest does not name are no damage.

    Args:
        on_disk: have the system forget first what it holds of flushed files in memory, where it can.
    """
    try:
        files = read(folder)["files"]
    except ValueError as error:
        return [str(error)]
    with _threads() as pool:
        found = list(pool.map(lambda name: _damage_of(folder, name, files[name], on_disk), files))
    return [line for line in found if line]


def digest(place: Path, size: int | None = None) -> str | None:
    """SHA-256 of a file, of its first ``size`` bytes, or of all files below a folder and their names.

    ``None``: there is nothing, or less than that.
    """
    import hashlib

    if place.is_file():
        if size is None or size == place.stat().st_size:
            return _hash(place)
        with place.open("rb") as file:
            found = file.read(size)
        return hashlib.sha256(found).hexdigest() if len(found) == size else None
    files = sorted(_all_files(place)) if place.is_dir() else []
    named = [f"{path.relative_to(place).as_posix()} {_hash(path)}" for path in files]
    return hashlib.sha256("\n".join(named).encode()).hexdigest() if named else None


def _threads() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_THREADS)


def _damage_of(folder: Path, name: str, said: Mapping[str, Any], on_disk: bool) -> str | None:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return f"{NAME} names {name!r}, which is outside"
    path = folder / name
    try:
        size = path.stat().st_size
        if size != said["bytes"]:
            return f"{name} has {size:,} bytes, was written with {said['bytes']:,}"
        if on_disk:
            disk.forget_file(path)
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
