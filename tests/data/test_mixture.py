"""What several sources with weights are understood to be, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llmctl.config import PretrainConfig
from llmctl.data.documents import Documents
from llmctl.data.mixture import check_text, ingredients, title_of
from llmctl.errors import ConfigError
from tests.data.conftest import Told

Load = Callable[..., dict[str, Documents]]


@pytest.mark.parametrize(
    ("text", "source", "weight"),
    [
        ("a.txt", "a.txt", None),
        ("a.txt:0.7", "a.txt", 0.7),
        ("a.txt:.5", "a.txt", 0.5),
        ("a.txt:2.", "a.txt", 2.0),
        ("a.txt:+1.5", "a.txt", 1.5),
        ("builtin:stories:3000", "builtin:stories:3000", None),
        ("builtin:stories:3000:0.3", "builtin:stories:3000", 0.3),
        ("builtin:stories:0.3", "builtin:stories", 0.3),
        ("org/name:20220301.en", "org/name:20220301.en", None),
        ("org/name:3.0.0", "org/name:3.0.0", None),
        ("org/name:en:0.25", "org/name:en", 0.25),
        ("shards/*.jsonl:0.1", "shards/*.jsonl", 0.1),
    ],
)
def test_a_weight_is_a_number_with_a_decimal_point(text: str, source: str, weight: float | None) -> None:
    assert ingredients((text,)) == ((source, weight),)


def test_a_file_that_is_called_so_is_no_weight(tmp_path: Path) -> None:
    name = str(tmp_path / "a:0.5")
    Path(name).write_text("x")
    assert ingredients(name) == ((name, None),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("a.txt:0.7", "b.txt"), "b.txt has no weight, but others have"),
        (("a.txt:0.7", "b.txt:-0.3"), "b.txt: the weight -0.3 is negative"),
        (("a.txt:0.0", "b.txt:0.0"), "weights of --data are all zero"),
        (("a.txt", "a.txt"), "the same source twice: a.txt"),
        (("a.txt:0.5", "./a.txt:0.5"), "the same source twice: .*a.txt"),
        (("a.txt", "."), "the same source twice: .*a.txt"),
        (("builtin:stories:50", "builtin:stories:60"), "the same source twice: builtin:stories"),
        (("a.txt", "c.txt"), "no such file: c.txt"),
        (("a.txt:2", "b.txt:1"), "no such file: a.txt:2"),
        ((), "names no source"),
    ],
)
def test_what_cannot_be_mixed_is_refused(
    data: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("some text")
    with pytest.raises(ConfigError, match=message) as caught:
        check_text(PretrainConfig(data=data))
    if "a.txt:2" in message:
        assert caught.value.hint == "a weight has a decimal point: a.txt:2.0"


def test_the_sources_stand_one_behind_the_other_and_each_by_itself(
    tmp_path: Path, load: Load, told: Told
) -> None:
    texts = {name: [f"{name} {i}" for i in range(count)] for name, count in (("a", 40), ("b", 10))}
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    sources = tuple(str(tmp_path / f"{name}.txt") for name in texts)
    splits = load(sources, sample_by="line", validation_fraction=0.1)
    assert (splits["train"].num_documents, splits["validation"].num_documents) == (45, 5)
    for split in splits.values():
        assert list(split) == [text for part in split.parts.values() for text in part]
        assert list(split.parts) == list(sources)
        assert split.num_bytes == sum(len(text) for text in split)
    assert sorted([*splits["train"], *splits["validation"]]) == sorted([*texts["a"], *texts["b"]])
    assert splits["validation"].name == "a.txt + b.txt (validation)"
    described = splits["train"].describe()
    assert set(described["sources"]) == set(sources)
    assert title_of(tuple("abcd")) == "4 sources"
    swapped = load(sources[::-1], sample_by="line", validation_fraction=0.1)
    assert swapped["train"].fingerprint != splits["train"].fingerprint


def test_a_separate_validation_source_is_read_once(tmp_path: Path, load: Load) -> None:
    for name in "abv":
        (tmp_path / name).with_suffix(".txt").write_text(f"text of {name}")
    splits = load((str(tmp_path / "a.txt"), str(tmp_path / "b.txt")), validation_data=str(tmp_path / "v.txt"))
    assert list(splits["train"]) == ["text of a", "text of b"]
    assert list(splits["validation"]) == ["text of v"]
