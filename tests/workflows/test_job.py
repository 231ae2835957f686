"""Job files: what stands in them, and what the one for SLURM does with a scheduler that only notes what it is told."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmctl.config import PretrainConfig, SkypilotConfig, SlurmConfig
from llmctl.errors import NOT_FINISHED, ConfigError
from llmctl.recipe import resolve
from llmctl.workflows import asked_strategy, job, pretrain

ROOT = Path(__file__).parents[2]
DISTRIBUTED = sorted((ROOT / "recipes" / "distributed").glob("*.yaml"))


@pytest.fixture
def slurm(tmp_path: Path) -> Callable[..., SlurmConfig]:
    def make(**changes: Any) -> SlurmConfig:
        recipe = tmp_path / "a recipe's.yaml"
        recipe.write_text("task: sst2\n")
        settings: dict[str, Any] = {
            "recipe_file": str(recipe),
            "gpus_per_node": 4,
            "time": 36_000.0,
            "nodes": 2,
        }
        return SlurmConfig(**{**settings, **changes})

    return make


def options_of(text: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    return dict(line.partition("=")[::2] for line in lines)


def test_the_file_for_slurm_asks_for_what_is_asked(slurm: Any) -> None:
    found = options_of(job.run(slurm(array=3, partition="long", run_name="x")).text)
    assert (found["nodes"], found["ntasks-per-node"], found["gpus-per-node"]) == ("2", "1", "4")
    assert (found["time"], found["signal"], found["array"]) == ("10:00:00", "B:TERM@300", "0-2")
    assert (found["partition"], found["job-name"], found["requeue"]) == ("long", "x", "")
    assert "account" not in found
    assert options_of(job.run(slurm(time=100_000.0)).text)["time"] == "1-03:46:40"


@pytest.mark.parametrize("changes", [{}, {"array": 2}])
def test_bash_reads_it(slurm: Any, changes: dict[str, Any]) -> None:
    text = job.run(slurm(**changes)).text
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def run_job(text: str, folder: Path, *, code: int, warned: bool = False) -> tuple[int, list[str]]:
    """Run the job file as machine 1 of 2 would; gives its exit code and what the scheduler was told."""
    said = folder / "said"
    tools = {
        "scontrol": f'echo "scontrol $@" >> {said}\n[ "$1" = show ] && printf "node7\\nnode8\\n" || true',
        "srun": f'export JOB=$PPID\n"$@" & echo $! > {folder}/step\n'
        "trap 'kill -KILL $!; exit 137' TERM\nwait $!",  # as srun does at a TERM of its own
        "scancel": f'[ "$*" = "--signal=TERM 123.0" ] && kill -TERM $(cat {folder}/step)',
        "llmctl": f'echo "llmctl $@" >> {said}\n'
        + (
            f"trap 'kill %1; exit {code}' TERM; sleep 20 & kill -TERM $JOB; wait"
            if warned
            else f"exit {code}"
        ),
    }
    for name, body in tools.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "123",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "SLURM_NODEID": "1",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_ARRAY_TASK_ID": "5",
    }
    ended = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, timeout=30)
    return ended.returncode, said.read_text().splitlines()


def test_each_machine_starts_its_processes(slurm: Any, tmp_path: Path) -> None:
    code, said = run_job(job.run(slurm(array=9)).text, tmp_path, code=0)
    assert code == 0
    assert said == [
        "scontrol show hostnames node[7-8]",
        f"llmctl finetune --recipe {tmp_path}/a recipe's.yaml --resume auto --time-limit 35400s "
        "--run-name a recipe's-5 --seed 5 --num-processes 8 --main-process-ip node7 --main-process-port 20123 "
        "--num-machines 2 --machine-rank 1",
    ]


@pytest.mark.parametrize(
    ("code", "warned", "again"),
    [(NOT_FINISHED, False, True), (143, True, True), (143, False, False), (1, True, False), (0, True, False)],
)
def test_a_run_that_is_not_finished_is_queued_again(
    slurm: Any, tmp_path: Path, code: int, warned: bool, again: bool
) -> None:
    ended, said = run_job(job.run(slurm()).text, tmp_path, code=code, warned=warned)
    assert ("scontrol requeue 123" in said) is again
    assert ended == (0 if again else code)


def test_the_file_for_skypilot_is_yaml_that_says_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = str(DISTRIBUTED[0])
    config = SkypilotConfig(recipe_file=recipe, gpus_per_node=8, nodes=2, volume="mine", use_spot=True)
    found = yaml.safe_load(job.run(config).text)
    assert found["resources"] == {"accelerators": "A100-80GB:8", "use_spot": True}
    assert (found["num_nodes"], found["name"]) == (2, DISTRIBUTED[0].stem)
    assert found["volumes"] == {"/kept": "mine"}
    for script in (found["setup"], found["run"]):
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    assert f"llmctl pretrain --recipe {DISTRIBUTED[0].relative_to(ROOT)} --resume auto" in found["run"]
    assert '--machine-rank "$SKYPILOT_NODE_RANK"' in found["run"]
    assert "export LLMCTL_RUNS_DIR=/kept/runs LLMCTL_CACHE_DIR=/kept/cache" in found["run"]
    alone = replace(config, nodes=1, volume=None, bucket="mine")
    alone_found = yaml.safe_load(job.run(alone).text)
    assert alone_found["file_mounts"] == {"/kept": {"name": "mine", "mode": "MOUNT_CACHED"}}
    plain = yaml.safe_load(job.run(replace(alone, bucket=None, use_spot=False)).text)
    assert not {"file_mounts", "volumes"} & plain.keys()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nodes": 2}, "--nodes 2: the machines need a place for runs"),
        ({"nodes": 2, "bucket": "mine"}, "which no bucket is"),
        ({"volume": "mine", "bucket": "mine"}, "--bucket and --volume: which of them"),
        ({"use_spot": True}, "--use-spot: a machine that is taken away"),
    ],
)
def test_runs_that_would_be_lost_are_refused(
    changes: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=told):
        job.check(SkypilotConfig(**{"recipe_file": str(DISTRIBUTED[0]), "gpus_per_node": 8, **changes}))


def test_a_recipe_that_the_machines_do_not_get_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is not in this folder"):
        job.check(SkypilotConfig(recipe_file=str(DISTRIBUTED[0]), gpus_per_node=8))


def test_a_file_is_written_once(slurm: Any, tmp_path: Path) -> None:
    path = tmp_path / "job.sbatch"
    result = job.run(slurm(output_file=str(path)))
    assert path.read_text() == result.text
    assert result.submit == f"sbatch {path}"
    with pytest.raises(ConfigError, match=r"output file exists: .*job\.sbatch"):
        job.check(slurm(output_file=str(path)))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"recipe_file": None}, "llmctl launch slurm recipes/"),
        ({"gpus_per_node": None}, "--gpus-per-node 8"),
        ({"time": None}, "--time 12h"),
        ({"time": 60.0}, "--time 1h"),
    ],
)
def test_what_is_missing_is_refused(slurm: Any, changes: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        job.check(slurm(**changes))
    assert hint in (refused.value.hint or "")


def test_a_recipe_that_does_not_read_is_refused(slurm: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("learning_rte: 1\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml:1: unknown key 'learning_rte'"):
        job.check(slurm(recipe_file=str(tmp_path / "bad.yaml")))
    with pytest.raises(ConfigError, match="takes its runs along"):
        job.check(SkypilotConfig(recipe_file=str(DISTRIBUTED[0]), gpus_per_node=1, use_spot=True))


def test_a_recipe_that_is_not_for_so_many_processes_is_refused(slurm: Any, tmp_path: Path) -> None:
    recipe = tmp_path / "some.yaml"
    recipe.write_text("global_batch_size: 512\n")
    job.check(slurm(recipe_file=str(recipe)))
    with pytest.raises(ConfigError, match="cannot be shared out evenly among 21 processes"):
        job.check(slurm(recipe_file=str(recipe), nodes=3, gpus_per_node=7))
    recipe.write_text("strategy: fsdp\n")
    job.check(slurm(recipe_file=str(recipe), nodes=1, gpus_per_node=2))
    with pytest.raises(ConfigError, match="fsdp is for two processes at least"):
        job.check(slurm(recipe_file=str(recipe), nodes=1, gpus_per_node=1))


def test_the_recipe_of_a_run_gives_its_name(slurm: Any, tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    recipe = tmp_path / "book" / "recipe.yaml"
    recipe.write_text("max_steps: 3\n")
    assert options_of(job.run(slurm(recipe_file=str(recipe))).text)["job-name"] == "book"


def test_a_bucket_that_none_can_be_called_is_refused() -> None:
    for name in ('Bad Bucket"name', "ab", "-abc", "x" * 64):
        with pytest.raises(ConfigError, match="is no name of a bucket"):
            job.check(SkypilotConfig(recipe_file=str(DISTRIBUTED[0]), gpus_per_node=1, bucket=name))


@pytest.mark.parametrize("recipe", DISTRIBUTED, ids=lambda path: path.stem)
def test_a_distributed_recipe_is_accepted_where_there_are_gpus(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("once upon a time\n")
    monkeypatch.setattr(asked_strategy, "version", lambda package: "2.13.0")
    monkeypatch.setattr(asked_strategy, "find_spec", lambda package: object())
    pretrain.check(resolve(PretrainConfig, recipe, {}))
