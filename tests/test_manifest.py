"""What a manifest says of files, and which damage it shows."""

import json
import os
from pathlib import Path

import pytest

from llmctl import manifest
from tests.damage import DAMAGES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, one of them empty and one in a folder, and their manifest."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights.bin").write_bytes(os.urandom(10_000))
    (tmp_path / "inner" / "state.json").write_text('{"a": 1}\n')
    (tmp_path / "empty").touch()
    manifest.seal(tmp_path, step=7)
    return tmp_path


def test_it_says_what_was_written(folder: Path) -> None:
    assert manifest.damage(folder) == []
    said = manifest.read(folder)
    assert said["step"] == 7
    assert sorted(said["files"]) == ["empty", "inner/state.json", "weights.bin"]
    assert said["files"]["weights.bin"]["bytes"] == 10_000
    assert said["files"]["empty"]["sha256"].startswith("e3b0c44298fc1c14"), "SHA-256 of nothing"


def test_files_that_it_does_not_name_are_no_damage(folder: Path) -> None:
    (folder / "mine.txt").write_text("a note")
    assert manifest.damage(folder) == []


@pytest.mark.parametrize("damaged", DAMAGES, ids=lambda damaged: damaged.__name__)
@pytest.mark.parametrize("name", ["weights.bin", "inner/state.json", manifest.NAME])
def test_every_damage_is_seen_and_the_file_named(folder: Path, name: str, damaged: object) -> None:
    assert callable(damaged)
    damaged(folder / name)
    found = manifest.damage(folder)
    assert len(found) == 1
    assert found[0].startswith(name)


def test_each_damaged_file_is_named(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "empty").write_text("not any more")
    assert manifest.damage(folder) == ["empty has 12 bytes, was written with 0", "weights.bin is missing"]


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "inner/../../outside"])
def test_names_that_lead_outside_are_damage(folder: Path, name: str) -> None:
    content = manifest.read(folder)
    content["files"] = {name: {"bytes": 1, "sha256": ""}}
    own = manifest._own_hash(content)
    (folder / manifest.NAME).write_text(json.dumps(content | {"sha256": own}))
    assert manifest.damage(folder) == [f"{manifest.NAME} names {name!r}, which is outside"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"sha256": "", "files": []}', "\xff", "[" * 100_000]
)
def test_what_is_no_manifest_cannot_be_read(folder: Path, text: str) -> None:
    (folder / manifest.NAME).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"manifest\.json (cannot be read|is not as it was written)"):
        manifest.read(folder)
