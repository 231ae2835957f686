"""Two processes do what one does: the same losses, scores and texts, whoever starts them; and they end together."""

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from llmctl import ranks
from llmctl.data.builtin import stories
from llmctl.runs import RunDir
from tests.cli.conftest import Run, llmctl
from tests.verdicts import lines_of, save_base_model, verdicts, write_csv

__all__ = ["llmctl"]
STEPS, LONG = 50, 200
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
ACCELERATE = (
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
)
ACCELERATE += ("--mixed_precision", "no", "--dynamo_backend", "no")
TINY = (
    "--vocab-size",
    "400",
    "--hidden-size",
    "32",
    "--num-hidden-layers",
    "1",
    "--num-attention-heads",
    "2",
)
HOW = ("--max-steps", str(STEPS), "--logging-steps", "1", "--eval-steps", "25")
HOW += ("--keep-checkpoints",)
# As many examples at once as go evenly into neither 25 nor 89: of the last step of an epoch a process has next to none,
# or none at all.
BATCH = ("--per-device-train-batch-size", "4", "--global-batch-size", "8")
TWO = ("--num-processes", "2")
STREAMING = ("--streaming", "--buffer-size", "10")


def commands(data: Path) -> dict[str, list[str]]:
    """Trainings, each under the name of its run, and what is done with their models."""
    text = [*reading(data), *HOW, *BATCH]
    made = {
        "causal": [*text],
        "masked": [*text, "--objective", "mlm", "--architecture", "squeezebert"],
        "streamed": [*reading(data, "shards"), *STREAMING, *HOW, *BATCH],
        "classified": ["finetune", "--task", "classification", "--data", str(data / "reviews"), *HOW, *BATCH],
    }
    made["classified"] += ["--model", str(data / "base"), "--learning-rate", "5e-3", "--num-resamples", "20"]
    for name, arguments in made.items():
        arguments += ["--run-name", name]
    made["judged"] = ["eval", "classified", "--data", str(data / "1001.csv"), "--num-resamples", "20"]
    made["perplexity"] = ["eval", "causal", "--data", str(data / "train.txt"), "--sample-by", "line"]
    made["written"] = [
        "generate",
        "--model",
        "causal",
        "--input-file",
        str(data / "prompts.txt"),
        "--seed",
        "1",
    ]
    made["written"] += ["--batch-size", "3", "--max-new-tokens", "12", "--output-file", "texts.jsonl"]
    return made


def reading(data: Path, name: str = "train.txt") -> list[str]:
    text = ["pretrain", "--data", str(data / name), "--validation-data", str(data / "dev.txt")]
    return [*text, "--sample-by", "line", "--block-size", "64", *TINY]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 lines of text to learn from, also in shards, 7 to be judged by; 89 reviews, and 1,001 to be judged by."""
    place = tmp_path_factory.mktemp("data")
    lines = [line for story in stories(20) for line in story.splitlines() if len(line) > 40]
    (place / "train.txt").write_text("\n".join(lines[:25]) + "\n", encoding="utf-8")
    (place / "shards").mkdir()
    for number, (first, after) in enumerate([(0, 9), (9, 10), (10, 10), (10, 25)]):
        (place / "shards" / f"{number}.txt").write_text(
            "\n".join(lines[first:after]) + "\n", encoding="utf-8"
        )
    (place / "dev.txt").write_text("\n".join(lines[25:32]) + "\n", encoding="utf-8")
    (place / "prompts.txt").write_text("".join(f"{line[:20]}\n" for line in lines[:7]), encoding="utf-8")
    config = save_base_model(place / "base") / "config.json"
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text()) | without))
    write_csv(place / "reviews" / "train.csv", verdicts()[31:], "text", "label")
    write_csv(place / "reviews" / "dev.csv", verdicts()[:31], "text", "label")
    write_csv(place / "1001.csv", (verdicts() * 9)[:1001], "text", "label")
    return place


def begun(
    place: Path, arguments: Sequence[str], *, before: Sequence[str] = (), **environment: str
) -> subprocess.Popen[str]:
    """``BEFORE llmctl ARGUMENTS`` in a folder, whose caches are there, too."""
    settings = {"LLMCTL_CACHE_DIR": str(place / "cache"), "OMP_NUM_THREADS": "1", **environment}
    command = [*before, sys.executable, "-m", "llmctl", *arguments]
    return subprocess.Popen(
        command, cwd=place, env=os.environ | settings, stdout=PIPE, stderr=PIPE, text=True
    )


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def run_all(place: Path, data: Path, *launcher: str) -> Path:
    """The folder in which all commands were run, by one process or as ``launcher`` starts them."""
    place.mkdir()
    (place / "commands.json").write_text(json.dumps([*commands(data).values()]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMCTL_")}
    environment |= {"LLMCTL_CACHE_DIR": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
    command = [sys.executable, *(launcher or ()), "-m", "tests.ranks", "commands.json"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return place


@pytest.fixture(scope="module")
def one(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_all(tmp_path_factory.mktemp("ranks") / "one", data)


@pytest.fixture(scope="module", params=[TORCHRUN, pytest.param(ACCELERATE, marks=pytest.mark.soak)])
def two(data: Path, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Path:
    return run_all(tmp_path_factory.mktemp("ranks") / "two", data, *request.param)


def events(place: Path, name: str) -> list[dict[str, Any]]:
    return list(RunDir(place / "runs" / name).events())


def values(found: list[dict[str, Any]], key: str) -> list[float]:
    return [event[key] for event in found if key in event]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["causal", "masked", "streamed", "classified"])
def test_each_step_has_the_loss_that_one_process_has(one: Path, two: Path, name: str) -> None:
    alone, together = events(one, name), events(two, name)
    assert len(values(alone, "loss")) == STEPS
    assert values(together, "loss") == pytest.approx(values(alone, "loss"), rel=1e-5)
    assert values(together, "eval_loss") == pytest.approx(values(alone, "eval_loss"), rel=1e-5)


@pytest.mark.slow
def test_a_score_counts_each_example_once_and_is_that_of_one_process(one: Path, two: Path) -> None:
    alone, together = judged(one), judged(two)
    assert together["n"] == 1001
    assert together["accuracy"] == alone["accuracy"]


@pytest.mark.slow
def test_texts_are_those_of_one_process(one: Path, two: Path) -> None:
    alone, together = (lines_of(place / "texts.jsonl") for place in (one, two))
    assert len(alone) == 7
    assert [line["prompt"] for line in together] == [line["prompt"] for line in alone]
    assert [line["text"] for line in together] == [line["text"] for line in alone]


# Started by llmctl, and ended


@pytest.mark.soak
def test_our_own_launcher_gives_the_losses_and_scores_of_one_process(
    one: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(one / "runs" / "classified", tmp_path / "runs" / "classified")
    shutil.rmtree(tmp_path / "runs" / "classified" / "eval")
    for name in ("causal", "judged"):
        asked = begun(tmp_path, [*commands(data)[name], *TWO])
        said = asked.communicate(timeout=120)[1]
        assert asked.returncode == 0, said
    assert values(events(tmp_path, "causal"), "loss") == pytest.approx(
        values(events(one, "causal"), "loss"), rel=1e-5
    )
    alone, together = (judged(place) for place in (one, tmp_path))
    assert together["n"] == 1001
    assert together["accuracy"] == alone["accuracy"]


def judged(place: Path) -> dict[str, Any]:
    """What ``eval`` wrote of the 1,001 reviews."""
    [file] = (place / "runs" / "classified" / "eval").glob("1001*.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


class Started:
    """A training of two processes, where ``further`` options do not say otherwise."""

    def __init__(self, place: Path, data: Path, *further: str) -> None:
        self.run = RunDir(place / "runs" / "two")
        how = [
            "--max-steps",
            str(LONG),
            "--eval-steps",
            "20",
            "--save-steps",
            "20",
            "--logging-steps",
            "5",
        ]
        command = [*reading(data), *how, "--run-name", "two", "--keep-checkpoints"]
        command += further if "--num-processes" in further else (*TWO, *further)
        self.arguments = command
        self.process = self.go_on()

    def learnt(self, steps: int = 30) -> "Started":
        """Itself, when it has learnt for more than so many steps."""
        wait_until(lambda: self.process.poll() is not None or self._step() > steps)
        assert self.process.poll() is None, self.process.communicate()[1]
        return self

    def _step(self) -> int:
        return max((event["step"] for event in self.run.events()), default=0)

    def go_on(self, *resume: str) -> subprocess.Popen[str]:
        place = self.run.path.parent.parent
        return begun(place, [*self.arguments, *resume])

    def rank(self, number: int) -> psutil.Process:
        for child in psutil.Process(self.process.pid).children():
            if child.environ().get("RANK") == str(number):
                return child
        raise AssertionError(f"no rank {number}")

    def ended(self, seconds: float) -> tuple[int, str]:
        """Exit code and stderr; nothing is left of it."""
        ranks = psutil.Process(self.process.pid).children()
        _, said = self.process.communicate(timeout=seconds)
        assert not psutil.wait_procs(ranks, timeout=3)[1]
        return self.process.returncode, said


def wait_until(there: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def errors_in(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(("error:", "Traceback", "[rank"))]


@pytest.fixture
def started(data: Path, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    made: list[Started] = []

    def start(*further: str) -> Started:
        made.append(Started(tmp_path, data, *further))
        return made[-1]

    yield start
    for each in made:
        for process in psutil.Process(os.getpid()).children(recursive=True):
            if process.pid == each.process.pid:
                process.kill()


@pytest.mark.slow
def test_a_signal_ends_all_in_order(started: Callable[..., Started]) -> None:
    training = started().learnt()
    training.process.send_signal(signal.SIGINT)
    code, said = training.ended(30)
    assert code == 130
    assert errors_in(said) == []
    assert said.count("checkpoint saved in") == 1
    stopped_at = max(event["step"] for event in training.run.events())
    assert (training.run.checkpoints / f"checkpoint-{stopped_at}").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), [("train.txt", ()), ("shards", STREAMING)])
def test_another_number_of_processes_goes_on_with_the_same_steps(
    data: Path, tmp_path: Path, name: str, how: tuple[str, ...]
) -> None:
    """As many steps of as many examples, so that the text is seen as often as was asked for; with the same losses."""
    usual = [
        *reading(data, name),
        *how,
        "--num-train-epochs",
        "15",
        "--logging-steps",
        "1",
        "--eval-steps",
        "10",
    ]
    whole, cut = (RunDir(tmp_path / "runs" / name) for name in ("whole", "cut"))
    usual += ["--per-device-train-batch-size", "3"]
    alone = begun(tmp_path, [*usual, "--gradient-accumulation-steps", "2", "--run-name", "whole"])
    assert alone.wait(100) == 0
    two = begun(tmp_path, [*usual, "--run-name", "cut", *TWO])
    wait_until(lambda: two.poll() is not None or any(event["step"] > 15 for event in cut.events()))
    two.send_signal(signal.SIGINT)
    assert two.wait(30) == 130
    goes_on = begun(tmp_path, ["pretrain", "--resume", "cut"])
    said = goes_on.communicate(timeout=100)[1]
    assert goes_on.returncode == 0, said
    assert cut.processes() == "", "it went on in one"
    losses, again = (values(list(run.events()), "loss") for run in (whole, cut))
    assert "a step has 6 examples, as before" in said
    assert len(losses) > 30
    assert again == pytest.approx(losses, rel=1e-4)
    assert values(list(cut.events()), "epoch")[-1] == values(list(whole.events()), "epoch")[-1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.soak), 1])
def test_a_rank_that_is_killed_ends_all_and_is_told_once(started: Callable[..., Started], rank: int) -> None:
    training = started().learnt()
    lost = training.rank(rank)
    lost.kill()
    code, said = training.ended(30)
    assert code == 1
    assert errors_in(said) == [
        f"error: rank {rank} (process {lost.pid}) was killed (SIGKILL): all processes ended"
    ]


@pytest.mark.slow
def test_a_rank_that_is_killed_before_they_meet_is_told_once(started: Callable[..., Started]) -> None:
    training = started()
    wait_until(lambda: len(psutil.Process(training.process.pid).children()) == 2)
    lost = training.rank(1)
    lost.kill()
    code, said = training.ended(30)
    assert code == 1
    assert said.startswith(f"error: rank 1 (process {lost.pid}) was killed (SIGKILL): all processes ended")


@pytest.mark.slow
def test_ctrl_c_while_they_meet_ends_all_at_once(started: Callable[..., Started]) -> None:
    training = started()
    wait_until(lambda: len(psutil.Process(training.process.pid).children()) == 2)
    time.sleep(1)
    for process in (training.process, training.rank(0), training.rank(1)):  # a terminal signals all of them
        process.send_signal(signal.SIGINT)
    assert training.ended(15) == (130, "interrupted\n")


@pytest.mark.slow
def test_a_rank_that_hangs_ends_all(started: Callable[..., Started]) -> None:
    training = started("--ddp-timeout", "5").learnt()
    lost = training.rank(1)
    lost.suspend()
    code, said = training.ended(15)
    assert code == 1
    [told] = errors_in(said)
    assert told.startswith(f"error: rank 1 (process {lost.pid} on ")
    assert told.endswith(" has not answered for 5 seconds: all processes end")


@pytest.mark.slow
def test_a_rank_that_is_stopped_where_no_other_looks_ends_all(started: Callable[..., Started]) -> None:
    """Here before they have met."""
    training = started("--ddp-timeout", "2")
    wait_until(lambda: len(psutil.Process(training.process.pid).children()) == 2)
    lost = training.rank(1)
    lost.suspend()
    code, said = training.ended(15)
    assert code == 1
    assert errors_in(said) == [
        f"error: rank 1 (process {lost.pid}) was stopped and did not go on: all processes ended"
    ]


@pytest.mark.slow
def test_of_four_ranks_the_killed_one_is_told_and_all_end_soon(started: Callable[..., Started]) -> None:
    """Neither waits for what its neighbours notice one after the other."""
    training = started("--num-processes", "4").learnt()
    lost = training.rank(2)
    lost.kill()
    code, said = training.ended(20)
    assert code == 1
    assert errors_in(said) == [
        f"error: rank 2 (process {lost.pid}) was killed (SIGKILL): all processes ended"
    ]


@pytest.mark.soak
@pytest.mark.parametrize("by", [signal.SIGTSTP, signal.SIGSTOP])
def test_processes_that_are_all_stopped_go_on_later(
    started: Callable[..., Started], by: signal.Signals
) -> None:
    """By Ctrl-Z, which reaches the launcher alone, and by a scheduler that has something more urgent."""
    training = started("--ddp-timeout", "3").learnt()
    processes = [psutil.Process(training.process.pid), training.rank(0), training.rank(1)]
    asked = processes[:1] if by == signal.SIGTSTP else processes
    for process in asked:
        process.send_signal(by)
    wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in processes))
    time.sleep(8)
    for process in asked:
        process.resume()
    code, said = training.ended(90)
    assert (code, errors_in(said)) == (0, [])


@pytest.mark.slow
def test_a_broken_shard_of_a_stream_is_told_once(data: Path, tmp_path: Path) -> None:
    """Whichever process comes to it."""
    shutil.copytree(data / "shards", tmp_path / "shards")
    (tmp_path / "shards" / "4.txt.gz").write_bytes(gzip.compress(b"some words of text\n" * 9)[:-9])
    command = [*reading(tmp_path, "shards"), *STREAMING, "--max-steps", "90", "--seed", "1", *TWO]
    command[command.index("--validation-data") + 1] = str(data / "dev.txt")
    training = begun(tmp_path, command)
    [told] = errors_in(training.communicate(timeout=120)[1])
    assert training.returncode == 1
    assert told.endswith(
        "4.txt.gz: truncated or damaged .gz file (Compressed file ended before the end-of-stream marker was reached)"
    )


@pytest.mark.slow
def test_processes_that_cannot_talk_to_each_other_say_why(
    started: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nope0")
    code, said = started().ended(60)
    assert code == 1
    [told] = errors_in(said)
    assert "nope0" in told


@pytest.mark.slow
def test_an_error_of_the_input_is_told_once_whatever_restarts_are_left(data: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("a few words\n")
    command = [*reading(data), *TWO, "--max-restarts", "2"]
    command[command.index("--data") + 1] = str(tmp_path / "short.txt")
    asked = begun(tmp_path, command)
    said = asked.communicate(timeout=60)[1]
    assert asked.returncode == 1
    assert len(errors_in(said)) == 1
    assert "started again" not in said


@pytest.mark.soak
@pytest.mark.parametrize("processes", [1, 2])
def test_restarts_go_on_from_the_last_checkpoint(started: Callable[..., Started], processes: int) -> None:
    training = started("--max-restarts", "3", "--num-processes", str(processes))
    for number in range(3):
        wait_until(lambda n=number: any(event["step"] > 40 * (n + 1) for event in training.run.events()))
        training.rank(number % processes).kill()
    code, said = training.ended(90)
    assert code == 0, said
    assert [event["step"] for event in training.run.events() if "loss" in event][-1] == LONG
    assert "stopping after this step" not in said, "nobody asked for that"
    assert said.count("goes on from") == 3


# What cannot be


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            ("--num-processes", "3", "--num-machines", "2", "--main-process-ip", "h"),
            "cannot be shared out evenly",
        ),
        (("--num-machines", "2"), "num_machines 2: where is machine 0?"),
        (("--num-processes", "5000"), "num_processes 5000: 5000 on this machine, which has "),
        (("--num-processes", "2", "--main-process-port", "99999"), "--main-process-port"),
        (
            ("--num-processes", "2", "--global-batch-size", "7"),
            "global_batch_size 7: the examples of a step cannot be shared out evenly among 2 processes",
        ),
        (("--machine-rank", "1"), "machine_rank 1: 1 machines are numbered from 0 to 0"),
        (("--num-processes", "2", "--auto-batch-size"), "when memory is short in one of several processes"),
        (("--num-processes", "2", "--find-learning-rate"), "tries the rates in one process, not in 2"),
        (("--num-processes", "3", "--global-batch-size", "64"), "hint: among 1 or 2 or 4 they can"),
        (
            ("--global-batch-size", "64", "--per-device-train-batch-size", "6"),
            "--per-device-train-batch-size 4\n",
        ),
        (
            ("--global-batch-size", "64", "--gradient-accumulation-steps", "3"),
            "gradient_accumulation_steps 3: global_batch_size 64 takes 16 batches of 4 in each of 1",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_once(llmctl: Run, asked: tuple[str, ...], told: str) -> None:
    done = llmctl("pretrain", *asked)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("error: ") == 1


def test_a_port_that_is_taken_is_refused_at_once(llmctl: Run) -> None:
    """Torch would wait for what has it, and hear no Ctrl-C."""
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        done = llmctl("pretrain", *TWO, "--main-process-port", str(port), timeout=20)
    assert done.returncode == 2
    assert f"main_process_port {port}: address already in use" in done.stderr


def test_what_is_the_work_of_one_process_is_refused_in_several(llmctl: Run) -> None:
    done = llmctl("runs", "list", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 2
    assert done.stderr.startswith("error: llmctl runs list is the work of one process, and 2 were started")
    assert llmctl("runs", "list", WORLD_SIZE="2", RANK="1").stderr == ""


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WORLD_SIZE": "x", "RANK": "0"}, "WORLD_SIZE is 'x', RANK is '0': whole numbers are needed"),
        ({"RANK": "1"}, "RANK is '1', but WORLD_SIZE does not say of how many processes"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is '0', but WORLD_SIZE does not say"),
        ({"WORLD_SIZE": "2", "RANK": "5"}, "WORLD_SIZE is '2', RANK is '5': ranks are numbered from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR and MASTER_PORT do not say where the processes meet"),
    ],
)
def test_an_environment_that_says_it_by_halves_is_refused(
    llmctl: Run, environment: dict[str, str], told: str
) -> None:
    done = llmctl("pretrain", **environment)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.slow
def test_srun_starts_ranks_of_which_one_speaks(data: Path, tmp_path: Path) -> None:
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "localhost"}
    step["MASTER_PORT"] = free_port()
    command = [*reading(data), "--max-steps", "2", "--run-name", "two"]
    running = [begun(tmp_path, command, **step, SLURM_PROCID=rank, SLURM_LOCALID=rank) for rank in "01"]
    said = ["".join(process.communicate(timeout=120)) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert "on each of 2 devices" in said[0]
    assert said[1] == ""


def test_the_others_wait_for_rank_0_as_long_as_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself NCCL ends them after ten minutes, in which a large checkpoint may not be written."""
    met: list[timedelta] = []

    def meet(*, timeout: timedelta, **given: Any) -> SimpleNamespace:
        met.append(timeout)
        return SimpleNamespace(num_processes=2)

    monkeypatch.setattr("accelerate.PartialState", meet)
    monkeypatch.setattr(ranks, "store", lambda seconds: None)
    monkeypatch.setattr(ranks, "_group", lambda name: None)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "ACCELERATE_USE_CPU": "true"}.items():
        monkeypatch.setenv(name, value)
    ranks.join()
    assert met[0] >= timedelta(hours=2)


@pytest.mark.slow
def test_a_folder_of_the_name_hides_nothing(tmp_path: Path, data: Path) -> None:
    """Such as a clone of the package, beside which its own program is started."""
    (tmp_path / "llmctl").mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"LLMCTL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    program = str(Path(sys.executable).with_name("llmctl"))
    command = [program, *reading(data), "--max-steps", "2", "--run-name", "two", *TWO]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2 devices" in done.stderr


@pytest.mark.slow
def test_what_differs_between_machines_is_refused(data: Path, tmp_path: Path) -> None:
    usual = [*reading(data), "--max-steps", "4", "--run-name", "two", *TWO, "--num-machines", "2"]
    usual += ["--main-process-ip", "127.0.0.1", "--main-process-port", free_port()]
    own = (["--machine-rank", "0", "--learning-rate", "0.5"], ["--machine-rank", "1"])
    running = [begun(tmp_path, [*usual, *each]) for each in own]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [2, 2], said
    [told] = errors_in(said[0])
    assert "--learning-rate is 0.5 for rank 0, None for rank 1" in told
    assert said[1].splitlines()[-1] == "ended with code 2: machine 0 tells why"
    assert not (tmp_path / "runs" / "two").exists()


@pytest.mark.slow
def test_a_launcher_that_is_killed_takes_its_ranks_along(started: Callable[..., Started]) -> None:
    training = started().learnt()
    ranks = psutil.Process(training.process.pid).children()
    training.process.kill()
    assert not psutil.wait_procs(ranks, timeout=10)[1]
    assert not training.run.finished
