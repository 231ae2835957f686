"""``llmctl launch slurm`` and ``llmctl launch skypilot``."""

from typing import TYPE_CHECKING

from llmctl.cli.options import Verb
from llmctl.config import Job, SkypilotConfig, SlurmConfig
from llmctl.workflows import job

if TYPE_CHECKING:
    from llmctl.cli.console import Console


def _run(config: Job, console: "Console") -> None:
    result = job.run(config)
    console.result(
        result.to_json(), str(result.output_file) if result.output_file else result.text.rstrip("\n")
    )
    console.hint(
        "hand it in:" if result.output_file else "written by --output-file FILE, it is handed in by",
        result.submit,
    )


SLURM = Verb(
    SlurmConfig,
    _run,
    check=job.check,
    examples=(
        "llmctl launch slurm recipes/distributed/ddp.yaml --gpus-per-node 4 --time 12h > ddp.sbatch",
        "llmctl launch slurm 7b.yaml --nodes 8 --gpus-per-node 8 --time 24h --output-file 7b.sbatch",
    ),
)

SKYPILOT = Verb(
    SkypilotConfig,
    _run,
    check=job.check,
    examples=(
        "llmctl launch skypilot recipes/distributed/fsdp.yaml --gpus-per-node 8 --output-file fsdp.sky.yaml",
        "llmctl launch skypilot recipes/distributed/ddp.yaml --gpus-per-node 4 --use-spot --bucket my-runs",
    ),
)
