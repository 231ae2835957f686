"""Options of the files that hand a recipe to a cluster."""

from dataclasses import dataclass

from llmctl.config.fields import Count, Name, Seconds, job_option


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job needs, in whatever words its scheduler says it."""

    recipe_file: Name | None = job_option(
        None,
        "recipe of pretrain or finetune that is to be run",
        default_text="one is needed",
        argument=True,
        path=True,
    )
    run_name: Name | None = job_option(
        None, "name of the run, by which it is found again", default_text="the recipe's file name"
    )
    nodes: Count = job_option(1, "machines that work together", unit="machines")
    gpus_per_node: Count | None = job_option(
        None, "GPUs of each machine", unit="GPUs", default_text="to be said"
    )
    output_file: Name | None = job_option(
        None, "file to write; must not exist", default_text="the standard output", path=True
    )


@dataclass(frozen=True, kw_only=True)
class SlurmConfig(Job):
    """``llmctl launch slurm``."""

    time: Seconds | None = job_option(
        None,
        "how long the job may take at a time, 10m at least; it goes on in another until the run is finished",
        unit="seconds",
        default_text="to be said",
    )
    cpus_per_task: Count | None = job_option(
        None, "processors of each machine", unit="processors", default_text="8 for each GPU"
    )
    partition: Name | None = job_option(None, "partition to wait for", default_text="the cluster's own")
    account: Name | None = job_option(None, "account that pays", default_text="the user's own")
    array: Count | None = job_option(
        None, "so many jobs, with the seeds 0, 1, ..., each a run of its own", unit="jobs", default_text="one"
    )


@dataclass(frozen=True, kw_only=True)
class SkypilotConfig(Job):
    """``llmctl launch skypilot``."""

    accelerator: Name = job_option("A100-80GB", "kind of GPU, as sky gpus list names it")
    bucket: Name | None = job_option(
        None,
        "bucket that keeps the runs of one machine, so that they outlive it",
        default_text="none: runs stay on the machine",
    )
    volume: Name | None = job_option(
        None,
        "network volume (sky volumes) that keeps the runs and the cache, needed by several machines",
        default_text="none",
    )
    use_spot: bool = job_option(
        False, "machines that are cheaper and may be taken away; needs --bucket or --volume"
    )
