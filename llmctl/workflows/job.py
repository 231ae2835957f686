"""Job files: a recipe handed to a scheduler, which starts it, and starts it again until it is finished."""

import json
import re
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmctl import disk
from llmctl.config import FinetuneConfig, Job, PretrainConfig, SkypilotConfig, SlurmConfig
from llmctl.errors import NOT_FINISHED, ConfigError
from llmctl.launch import PORT
from llmctl.recipe import resolve
from llmctl.recipe_file import read
from llmctl.workflows import finetune, pretrain

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]\Z")
_SHORTEST = 600  # seconds; less is gone before a model has learnt enough to be saved
_CPUS_A_GPU = 8
_SAVING = 600, 0.1  # what is kept free for the last save: seconds at most, and share of the job


@dataclass(frozen=True)
class JobFile:
    """A job file.

    Attributes:
        text: what stands in it.
        output_file: where it was written; ``None``: nowhere.
        submit: the command that hands it in.
    """

    text: str
    output_file: str | None
    submit: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(config: Job) -> None:
    """Find what is missing or wrong, in the recipe too.

    Raises:
        ConfigError: naming the option or the recipe's line.
    """
    if config.recipe_file is None:
        raise ConfigError("which recipe?", hint="llmctl launch slurm recipes/distributed/ddp.yaml ...")
    if config.gpus_per_node is None:
        raise ConfigError("how many GPUs has each machine?", hint="--gpus-per-node 8")
    if isinstance(config, SlurmConfig):
        if config.time is None:
            raise ConfigError("how long may the job take at a time?", hint="--time 12h")
        if config.time < _SHORTEST:
            raise ConfigError(f"--time {config.time:g}s: a job takes 10 minutes at least", hint="--time 1h")
    if isinstance(config, SkypilotConfig):
        _check_kept(config)
        if not Path(config.recipe_file).resolve().is_relative_to(Path.cwd()):
            raise ConfigError(
                f"{config.recipe_file} is not in this folder, and the machines get a copy of this folder alone",
                hint="copy it to where its data is, and type this there",
            )
    if config.output_file:
        disk.check_new_file(Path(config.output_file))
    _check_recipe(config)


def _check_kept(config: SkypilotConfig) -> None:
    """Refuse a job whose runs would be lost, or not seen by all of its machines.

    Raises:
        ConfigError: naming the option.
    """
    if config.bucket and not _BUCKET.match(config.bucket):
        raise ConfigError(
            f"--bucket {config.bucket!r} is no name of a bucket",
            hint="3 to 63 small letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        )
    if config.bucket and config.volume:
        raise ConfigError("--bucket and --volume: which of them keeps the runs?", hint="give one of the two")
    if config.nodes > 1 and not config.volume:
        raise ConfigError(
            f"--nodes {config.nodes}: the machines need a place for runs that all of them see, which no bucket is",
            hint="--volume NAME (sky volumes apply makes one), or one machine",
        )
    if config.use_spot and not (config.bucket or config.volume):
        raise ConfigError(
            "--use-spot: a machine that is taken away takes its runs along",
            hint="--bucket NAME or --volume NAME",
        )


def run(config: Job) -> JobFile:
    """The job file, written where it is to be written.

    Raises:
        ConfigError: as :func:`check`.
    """
    check(config)
    if isinstance(config, SlurmConfig):
        text, submit = _slurm(config), "sbatch"
    else:
        assert isinstance(config, SkypilotConfig)
        text, submit = _skypilot(config), "sky jobs launch"
    if config.output_file:
        with disk.failures_told():
            disk.write_file(Path(config.output_file), text)
    return JobFile(text, config.output_file, f"{submit} {shlex.quote(config.output_file or 'FILE')}")


def _check_recipe(config: Job) -> None:
    """Refuse what would be refused when the job's time has come, as far as it can be known without its machines.

    Raises:
        ConfigError: neither command reads the recipe, or it is not for so many processes.
    """
    assert config.gpus_per_node
    path, processes = Path(config.recipe_file or ""), config.nodes * config.gpus_per_node
    workflow: Any = finetune if _command(config) == "finetune" else pretrain
    kind = FinetuneConfig if workflow is finetune else PretrainConfig
    recipe: Any = resolve(kind, path, {})
    recipe = replace(recipe, num_processes=processes, num_machines=config.nodes, main_process_ip="machine-0")
    if recipe.strategy != "ddp" and processes == 1:
        raise ConfigError(
            f"{path}: strategy {recipe.strategy} is for two processes at least, and this job has one GPU",
            hint="more --gpus-per-node, or strategy: ddp",
        )
    workflow.settle(recipe)


def _command(config: Job) -> str:
    """``pretrain`` or ``finetune``: a recipe with a task is one of fine-tuning."""
    return "finetune" if "task" in read(Path(config.recipe_file or ""), []) else "pretrain"


def _words(config: Job, *further: str) -> str:
    """The command line that trains, without what differs from machine to machine."""
    recipe = Path(config.recipe_file or "")
    if isinstance(config, SkypilotConfig):  # which knows this folder by another path
        recipe = recipe.resolve().relative_to(Path.cwd())
    return shlex.join(["llmctl", _command(config), "--recipe", str(recipe), "--resume", "auto", *further])


def _name(config: Job) -> str:
    recipe = Path(config.recipe_file or "")
    of_a_run = recipe.stem == "recipe" and recipe.resolve().parent.name  # as each run's is called
    return config.run_name or of_a_run or recipe.stem


def _slurm(config: SlurmConfig) -> str:
    assert config.time
    assert config.gpus_per_node
    spare = int(min(_SAVING[0], config.time * _SAVING[1]))
    each = "-$SLURM_ARRAY_TASK_ID" if config.array else ""
    asked = {
        "job-name": _name(config),
        "output": "%x-%A_%a.out" if config.array else "%x-%j.out",
        "open-mode": "append",
        "nodes": config.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": config.gpus_per_node,
        "cpus-per-task": config.cpus_per_task or _CPUS_A_GPU * config.gpus_per_node,
        "time": _clock(int(config.time)),
        "signal": f"B:TERM@{spare // 2}",
        "partition": config.partition,
        "account": config.account,
        "array": f"0-{config.array - 1}" if config.array else None,
    }
    lines = [
        f"#SBATCH --{name}={shlex.quote(str(value))}" for name, value in asked.items() if value is not None
    ]
    command = _words(config, "--time-limit", f"{int(config.time) - spare}s")
    return _SLURM.format(
        options="\n".join(lines),
        command=command,
        seed=' --seed "$SLURM_ARRAY_TASK_ID"' if config.array else "",
        run=f"{shlex.quote(_name(config))}{each}",
        processes=config.nodes * config.gpus_per_node,
        not_finished=NOT_FINISHED,
        spare=_clock(spare),
    )


def _clock(seconds: int) -> str:
    """Days, hours, minutes and seconds as SLURM reads them."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02}:{minute:02}:{second:02}" if days else f"{hour:02}:{minute:02}:{second:02}"


_SLURM = """\
#!/bin/bash
# One job after another trains the same run until it is finished: sbatch THIS_FILE
# Each starts llmctl once on each machine, which starts a process for each GPU.
{options}
#SBATCH --requeue

# The environment that has llmctl, the same on all machines, e.g.:
# source .venv/bin/activate
# Runs and the cache stand on a disk that all machines share, e.g.:
# export LLMCTL_RUNS_DIR=$HOME/runs LLMCTL_CACHE_DIR=$SCRATCH/llmctl
set -u
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # else srun, since SLURM 22.05, gives each task one

# --resume auto begins the run, or goes on with it; the time limit leaves {spare} of the job's time for its last save.
command=({command} --run-name {run}{seed})

first_machine=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a machine

srun bash -c 'exec "$@" --num-machines "$SLURM_NNODES" --machine-rank "$SLURM_NODEID"' llmctl \\
  "${{command[@]}}" --num-processes {processes} --main-process-ip "$first_machine" --main-process-port "$port" &
training=$!

# SLURM sends TERM some minutes before it ends the job: the step at hand is finished and saved.
warned=no
trap 'warned=yes; scancel --signal=TERM "$SLURM_JOB_ID.0"' TERM # to the processes; srun itself would kill them
wait "$training" # which the signal cuts short
wait "$training"
code=$?

# {not_finished} is the time limit's, 143 the signal's. What else ended it is yours to look at;
# a machine that fails, SLURM replaces by itself.
if [ "$code" -eq {not_finished} ] || {{ [ "$warned" = yes ] && [ "$code" -eq 143 ]; }}; then
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def _skypilot(config: SkypilotConfig) -> str:
    assert config.gpus_per_node
    kept = ""
    if config.bucket:  # the only way of mounting it in which files can be appended to
        kept = f"\nfile_mounts:\n  /kept: {{name: {json.dumps(config.bucket)}, mode: MOUNT_CACHED}}\n"
    if config.volume:
        kept = f"\nvolumes:\n  /kept: {json.dumps(config.volume)}\n"
    return _SKYPILOT.format(
        name=json.dumps(_name(config)),
        accelerator=json.dumps(f"{config.accelerator}:{config.gpus_per_node}"),
        spot=str(config.use_spot).lower(),
        nodes=config.nodes,
        mounts=kept,
        runs="/kept/runs" if kept else "$HOME/runs",
        cache="/kept/cache" if config.volume else "$HOME/.cache/llmctl",
        lasts=_LASTS if kept else _GOES,
        command=_words(config),
        run=shlex.quote(_name(config)),
        processes=config.nodes * config.gpus_per_node,
        port=PORT,
    )


_LASTS = """\
# A managed job is started again where a machine was taken away; --resume auto then goes on with the run, from the
# newest checkpoint that was kept whole."""
_GOES = """\
# The run stays on its machine: fetch it before the machine goes, or give --bucket or --volume NAME, with which a job
# whose machine was taken away goes on with its run on another."""
_SKYPILOT = """\
# Trains a run until it is finished: sky jobs launch THIS_FILE, from the folder that holds the recipe and its data.
{lasts}
name: {name}

resources:
  accelerators: {accelerator}
  use_spot: {spot}

num_nodes: {nodes}
workdir: .
{mounts}
setup: |
  # Where this folder is a clone of llmctl; else the line that installs it for you.
  python3 -m venv ~/llmctl
  ~/llmctl/bin/pip install -c constraints.txt .

run: |
  source ~/llmctl/bin/activate
  export LLMCTL_RUNS_DIR={runs} LLMCTL_CACHE_DIR={cache}
  {command} --run-name {run} \\
    --num-processes {processes} --num-machines "$SKYPILOT_NUM_NODES" --machine-rank "$SKYPILOT_NODE_RANK" \\
    --main-process-ip "$(echo "$SKYPILOT_NODE_IPS" | head -n 1)" --main-process-port {port}
"""
