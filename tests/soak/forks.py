"""``llmctl`` as processes that have its libraries imported already: forked from one that does nothing else.

A trial then takes the second or two of a tiny run, not the eight of the imports. What a process does is a command line;
it can be made to kill itself before its k-th change to a folder, and its system calls can be made to fail (``shim.c``).
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

COUNTED = "change"
"""How a line of stderr begins that tells a change, where they are counted."""
FAILED = "shim: failed"
"""What stderr holds where a call was made to fail."""
HERE = Path(__file__).parent
_CHANGES = frozenset(("os.rename", "os.remove", "os.rmdir", "os.truncate", "tests.written"))


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a process, once.

    Attributes:
        kind: ``kill``: SIGKILL before a change; ``write``, ``fsync``, ``rename``: that call fails.
        number: which of them, from 1; 0: none, the changes are counted.
        under: only what concerns files in this folder.
    """

    kind: str
    number: int
    under: str


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code (negative: the signal), what it said, seconds of life and after the signal."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    after_signal: float


class Forks:
    """A process to fork from.

    Args:
        place: for its files.
        preloaded: a library that its calls go through.
        environment: what differs from this process's; what is read on import is only so changed.
    """

    def __init__(
        self, place: Path, preloaded: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._streams = [place / name for name in ("stdin.txt", "stdout.txt", "stderr.txt")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LLMCTL_")}
        kept |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(place / "hf")}
        kept |= environment or {}
        if preloaded:
            kept["LD_PRELOAD"] = str(preloaded)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.forks", str(preloaded or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=kept,
            cwd=HERE.parent.parent,
        )
        assert self._answer(600.0) == "ready"

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path = Path(),
        input: str = "",
        fault: Fault | None = None,
        number: int = signal.SIGKILL,
        after: float = 600.0,
    ) -> Ended:
        """Run ``llmctl ARGUMENTS`` in ``folder``; the signal ``number`` is sent ``after`` so many seconds."""
        self._streams[0].write_text(input, encoding="utf-8")
        order = {
            "arguments": arguments,
            "environment": environment,
            "folder": str(folder),
            "streams": [str(path) for path in self._streams],
            "fault": asdict(fault) if fault else None,
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        pid, began = int(self._answer(60.0) or 0), time.monotonic()
        code, sent = self._answer(after), time.monotonic()
        if code is None:
            with contextlib.suppress(ProcessLookupError):  # it may just have ended
                os.kill(pid, number)
            code = self._answer(60.0)
            if code is None:
                os.kill(pid, signal.SIGKILL)
                code = self._answer(60.0)
        ended = time.monotonic()
        assert code is not None
        said = [path.read_text(encoding="utf-8", errors="replace") for path in self._streams[1:]]
        return Ended(int(code), *said, ended - began, ended - sent)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)

    def _answer(self, seconds: float) -> str | None:
        """The next line of the process; ``None``: there was none in that time."""
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        return os.read(self._process.stdout.fileno(), 100).decode().strip()


def _serve(shim: str) -> None:
    import datasets  # noqa: F401
    import transformers  # noqa: F401

    from llmctl.workflows import finetune, pretrain  # noqa: F401

    _import_lazy_parts()
    gc.freeze()  # the libraries are no garbage, and remain in memory that the forks share
    _say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be(json.loads(line), shim)
        _say(pid)
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _say(answer: Any) -> None:
    os.write(1, f"{answer}\n".encode())  # in one piece, as it is read


def _import_lazy_parts() -> None:
    from transformers import (  # noqa: F401
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        BertForMaskedLM,
        BertForSequenceClassification,
        LlamaForCausalLM,
    )

    from llmctl import models, objectives, training  # noqa: F401
    from llmctl.cli import app  # noqa: F401


def _be(order: dict[str, Any], shim: str) -> None:
    """Become ``llmctl``; does not return."""
    for number, path in enumerate(order["streams"]):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)  # the one there was has read ahead
    os.chdir(order["folder"])
    os.environ |= order["environment"]
    sys.argv = ["llmctl", *order["arguments"]]
    if order["fault"]:
        _arm(Fault(**order["fault"]), shim)
    from llmctl.cli.main import main

    code = 1
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _arm(fault: Fault, shim: str) -> None:
    if fault.kind == "kill":
        _kill_before(fault)
    else:
        ctypes.CDLL(shim).arm(fault.kind.encode(), fault.number, fault.under.encode())


def _kill_before(fault: Fault) -> None:
    """Python tells of most changes itself; the writing of torch and safetensors is told here."""
    import safetensors.torch
    import torch
    from transformers import modeling_utils

    seen = 0

    def look(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in _CHANGES) or fault.under not in _path(event, given):
            return
        seen += 1
        if seen == fault.number:
            os.kill(os.getpid(), signal.SIGKILL)
        if not fault.number:
            print(COUNTED, seen, event, _path(event, given), file=sys.stderr)

    def told(write: Any, place: int) -> Any:
        def writing(*given: Any, **named: Any) -> Any:
            sys.audit("tests.written", str(given[place]) if len(given) > place else str(named))
            return write(*given, **named)

        return writing

    torch.save = told(torch.save, 1)
    safetensors.torch.save_file = told(safetensors.torch.save_file, 1)
    setattr(modeling_utils, "safe_save_file", safetensors.torch.save_file)  # noqa: B010
    sys.addaudithook(look)


def _path(event: str, given: tuple[Any, ...]) -> str:
    path = str(given[0])
    if event in ("os.remove", "os.rmdir") and given[1] >= 0:  # within a folder that is open
        return os.path.join(os.readlink(f"/proc/self/fd/{given[1]}"), path)
    return path


if __name__ == "__main__":
    _serve(sys.argv[1])
