"""Fine-tuning, judging and predicting as a person types it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, modules_after
from tests.verdicts import lines_of, save_base_model, write_reviews


@pytest.mark.slow
def test_from_examples_to_answers(llmctl: Run, forked: Run, tmp_path: Path) -> None:
    save_base_model(tmp_path / "tiny")
    write_reviews(tmp_path / "reviews")
    one_thread = {"OMP_NUM_THREADS": "1"}  # so small a model is slower with two
    trained = llmctl(
        *("finetune", "--task", "classification", "--data", "reviews", "--model", "./tiny"),
        *("--learning-rate", "5e-3", "--num-train-epochs", "8", "--per-device-train-batch-size", "8"),
        *("--run-name", "one", "--num-resamples", "100"),
        **one_thread,
    )
    assert trained.returncode == 0, trained.stderr
    assert "true \\ predicted" in trained.stdout
    assert "96 examples: neg 48 (50.0%), pos 48 (50.0%)" in trained.stderr
    assert "the head is new: classifier" in trained.stderr
    for noise in ("LOAD REPORT", "Traceback", "Warning", "\x1b"):
        assert noise not in trained.stderr
    assert "llmctl eval runs/one" in trained.stderr

    judged = forked("eval", "--json", **one_thread)
    assert judged.returncode == 0, judged.stderr
    scores = json.loads(judged.stdout)
    assert scores == json.loads((tmp_path / "runs/one/eval/validation.json").read_text())
    assert scores["accuracy"]["value"] > 0.9
    assert f"{scores['accuracy']['value']:.4f}" in trained.stdout

    answer = forked("predict", "the plot was very fine", **one_thread)
    assert answer.returncode == 0, answer.stderr
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert [row[0] for row in rows if row[0] in ("neg", "pos")] == ["pos", "neg"], "the likelier first"

    many = llmctl("predict", "-q", input="the plot was very fine\n\nthe cast was simply dull\n", **one_thread)
    lines = [json.loads(line) for line in many.stdout.splitlines()]
    assert [(line["line"], line["predicted"]) for line in lines] == [(1, "pos"), (3, "neg")]
    assert many.stderr == ""

    (tmp_path / "in.jsonl").write_text(many.stdout)
    written = forked(
        "predict", "--input-file", "in.jsonl", "--output-file", "out.jsonl", "--model", "one", **one_thread
    )
    assert written.stdout == ""
    assert "wrote 2 answers to out.jsonl" in written.stderr
    assert lines_of(tmp_path / "out.jsonl") == [{**lines[0], "line": 1}, {**lines[1], "line": 2}]


def test_bad_data_gets_one_message_and_leaves_no_run(forked: Run, tmp_path: Path) -> None:
    save_base_model(tmp_path / "tiny")
    (tmp_path / "gap.csv").write_text("text,label\ngood,pos\nbad,neg\ndull,\n" + "good,pos\n" * 20)
    result = forked("finetune", "--task", "classification", "--data", "gap.csv", "--model", "./tiny")
    assert result.returncode == 1
    assert "gap.csv: 1 row has no label (first: gap.csv:4)" in result.stderr
    assert "hint:" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["finetune"],
        ["finetune", "--task", "classification"],
        ["finetune", "--task", "classification", "--data", "nowhere.csv"],
        ["finetune", "--task", "classification", "--data", "a.csv", "--model", "./nowhere"],
        ["finetune", "--task", "classification", "--data", "a.csv", "--metric", "bleu"],
        ["finetune", "--task", "classification", "--data", "a.csv", "--metric-for-best-model", "acuracy"],
        ["finetune", "--task", "classification", "--data", "a.csv", "--target-modules", "query"],
        ["finetune", "--task", "sst2", "--label-smoothing-factor", "1"],
        ["finetune", "--resume", "nothing"],
        ["predict", "a text"],
        ["predict", " "],
        ["predict", "--input-file", "nowhere.txt"],
        ["predict", "a text", "--model", "./nowhere"],
        ["eval", "./nowhere", "--task", "sst2"],
        ["eval", "--split", "dev"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_answered_in_an_instant(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    assert modules_after(arguments, tmp_path) == (2, set())


def test_misspelt_words_are_met(llmctl: Run, tmp_path: Path) -> None:
    assert "did you mean classification?" in llmctl("finetune", "--task", "clasification").stderr
    assert "did you mean mnli?" in llmctl("finetune", "--task", "mnlli").stderr
    (tmp_path / "a.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    result = llmctl("finetune", "--task", "classification", "--data", "a.csv", "--metric", "acuracy")
    assert "no metric 'acuracy' for classes" in result.stderr
    assert "did you mean accuracy?" in result.stderr
