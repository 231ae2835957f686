"""``llmctl runs list`` and ``llmctl runs verify``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import RunsListConfig, RunsVerifyConfig
from llmctl.progress import many
from llmctl.workflows import audit, run_list

if TYPE_CHECKING:
    from llmctl.cli.console import Console

_SHOWN = 8


def _list(config: RunsListConfig, console: "Console") -> None:
    from llmctl import runs
    from llmctl.cli.console import table

    found = run_list.run(config)
    rows = [
        [
            item.name,
            item.command,
            item.state,
            f"{item.step:,}",
            "" if item.score is None else f"{item.metric} {item.score:.4f}",
            item.created[:16].replace("T", " "),
        ]
        for item in found
    ]
    text = table(["run", "command", "state", "step", "best", "begun"], rows)
    if not found:
        text = f"no run in {runs.runs_dir(config.runs_dir)}"
    console.result({"runs": [item.to_json() for item in found]}, text)


def _verify(config: RunsVerifyConfig, console: "Console") -> None:
    found = audit.run(config, progress=console)
    console.result(found.to_json(), _as_text(found))
    found.check()


def _as_text(found: audit.Audit) -> str:
    state = "finished" if found.finished else "not finished: held to what its checkpoints recorded"
    lines = [f"{found.run} ({state})"]
    lines += [f"  {name}: {source}" for name, source in found.sources().items()]
    for part in found.parts:
        size = f"{many(part.num_files, 'file')}, {part.num_bytes / 1e6:,.1f} MB"
        lines.append(f"  {part.name}: {size}: {'DAMAGED' if part.damage else 'as written'}")
        lines += [f"    {line}" for line in part.damage]
    if found.not_covered:
        shown = ", ".join(found.not_covered[:_SHOWN])
        more = f" and {len(found.not_covered) - _SHOWN} more" if len(found.not_covered) > _SHOWN else ""
        lines.append(f"  not covered by a manifest: {shown}{more}")
    return "\n".join(lines)


LIST = Verb(
    RunsListConfig,
    _list,
    check=lambda config: None,
    examples=("llmctl runs list", "llmctl runs list --runs-dir /data/runs --json"),
)

VERIFY = Verb(
    RunsVerifyConfig,
    _verify,
    check=lambda config: None,
    examples=(
        "llmctl runs verify                    # the newest run",
        "llmctl runs verify stories --json     # exit code 1: something is damaged",
    ),
)
