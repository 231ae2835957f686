"""The entry: help, usage errors, the error boundary, and what may be imported on the way."""

import json
import os
import re
from pathlib import Path

import pytest

from llmctl import __version__
from llmctl.cli import COMMANDS, main
from llmctl.cli.options import flag_of, load_verb
from tests.cli.conftest import Run, modules_after


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        ([], 0),
        *[([*name.split(), "--help"], 0) for name in COMMANDS],
        (["tokenizer"], 0),
        (["pretain"], 2),
        (["pretrain", "--lerning-rate", "3"], 2),
        (["pretrain", "--learning-rate", "fast"], 2),
        (["pretrain", "--data", "nowhere.txt"], 2),
        (["pretrain", "--recipe", "nowhere.yaml"], 2),
        (["pretrain", "--recipe", "bad.yaml"], 2),
        (["pretrain", "--num-attention-heads", "5"], 2),
        (["pretrain", "--architecture", "lama"], 2),
        (["pretrain", "--architecture", "bert", "--dry-run"], 2),
        (["pretrain", "--tokenizer", "nothing"], 2),
        (["pretrain", "--optim", "adamm"], 2),
        (["eval", "stroies"], 2),
        (["finetune", "--task", "sst2", "--model", "runs/typo"], 2),
        (["pretrain", "--resume", "nothing"], 2),
        (["pretrain", "--data", "builtin:storys"], 2),
        (["pretrain", "--encoding", "utf-99"], 2),
        (["tokenizer", "train", "--data", "nowhere.txt"], 2),
        (["eval"], 2),
        (["eval", "--data", "nowhere.txt"], 2),
        (["generate"], 2),
        (["generate", "hello"], 2),
        (["generate", "hello", "--model", "./nowhere"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_nothing_heavy_is_imported_to_answer(arguments: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("learnin_rate: 1\n")
    assert modules_after(arguments, tmp_path) == (code, set())


def test_version_and_overview(llmctl: Run) -> None:
    assert llmctl("--version").stdout == f"llmctl {__version__}\n"
    overview = llmctl("--help")
    assert overview.stdout == llmctl().stdout
    assert len(overview.stdout.splitlines()) <= 24
    assert all(name in overview.stdout for name in COMMANDS)
    assert "\x1b" not in overview.stdout


def test_a_narrow_terminal_gets_whole_words(llmctl: Run) -> None:
    wide, narrow = llmctl(COLUMNS="100").stdout, llmctl(COLUMNS="70").stdout
    assert max(map(len, narrow.splitlines())) <= 70
    assert narrow.split() == wide.split()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_option_of_the_config(llmctl: Run, name: str) -> None:
    result = llmctl(*name.split(), "--help")
    assert result.returncode == 0
    for item in load_verb(name).fields:
        shown = item.name.upper() if item.metadata["argument"] else flag_of(item.name)
        assert shown in result.stdout
    assert all(len(line) <= 110 for line in result.stdout.splitlines() if not line.startswith("  $"))
    assert not re.search(r"\[[\d.]+ \w+\]", result.stdout), "units stand in the text, not in the default"


def test_usage_errors_name_the_option_and_the_next_step(llmctl: Run) -> None:
    result = llmctl("pretrain", "--lerning-rate", "3")
    assert result.returncode == 2
    assert "--lerning-rate" in result.stderr
    assert "--learning-rate" in result.stderr
    assert "llmctl pretrain --help" in result.stderr
    assert "did you mean" in llmctl("pretain").stderr.lower()
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("eval --model runs/x --json", "llmctl eval runs/x"), ("eval --model=x", "llmctl eval MODEL")],
)
def test_an_argument_typed_as_an_option_is_shown_as_it_is_typed(llmctl: Run, typed: str, hint: str) -> None:
    result = llmctl(*typed.split())
    assert result.returncode == 2
    assert "no such option: --model; what it would name stands by itself" in result.stderr
    assert f"hint: {hint}\n" in result.stderr


def test_an_empty_word_is_refused_and_a_bad_argument_named_as_such(llmctl: Run) -> None:
    assert "error: MODEL should be not empty, found nothing" in llmctl("eval", "").stderr
    assert (
        "error: --run-name should be not empty, found nothing" in llmctl("pretrain", "--run-name", "").stderr
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("pretrain --lr 1e-3", "--learning-rate"),
        ("pretrain --epochs 3", "--num-train-epochs"),
        ("finetune --batch-size 3", "--per-device-train-batch-size"),
        ("eval --batch-size 3", "--per-device-eval-batch-size"),
        ("pretrain --steps=3", "--max-steps"),
        ("finetune --lora-rank 3", "--lora-r"),
        ("pretrain --lerning-rate 3", "--learning-rate"),
    ],
)
def test_the_usual_names_of_options_lead_to_ours(llmctl: Run, typed: str, meant: str) -> None:
    result = llmctl(*typed.split())
    assert result.returncode == 2
    assert f"did you mean {meant}?" in result.stderr


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("eval --data a --seed 1 --data b", "--data was given twice"),
        ("pretrain --recipe a --recipe b", "--recipe was given twice"),
        ("pretrain --bf16 --no-bf16", "--bf16/--no-bf16 was given twice"),
        ("pretrain --report-to none --report-to nonsense -q -q", "found 'nonsense'"),
        ("pretrain --encoding --data", "unknown encoding"),
    ],
)
def test_an_option_of_one_value_is_given_once(llmctl: Run, typed: str, told: str) -> None:
    result = llmctl(*typed.split())
    assert result.returncode == 2
    assert told in result.stderr
    assert ("glob" in result.stderr) == ("--data a" in typed)


@pytest.mark.parametrize("library", ["python", "rust"])
def test_a_system_that_starts_no_more_threads_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], library: str
) -> None:
    class PanicException(BaseException):
        pass

    def fail(arguments: list[str]) -> int:
        if library == "rust":
            raise PanicException(
                "The global thread pool has not been initialized.: ThreadPoolBuildError { ... }"
            )
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(main, "_dispatch", fail)
    assert main.run_command(["pretrain"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "error: the system starts no more threads for this user\n hint: raise the limit (ulimit -u)"
    )


def test_pretraining_takes_several_sources(forked: Run, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("text")
    arguments = ["pretrain", "--data", "a.txt:0.7", "--data", "b.txt:0.3", "--dry-run"]
    shown = json.loads(forked(*arguments, "--json").stdout)
    assert shown["recipe"]["data"] == ["a.txt:0.7", "b.txt:0.3"]
    assert "data: ['a.txt:0.7', 'b.txt:0.3']" in forked(*arguments).stdout
    refused = forked("pretrain", "--data", "a.txt:0.7", "--data", "b.txt")
    assert refused.returncode == 2
    assert "b.txt has no weight, but others have" in refused.stderr


def test_flags_and_recipe_are_judged_together(llmctl: Run, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("seed: x\n")
    result = llmctl("pretrain", "--recipe", "r.yaml", "--learning-rate", "0")
    assert result.returncode == 2
    assert "r.yaml:1: seed should be a whole number, found 'x'" in result.stderr
    assert "--learning-rate should be above 0, found 0" in result.stderr


def test_dry_run_prints_a_recipe_that_reads_back(forked: Run, tmp_path: Path) -> None:
    first = forked("pretrain", "--dry-run", "--learning-rate", "1e-4", "--report-to", "none", "-q")
    assert first.returncode == 0, first.stderr
    assert "learning_rate: 0.0001" in first.stdout
    (tmp_path / "again.yaml").write_text(first.stdout)
    assert forked("pretrain", "--dry-run", "--recipe", "again.yaml", "-q").stdout == first.stdout
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_as_json_is_one_object(forked: Run) -> None:
    result = forked("finetune", "--task", "sst2", "--dry-run", "--json")
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    assert (shown["command"], shown["recipe"]["task"], shown["plan"]) == ("finetune", "sst2", {})
    assert shown["recipe"]["learning_rate"] > 0, "settled"
    assert "run_name" not in shown["recipe"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--peak-flops", "989T"], "--peak-flops: read with --dry-run only"),
        (["--mfu", "0.4", "--dry-run"], "--mfu is a share of --peak-flops"),
        (["--peak-flops", "989X", "--dry-run"], "a number such as 989e12 or 989T"),
        (["--peak-flops", "1T", "--mfu", "2", "--dry-run"], "--mfu"),
    ],
)
def test_what_a_plan_alone_reads_is_refused_elsewhere(llmctl: Run, arguments: list[str], told: str) -> None:
    result = llmctl("pretrain", *arguments)
    assert result.returncode == 2
    assert told in result.stderr


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed"])
def test_what_this_machine_cannot_run_is_planned_all_the_same(forked: Run, strategy: str) -> None:
    asked = (
        "pretrain",
        "--strategy",
        strategy,
        "--num-processes",
        "64",
        "--block-size",
        "32",
        "--vocab-size",
        "300",
    )
    plan = json.loads(forked(*asked, "--bf16", "--dry-run", "--json").stdout)["plan"]
    states = 4 if strategy == "fsdp" else 2
    assert plan["memory_of_a_rank"]["weights"] == -(-states * plan["parameters"] // 64)
    refused = forked(*asked)
    assert refused.returncode == 2
    assert f"--strategy {strategy}" in refused.stderr


def test_a_plan_tells_the_time_on_devices_that_are_named(forked: Run) -> None:
    small = ("--block-size", "32", "--vocab-size", "300", "--max-steps", "3")
    result = forked("pretrain", *small, "--num-processes", "2", "--peak-flops", "1G", "--dry-run", "--json")
    plan = json.loads(result.stdout)["plan"]
    assert plan["seconds"] == pytest.approx(plan["flops"] / (2 * 1e9 * 0.4))
    assert "peak_flops" not in json.loads(result.stdout)["recipe"]
    assert "at 40% of 0.001 TFLOP/s" in result.stderr


def test_a_dry_run_of_a_resumed_run_shows_its_recipe(forked: Run, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "cut"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("seed: 7\nlearning_rate: 0.5\n")
    (run / "environment.json").write_text('{"command": "pretrain"}')
    result = forked("pretrain", "--resume", "cut", "--dry-run", "-q")
    assert "seed: 7" in result.stdout
    assert "learning_rate: 0.5" in result.stdout


def test_foreign_text_is_sanitised(llmctl: Run) -> None:
    result = llmctl("pretrain", "--data", "evil\x1b]52;c;aGk=\x07[red]\u202e.txt")
    assert result.returncode == 2
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr
    assert "\u202e" not in result.stderr
    assert r"evil\x1b]52;c;aGk=\x07[red]\u202e.txt" in result.stderr


def test_a_traceback_is_shown_only_when_asked_for(llmctl: Run) -> None:
    assert "Traceback" not in llmctl("pretrain", "--data", "nowhere.txt").stderr
    assert "Traceback" in llmctl("pretrain", "--data", "nowhere.txt", LLMCTL_DEBUG="1").stderr


def test_completion_lists_commands_options_choices_and_names(llmctl: Run, tmp_path: Path) -> None:
    def complete(line: str, word: int) -> str:
        return llmctl(_LLMCTL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(word)).stdout

    assert complete("llmctl pret", 1).split() == ["pretrain"]
    assert complete("llmctl tokenizer ", 2).split() == ["train", "inspect"]
    assert "--learning-rate" in complete("llmctl pretrain --learning", 2).split()
    assert complete("llmctl pretrain --lr-scheduler-type inv", 3).split() == ["inverse_sqrt"]
    for run in ("storm", "stories"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "recipe.yaml").write_text("seed: 0\n")
    (tmp_path / "stone.txt").write_text("")
    assert complete("llmctl finetune --task ss", 3).split() == ["sst2", "sst5"]
    assert complete("llmctl tasks --kind qa", 3).split() == ["qa"]
    assert sorted(complete("llmctl eval sto", 2).split()) == ["stone.txt", "stories", "storm"]
    assert sorted(complete("llmctl pretrain --resume stor", 3).split()) == ["stories", "storm"]


def test_bad_text_is_answered_before_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    for name in ("latin.txt", "broken.jsonl"):
        code, heavy = modules_after(["pretrain", "--data", name], tmp_path)
        assert (code, heavy & {"torch", "transformers", "datasets"}) == (1, set())


def test_a_near_name_of_a_run_is_met(llmctl: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "stories").mkdir(parents=True)
    (tmp_path / "runs" / "stories" / "recipe.yaml").write_text("seed: 0\n")
    result = llmctl("eval", "storys")
    assert result.returncode == 2
    assert "did you mean stories?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        [],
        ["--help"],
        ["pretrain", "--help"],
        ["tokenizer"],
        ["tasks"],
        ["pretrain", "--dry-run"],
        ["pretain"],
    ],
    ids=" ".join,
)
def test_a_reader_that_closes_at_once_is_no_failure(llmctl: Run, arguments: list[str]) -> None:
    """Also where both outputs go there."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        quiet = llmctl(*arguments, stdout=writer)
        both = llmctl(*arguments, stdout=writer, stderr=writer)
    finally:
        os.close(writer)
    if arguments == ["pretain"]:  # nothing goes to stdout
        assert (quiet.returncode, "did you mean" in quiet.stderr.lower()) == (2, True)
    else:
        assert quiet.returncode == 141
        assert "error" not in quiet.stderr
        assert "Exception" not in quiet.stderr
    assert both.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("arguments", [["--version"], ["tasks"]], ids=" ".join)
def test_a_full_disk_below_the_output_is_told(llmctl: Run, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = llmctl(*arguments, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == "error: cannot write: No space left on device\n hint: make room\n"
