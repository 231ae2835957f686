import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmctl import runs
from llmctl.config import EvalConfig, PretrainConfig
from llmctl.data.load import load_text
from llmctl.errors import ConfigError, RunError
from llmctl.progress import SILENT, Silent
from llmctl.recipe import to_yaml
from llmctl.runs import RunDir
from llmctl.workflows import evaluate
from tests.tiny import byte_tokenizer, llama

SCORES = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)

    warn = note


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCTL_CACHE_DIR", str(tmp_path / "cache"))


def text_file(path: Path, words: str = "cat dog bird") -> Path:
    one, two, three = words.split()
    path.write_text(
        "".join(f"The {one} sat with {two} number {i}.\n\n{three}s sang {i} songs.\n\n" for i in range(40))
    )
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """A finished run of paragraphs of a file, with a tenth held out."""
    data = text_file(tmp_path / "own.txt")
    config = PretrainConfig(data=str(data), sample_by="paragraph", validation_fraction=0.1, block_size=32)
    splits = load_text(config, progress=SILENT, cache_dir=tmp_path / "cache")
    described = {name: split.describe() for name, split in splits.items()}
    environment = {"command": "pretrain", "data": described}
    run = runs.create(tmp_path / "runs", "one", recipe=to_yaml(config), environment=environment)
    llama().save_pretrained(run.model)
    byte_tokenizer().save_pretrained(run.model)
    return run


@pytest.fixture
def judge(run_dir: RunDir) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    def call(**changes: Any) -> tuple[dict[str, Any], list[str]]:
        notes = Notes()
        config = EvalConfig(runs_dir=str(run_dir.path.parent), num_resamples=50, **changes)
        return evaluate.run(config, progress=notes).to_json(), notes.said

    return call


def test_the_newest_run_is_judged_by_its_own_validation_text(
    judge: Callable[..., Any], run_dir: RunDir
) -> None:
    result, said = judge()
    assert (result["n"], result["split"]) == (8, "validation")
    assert "window:32|stride:16" in result["signature"]
    for name in SCORES:
        assert result[name]["low"] < result[name]["value"] < result[name]["high"]
    assert f"model: {run_dir.path} (the newest run)" in said
    assert json.loads((run_dir.eval / "validation.json").read_text()) == result
    lines = (run_dir.eval / "validation.predictions.jsonl").read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    assert len(documents) == 8
    assert sum(document["num_tokens"] for document in documents) == result["num_tokens"]
    assert judge(model="one")[0] == result


def test_another_split_and_other_windows(judge: Callable[..., Any], run_dir: RunDir) -> None:
    result, _ = judge(split="train", max_length=16, stride=16)
    assert (result["n"], result["split"]) == (72, "train")
    assert "window:16|stride:16" in result["signature"]
    assert "72 documents" in result["signature"]
    assert [path.name for path in run_dir.eval.glob("*.json")] == ["train.json"]


def test_other_text_is_judged_whole_and_kept_apart(
    judge: Callable[..., Any], run_dir: RunDir, tmp_path: Path
) -> None:
    own, _ = judge()
    other = text_file(tmp_path / "other.txt", "mouse horse owl")
    result, _ = judge(data=str(other), sample_by="paragraph")
    assert (result["n"], result["split"]) == (80, None)
    name = f"other.txt-{result['fingerprint'][:8]}.json"
    assert sorted(path.name for path in run_dir.eval.glob("*.json")) == [name, "validation.json"]
    assert json.loads((run_dir.eval / "validation.json").read_text()) == own
    held_out, _ = judge(data=str(other), sample_by="paragraph", split="validation", validation_fraction=0.1)
    assert (held_out["n"], held_out["split"]) == (8, "validation")
    assert (run_dir.eval / f"other.txt-validation-{held_out['fingerprint'][:8]}.json").exists()


def test_a_part_of_the_runs_own_text_has_not_changed(judge: Callable[..., Any], run_dir: RunDir) -> None:
    result, said = judge(max_documents=40)
    assert result["n"] == 4
    assert not any("has changed" in line for line in said)
    assert [path.name for path in run_dir.eval.glob("*.json")] == [
        f"own.txt-validation-{result['fingerprint'][:8]}.json"
    ]


def test_text_that_changed_since_the_training_is_told(
    judge: Callable[..., Any], run_dir: RunDir, tmp_path: Path
) -> None:
    judge()
    text_file(tmp_path / "own.txt", "mouse horse owl")
    _, said = judge()
    assert any("is not the one that one was trained with" in line for line in said)
    assert len(list(run_dir.eval.glob("*.json"))) == 2


def test_a_model_that_is_no_run_leaves_nothing_behind(
    judge: Callable[..., Any], run_dir: RunDir, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    run_dir.model.rename(plain)
    result, _ = judge(model=str(plain), data=str(tmp_path / "own.txt"), sample_by="paragraph")
    assert result["model"] == str(plain)
    assert "window:64|stride:32" in result["signature"]  # the model's positions
    assert not run_dir.eval.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 16, "stride": 17}, "stride 17 is longer than max_length 16"),
        ({"split": "dev"}, "no split 'dev'"),
        ({"split": "test"}, "has no test split"),
        ({"max_length": 65}, "max_length 65 is beyond the model's 64 positions"),
        ({"data": "none.txt"}, "none.txt"),
        ({"model": "./none"}, "no such model directory"),
    ],
)
def test_what_cannot_be(judge: Callable[..., Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge(**changes)


def test_a_run_without_a_model_is_not_judged(
    judge: Callable[..., Any], run_dir: RunDir, tmp_path: Path
) -> None:
    run_dir.model.rename(tmp_path / "away")
    with pytest.raises(RunError, match="one, is not finished"):
        judge()


@pytest.mark.parametrize("module", ["evaluate", "generate"])
def test_the_workflow_is_cheap_to_import_and_check(module: str, tmp_path: Path) -> None:
    code = f"""
import sys
from llmctl.config import EvalConfig, GenerateConfig
from llmctl.errors import LlmctlError
from llmctl.workflows import {module}
config = EvalConfig if {module!r} == "evaluate" else GenerateConfig
try:
    {module}.check(config(runs_dir={str(tmp_path)!r}))
except LlmctlError as error:
    heavy = ("torch", "transformers", "datasets", "numpy", "pandas", "pyarrow", "tokenizers")
    print([name for name in heavy if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
