from typing import Any

import numpy as np
import pytest

from llmctl.errors import ConfigError, ModelError
from llmctl.metrics import check_names, compute
from llmctl.progress import Silent

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = f"org/name@{COMMIT}"


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)

    warn = note


class Module:
    """Stands for a metric of the Hub."""

    def compute(self, *, predictions: Any, references: Any) -> dict[str, Any]:
        if not isinstance(predictions, list):
            raise TypeError("lists only")
        wrong = sum(one != other for one, other in zip(predictions, references, strict=True))
        return {"wrong": wrong, "share": np.float64(wrong / len(references)), "by_class": [1, 2]}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What was loaded: name and revision of each."""
    calls: list[tuple[str, str | None]] = []

    def load(path: str, *, revision: str | None, module_type: str) -> Module:
        calls.append((path, revision))
        if path == "org/absent":
            raise FileNotFoundError("Couldn't find it\nat length")
        return Module()

    monkeypatch.setattr("evaluate.load", load)
    return calls


def test_its_numbers_stand_beside_ours_without_bounds(loaded: list) -> None:
    listener = Listener()
    scores = compute(["accuracy", NAME], np.array([0, 1]), np.array([0, 0]), progress=listener)
    assert list(scores.values) == ["accuracy", "wrong", "share"]
    assert scores.values["share"].to_json() == {"value": 0.5, "low": None, "high": None}
    assert loaded == [("org/name", COMMIT)]
    assert listener.said == [f"{NAME}: wrong, share without an interval"]
    assert f"{NAME} interval:none" in scores.signature


@pytest.mark.parametrize("name", ["org/name", "org/name@main", "org/name@0123456"])
def test_code_without_a_commit_is_never_run(loaded: list, name: str) -> None:
    with pytest.raises(ConfigError, match="is code of the Hub that would run here") as refused:
        compute([name], ["a"], [["a"]])
    assert str(refused.value.hint).startswith("org/name@COMMIT")
    with pytest.raises(ConfigError, match="needs a commit"):
        check_names([name], "ner")
    assert loaded == []


def test_one_that_is_not_there_is_named(loaded: list) -> None:
    with pytest.raises(ModelError, match=rf"cannot load the metric org/absent@{COMMIT}: Couldn't find it$"):
        compute([f"org/absent@{COMMIT}"], [0], [0])


def test_one_that_cannot_score_these_outputs_is_named(loaded: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Module, "compute", lambda self, **inputs: 1 / 0)
    with pytest.raises(ConfigError, match=f"metric {NAME} cannot score these predictions: division by zero"):
        compute([NAME], [0], [0])
    monkeypatch.setattr(Module, "compute", lambda self, **inputs: {"table": []})
    with pytest.raises(ConfigError, match="returns no number"):
        compute([NAME], [0], [0])
