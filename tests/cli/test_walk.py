"""The walk that a person takes: tokenizer, pretrain, eval, generate; all through the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SHAPE = [
    *("--vocab-size", "400", "--block-size", "64", "--hidden-size", "32", "--num-hidden-layers", "1"),
    *("--num-attention-heads", "2", "--per-device-train-batch-size", "4", "--validation-fraction", "0.05"),
]
SMALL = ["--data", "builtin:stories:200", *SHAPE]


@pytest.mark.slow
def test_from_a_tokenizer_to_a_story(llmctl: Run, forked: Run, tmp_path: Path) -> None:
    made = forked(
        "tokenizer",
        "train",
        "--data",
        "builtin:stories:200",
        "--vocab-size",
        "400",
        "--output-dir",
        "tok",
        "--json",
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["vocab_size"] == 400

    shown = forked("tokenizer", "inspect", "tok", "--data", "builtin:stories:50", "--sample", "A [red] fox")
    assert shown.returncode == 0, shown.stderr
    assert "tokens a word" in shown.stdout
    assert shown.stdout.splitlines()[-1].replace("|", "") == "A [red] fox"

    trained = llmctl(
        "pretrain", *SMALL, "--tokenizer", "tok", "--max-steps", "8", "--run-name", "one", "--json"
    )
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["steps"] == 8
    assert "held out 10 of 200 documents" in trained.stderr
    assert "dropout 0" in trained.stderr
    assert "\x1b" not in trained.stderr

    judged = forked("eval", "--json", "--stride", "64")
    assert judged.returncode == 0, judged.stderr
    scores = json.loads(judged.stdout)
    perplexity = scores["perplexity"]
    assert perplexity["low"] < perplexity["value"] < perplexity["high"]
    assert perplexity["value"] == pytest.approx(result["scores"]["perplexity"], rel=1e-5)
    assert (scores["n"], scores["split"]) == (10, "validation")
    assert json.loads((tmp_path / "runs/one/eval/validation.json").read_text()) == scores

    first = forked("generate", "Once upon a time", "--seed", "3", "--max-new-tokens", "12")
    again = llmctl("generate", "Once upon a time", "--seed", "3", "--max-new-tokens", "12", "-q")
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    assert first.stdout.startswith("Once upon a time")
    assert "runs/one (the newest run that can generate)" in first.stderr
    assert again.stderr == ""

    (tmp_path / "prompts.txt").write_text("Once\n\nA cat sat\n")
    batch = forked(
        *("generate", "--input-file", "prompts.txt", "--output-file", "out.jsonl"),
        *("--temperature", "0", "--max-new-tokens", "5"),
    )
    assert batch.returncode == 0, batch.stderr
    prompts = [json.loads(line)["prompt"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert prompts == ["Once", "A cat sat"]
    assert (
        "output file exists"
        in forked("generate", "--input-file", "prompts.txt", "--output-file", "out.jsonl").stderr
    )


@pytest.mark.slow
def test_a_dry_run_counts_and_leaves_nothing(forked: Run, tmp_path: Path) -> None:
    result = forked("pretrain", "--dry-run", "--architecture", "gpt2", "--model-size", "small")
    assert result.returncode == 0, result.stderr
    assert "architecture: gpt2" in result.stdout
    assert "parameters with 4,096 tokens" in result.stderr
    figures = json.loads(forked("pretrain", "--dry-run", "--json").stdout)["plan"]
    assert figures["memory_of_a_rank"]["weights"] == 4 * figures["parameters"]
    assert figures["tokens_a_step"] == 6 * 384
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "ranks"), [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)]
)
def test_a_signal_to_all_processes_saves(
    tmp_path: Path, llmctl: Run, number: int, code: int, ranks: int
) -> None:
    """As a terminal or a scheduler sends it: the processes that load data have it, too."""
    command = [
        sys.executable,
        "-m",
        "llmctl",
        "pretrain",
        *SMALL,
        "--max-steps",
        "100000",
        "--run-name",
        "cut",
        "--dataloader-num-workers",
        "1",
        "--num-processes",
        str(ranks),
    ]
    process = subprocess.Popen(
        [*command, "--logging-steps", "1", "--eval-steps", "50000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = tmp_path / "runs" / "cut" / "metrics.jsonl"
    began = time.monotonic()
    while not metrics.exists() and process.poll() is None and time.monotonic() - began < 100:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    output = process.communicate(timeout=60)[1]
    assert process.returncode == code, output
    assert "checkpoint saved" in output
    assert "llmctl pretrain --resume runs/cut" in output
    assert not (tmp_path / "runs" / "cut" / "model").exists()
    assert "not finished" in llmctl("eval", "cut").stderr


@pytest.mark.slow
def test_bad_files_get_one_message(llmctl: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\n" * 4 + b"caf\xe9\n")
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "empty.txt").write_text("")
    for name, told in [
        ("latin.txt", "latin.txt:5: byte 0xE9 is not UTF-8"),
        ("broken.jsonl", "broken.jsonl:2: invalid JSON"),
        ("empty.txt", "empty.txt: empty file"),
    ]:
        result = llmctl("pretrain", "--data", name)
        assert result.returncode == 1
        assert told in result.stderr
        assert "Traceback" not in result.stderr
        assert "hint:" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.realdata
@pytest.mark.slow
def test_real_text_is_learnt_from_and_judged(forked: Run, tmp_path: Path, real_data: Path) -> None:
    plays, articles = (
        str(real_data / "text" / name) for name in ("tinyshakespeare.txt", "wikitext-2.valid.txt")
    )
    trained = forked("pretrain", *SHAPE, "--data", plays, "--max-steps", "30", "--run-name", "plays")
    assert trained.returncode == 0, trained.stderr
    assert "held out the last" in trained.stderr
    judged = forked(
        *("eval", "plays", "--data", articles, "--sample-by", "line", "--max-documents", "100", "--json")
    )
    assert judged.returncode == 0, judged.stderr
    scores = json.loads(judged.stdout)
    assert scores["n"] == 100
    assert 2 < scores["bits_per_byte"]["value"] < 8
    assert list((tmp_path / "runs/plays/eval").glob("*wikitext*.json"))
