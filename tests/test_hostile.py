"""What strangers hand over: no canary fires, memory stays bounded, nothing leaks, and a refusal says why.

Each command runs in a child of this process, which has the heavy libraries loaded already; a few run as real processes.
"""

import os
import re
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hostile import ARTEFACTS, CANARY, SECRET

TOKEN = "hf_CanaryCanaryCanaryCanaryCanaryCana"
MAX_BYTES = 2 << 30
MAX_SECONDS = 60
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]")
QUICK = (
    "only a pickle",
    "code of an unknown family",
    "shard above",
    "template of memory",
    "1e9 labels",
    "billion laughs",
    "config of escapes",
)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
    num_bytes: int
    seconds: float


def in_child(arguments: list[str], folder: Path) -> Outcome:
    """Run a command in a fork; whoever asks a question is answered yes."""
    out, err, answers = folder / ".out", folder / ".err", folder / ".answers"
    answers.write_text("y\n" * 20)
    began = time.monotonic()
    pid = os.fork()
    if not pid:  # pragma: no cover
        _become(arguments, folder, (answers, out, err))
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            break
        if time.monotonic() - began > MAX_SECONDS:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise AssertionError(f"{arguments} takes longer than {MAX_SECONDS} s: {err.read_text()}")
        time.sleep(0.01)
    texts = [path.read_text(encoding="utf-8", errors="surrogateescape") for path in (out, err)]
    for path in (out, err, answers):
        path.unlink()
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code, *texts, usage.ru_maxrss * 1024, time.monotonic() - began)


def _become(arguments: list[str], folder: Path, files: tuple[Path, Path, Path]) -> None:  # pragma: no cover
    """Be ``llmctl ARGUMENTS`` from here on."""
    code = 99
    try:
        for number, path in enumerate(files):
            handle = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(n, "r" if n == 0 else "w", encoding="utf-8") for n in range(3)
        )
        os.chdir(folder)
        os.environ |= settings(folder)
        sys.argv = ["llmctl", *arguments]
        from llmctl.cli.main import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def settings(folder: Path) -> dict[str, str]:
    cache = {"LLMCTL_CACHE_DIR": str(folder / "cache"), "HF_HOME": str(folder / "hf")}
    return {"LLMCTL_RUNS_DIR": str(folder / "runs"), "HF_HUB_OFFLINE": "1", "HF_TOKEN": TOKEN, **cache}


@pytest.fixture(scope="module")
def warm() -> None:
    """Load what every command loads, once."""
    import peft  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer  # noqa: F401

    torch.set_num_threads(1)


def prepared(folder: Path, name: str) -> Path:
    (folder / "text.txt").write_text("some words of text, and more of them\n" * 60)
    (folder / "reviews.csv").write_text("text,label\n" + "good film,pos\nbad film,neg\n" * 20)
    ARTEFACTS[name].make(folder)
    return folder


def check(name: str, outcome: Outcome, folder: Path, before: set[Path]) -> None:
    told = ARTEFACTS[name].told
    said = outcome.out + outcome.err
    print(f"{name}: exit {outcome.code}, {outcome.num_bytes >> 20} MiB, {outcome.seconds:.1f} s\n{said}")
    assert not list(folder.rglob(f"*{CANARY}*")), "the canary fired"
    assert not list(folder.parent.glob(f"*{CANARY}*")), "the canary fired"
    assert outcome.num_bytes < MAX_BYTES
    assert "Traceback" not in said
    assert "defect of llmctl" not in said
    assert not UNSAFE.search(said), repr(UNSAFE.search(said))
    if told is None:
        assert outcome.code == 0
    else:
        assert outcome.code in (1, 2)
        assert "error: " in outcome.err
        assert told in outcome.err
    assert TOKEN not in said
    assert SECRET not in said
    written = {path for path in folder.rglob("*") if path.is_file()} - before
    for path in written:
        assert path.relative_to(folder).parts[0] in ("runs", "cache", "out", "hf", "tokenizer"), path
        content = path.read_bytes()
        assert TOKEN.encode() not in content, path
        assert SECRET.encode() not in content, path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.soak) for n in ARTEFACTS]
)
def test_nothing_hostile_gets_through(name: str, warm: None, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    before = {path for path in prepared(folder, name).rglob("*") if path.is_file()}
    commands = ARTEFACTS[name].commands
    for command in commands[:1] if name in QUICK and not os.environ.get("LLMCTL_SOAK") else commands:
        arguments = command.replace("{}", "model").split()
        check(name, in_child(arguments, folder), folder, before)


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", ["only a pickle", "code of an unknown family", "tokenizer that panics", "1e6 layers"]
)
def test_nor_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    prepared(folder, name)
    arguments = ARTEFACTS[name].commands[0].replace("{}", "model").split()
    command = [sys.executable, "-m", "llmctl", *arguments]
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **settings(folder)},
        input="y\n" * 20,
        capture_output=True,
        text=True,
    )
    assert result.returncode in (1, 2)
    assert str(ARTEFACTS[name].told) in result.stderr
    assert not list(folder.rglob(f"*{CANARY}*"))
