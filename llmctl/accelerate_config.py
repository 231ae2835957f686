"""A person's own file of ``accelerate config``: where the processes run, and how they share a model.

It is read strictly: what llmctl would not do as the file says is refused, not passed over.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from llmctl import launch
from llmctl.errors import ConfigError
from llmctl.recipe import suggestion

ConfigT = TypeVar("ConfigT")

STRATEGIES = {"NO": "ddp", "MULTI_CPU": "ddp", "MULTI_GPU": "ddp", "FSDP": "fsdp", "DEEPSPEED": "deepspeed"}
"""``distributed_type`` in llmctl's words."""

_WRITES = "accelerate config --config_file FILE writes such a file"
_LAUNCH = {
    "num_processes": int,
    "num_machines": int,
    "machine_rank": int,
    "main_process_ip": str,
    "main_process_port": int,
    "rdzv_backend": str,
}
# Keys that ask for nothing while they have one of these values, as ``accelerate config`` writes them.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "compute_environment": ("LOCAL_MACHINE",),
    "debug": (False,),
    "downcast_bf16": ("no", False),
    "dynamo_config": ({},),
    "enable_cpu_affinity": (False,),
    "fp8_config": ({},),
    "gpu_ids": ("all",),
    "main_training_function": ("main",),
    "megatron_lm_config": ({},),
    "mpirun_config": ({},),
    "parallelism_config": ({},),
    "same_network": (True, False),
    "tpu_env": ([],),
    "tpu_use_cluster": (False,),
    "tpu_use_sudo": (False,),
    "use_cpu": (False,),
}
# Of ``fsdp_config``: the value that alone is possible, or the kind of value; names without their ``fsdp_``.
_FSDP: dict[str, Any] = {
    "version": 2,
    "auto_wrap_policy": str,
    "transformer_layer_cls_to_wrap": str,
    "min_num_params": int,
    "reshard_after_forward": bool,
    # False: the norm of gradients that lie on processors needs a group that has gloo beside NCCL, and evaluation would
    # have targets there and logits on the GPU.
    "offload_params": False,
    "cpu_ram_efficient_loading": bool,
    "state_dict_type": "FULL_STATE_DICT",
    "activation_checkpointing": bool,
}
_FILE = "deepspeed_config_file"
_GATHERED = "stage3_gather_16bit_weights_on_model_save"
# Of ``deepspeed_config``: where in DeepSpeed's own settings a key belongs.
_DEEPSPEED: dict[str, tuple[str, ...]] = {
    "gradient_accumulation_steps": ("gradient_accumulation_steps",),
    "gradient_clipping": ("gradient_clipping",),
    "offload_optimizer_device": ("zero_optimization", "offload_optimizer", "device"),
    "offload_param_device": ("zero_optimization", "offload_param", "device"),
    "zero3_save_16bit_model": ("zero_optimization", _GATHERED),
    "zero_stage": ("zero_optimization", "stage"),
}


@dataclass(frozen=True)
class AccelerateConfig:
    """What a file asks for.

    Attributes:
        launch: fields of ``config.Launch``, only those that the file gives.
        strategy: as ``--strategy``.
        bf16: as ``--bf16``; ``None``: the file does not say.
        fsdp: keys of ``TrainingArguments.fsdp_config``.
        deepspeed: keys of a DeepSpeed config, that are to be other than llmctl's.
        deepspeed_file: a whole DeepSpeed config of the person's own.
    """

    launch: dict[str, Any]
    strategy: str
    bf16: bool | None = None
    fsdp: dict[str, Any] = field(default_factory=dict)
    deepspeed: dict[str, Any] = field(default_factory=dict)
    deepspeed_file: str | None = None


def read(path: str | Path) -> AccelerateConfig:
    """Read a YAML or JSON file that ``accelerate launch --config_file`` takes.

    Raises:
        ConfigError: it is not there or not such a file, or a key is unknown or asks for what llmctl does not do.
    """
    path = Path(path)
    given = {key: value for key, value in _mapping(path).items() if value is not None}
    kind = given.pop("distributed_type", None)
    if kind not in STRATEGIES:
        what = "is missing" if kind is None else f"is {kind!r:.60}"
        raise ConfigError(
            f"{path}: distributed_type {what}, llmctl knows {', '.join(STRATEGIES)}", hint=_WRITES
        )
    precision = given.pop("mixed_precision", None)
    if precision not in (None, "no", False, "bf16"):
        raise ConfigError(
            f"{path}: mixed_precision is {precision!r:.60}; llmctl computes in bf16 or float32",
            hint="bf16, or no",
        )
    sections = {name: given.pop(name, {}) for name in ("fsdp_config", "deepspeed_config")}
    launch = {
        name: _typed(path, name, given.pop(name), kind_) for name, kind_ in _LAUNCH.items() if name in given
    }
    _check_rest(path, given)
    strategy = STRATEGIES[kind]
    for name, section in sections.items():
        if not isinstance(section, dict) or (section and not name.startswith(strategy)):
            raise ConfigError(f"{path}: {name} is not for distributed_type {kind}", hint="leave it out")
    return AccelerateConfig(
        launch,
        strategy,
        None if precision is None else precision == "bf16",
        _fsdp(path, sections["fsdp_config"]),
        *_deepspeed(path, sections["deepspeed_config"]),
    )


def apply(config: ConfigT) -> ConfigT:
    """The config with what its ``--accelerate-config`` says; ``machine_rank`` of one file serves all machines.

    Raises:
        ConfigError: as :func:`read`, or an option says something else than the file; both are named.
    """
    path: str | None = getattr(config, "accelerate_config", None)
    if path is None:
        return config
    found, usual = read(path), type(config)()
    said = {**found.launch, "strategy": found.strategy}
    if found.bf16 is not None:
        said["bf16"] = found.bf16
    if (recomputed := found.fsdp.get("activation_checkpointing")) is not None:
        said["activation_checkpointing"] = recomputed
    changes = {}
    for name, value in said.items():
        if not hasattr(config, name):  # of evaluation and generation, which share no weights
            continue
        asked = getattr(config, name)
        if asked in (getattr(usual, name), value):
            changes[name] = value
        elif name != "machine_rank" or value:
            raise ConfigError(
                f"--{name.replace('_', '-')} {asked} contradicts {path}, which says {value}",
                hint="leave the option out, or change the file",
            )
    return replace(config, **changes)  # type: ignore[type-var]


def _mapping(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"--accelerate-config {path}: {error.strerror}", hint=_WRITES) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"--accelerate-config {path}: neither YAML nor JSON: {reason}", hint=_WRITES
        ) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        what = "is empty" if found is None else "should be 'key: value' lines"
        raise ConfigError(f"--accelerate-config {path}: {what}", hint=_WRITES)
    return found


def _typed(path: Path, name: str, value: Any, kind: type) -> Any:
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        article = {int: "a whole number", str: "a word", bool: "true or false"}[kind]
        raise ConfigError(f"{path}: {name} should be {article}, found {value!r:.60}")
    if kind is int and isinstance(value, int) and value < (name != "machine_rank"):
        raise ConfigError(f"{path}: {name} should be above 0, found {value}")
    return value


def _check_rest(path: Path, given: dict[str, Any]) -> None:
    for name, value in given.items():
        if name not in _NEUTRAL and not name.startswith(("tpu_", "command")):
            known = (
                *_LAUNCH,
                *_NEUTRAL,
                "distributed_type",
                "mixed_precision",
                "fsdp_config",
                "deepspeed_config",
            )
            raise ConfigError(f"{path}: unknown key {name!r:.60}", hint=suggestion(name, known))
        if name == "use_cpu" and value is True and not launch.num_gpus():
            continue  # as it is here anyway
        if value not in _NEUTRAL.get(name, ()):
            by_itself = ": where no GPU is to be seen (CUDA_VISIBLE_DEVICES=), processors are used"
            raise ConfigError(
                f"{path}: {name} {value!r:.60} is nothing that llmctl does",
                hint="leave it out" + (by_itself if name == "use_cpu" else ""),
            )


def _fsdp(path: Path, section: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in section.items():
        name = key.removeprefix("fsdp_")
        if name not in _FSDP:
            raise ConfigError(
                f"{path}: fsdp_config has {key!r:.60}, which FSDP2 does not know",
                hint=suggestion(name, _FSDP) or f"it knows {', '.join(_FSDP)}",
            )
        if isinstance(_FSDP[name], type):
            found[name] = _typed(path, f"fsdp_config: {key}", value, _FSDP[name])
        elif value != _FSDP[name]:
            raise ConfigError(
                f"{path}: fsdp_config: {key} is {value!r:.60}, llmctl trains with {_FSDP[name]}"
            )
    # How models are loaded is ours to say, and changes nothing else.
    found.pop("cpu_ram_efficient_loading", None)
    if "transformer_layer_cls_to_wrap" in found:
        found["transformer_layer_cls_to_wrap"] = found["transformer_layer_cls_to_wrap"].split(",")
    return found


def _deepspeed(path: Path, section: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    section = dict(section)
    if _FILE in section:
        file = path.parent / _typed(path, f"deepspeed_config: {_FILE}", section.pop(_FILE), str)
        if section:
            raise ConfigError(
                f"{path}: deepspeed_config: {', '.join(section)} beside {_FILE}", hint="say it there"
            )
        _check_gathered(file, _mapping(file).get("zero_optimization", {}))
        return {}, str(file)
    found: dict[str, Any] = {}
    for key, value in section.items():
        if key not in _DEEPSPEED:
            raise ConfigError(
                f"{path}: deepspeed_config has {key!r:.60}, which llmctl does not read",
                hint=suggestion(key, _DEEPSPEED) or f"name a file of DeepSpeed's own settings: {_FILE}",
            )
        *sections, last = _DEEPSPEED[key]
        place = found
        for name in sections:
            place = place.setdefault(name, {})
        place[last] = value
    _check_gathered(path, {_GATHERED: True, **found.get("zero_optimization", {})})
    return found, None


def _check_gathered(path: Path, zero: dict[str, Any]) -> None:
    """Without it the last act, a model on disk that loads anywhere, could not be."""
    if zero.get("stage") == 3 and zero.get(_GATHERED) is not True:
        raise ConfigError(
            f"{path}: {_GATHERED} should be true: the weights are put together in model/ at the end"
        )
