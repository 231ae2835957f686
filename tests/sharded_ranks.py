"""What two processes on processors do with FSDP, for ``tests/test_strategies.py``; ``torchrun`` runs it.

Accelerate shares weights among processes on GPUs alone. torch's ``fully_shard`` works with gloo as well, so Accelerate
is told here that its processes are those of GPUs: all that follows is its own code and ours.
"""

import copy
import dataclasses
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.fsdp import FSDPModule

from llmctl import models, training
from llmctl.architectures import new_config
from llmctl.config import ModelShape, PretrainConfig
from llmctl.data.load import load_text
from llmctl.objectives import text_objective
from llmctl.progress import SILENT, Silent
from llmctl.purposes import MODEL_CLASSES
from llmctl.runs import RunDir
from llmctl.training import strategies
from llmctl.workflows import steps
from tests import tiny
from tests.workflows.test_families import families


@contextmanager
def as_on_gpus() -> Iterator[None]:
    begin = PartialState.__init__

    def begin_on_gpus(state: Any, *args: Any, **kwargs: Any) -> None:
        begin(state, *args, **kwargs)
        if state.distributed_type == DistributedType.MULTI_CPU:
            state.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = begin_on_gpus
    try:
        yield
    finally:
        PartialState.__init__ = begin


def tokenizer_of(objective: str) -> Any:
    tokenizer = tiny.masked_tokenizer()
    gaps = [f"<extra_id_{number}>" for number in range(100)] if objective == "seq2seq" else []
    tokenizer.add_special_tokens(
        {"bos_token": "[CLS]", "eos_token": "[SEP]", "additional_special_tokens": gaps}
    )
    return tokenizer


def shard_and_gather(objective: str, architecture: str) -> dict[str, Any]:
    """One forward and backward pass of a sharded model, and whether its gathered weights are those it was made of."""
    tokenizer = tokenizer_of(objective)
    shape = ModelShape(architecture=architecture, hidden_size=48, num_hidden_layers=3)
    config = new_config(shape, tokenizer, vocab_size=300, block_size=32, model_class=MODEL_CLASSES[objective])
    torch.manual_seed(0)
    model: Any = getattr(transformers, MODEL_CLASSES[objective]).from_config(config)
    before = copy.deepcopy(model.state_dict())
    layers = set(strategies.layer_classes(model))
    asked = strategies.settings(PretrainConfig(strategy="fsdp"), model)
    with tempfile.TemporaryDirectory() as folder:
        given = transformers.TrainingArguments(folder, use_cpu=True, **asked).fsdp_plugin_args
    accelerator = Accelerator(cpu=True, fsdp_plugin=FullyShardedDataParallelPlugin(**given))
    optimizer = torch.optim.AdamW(model.parameters())
    with strategies.shared_weights_together(model):
        model, optimizer = accelerator.prepare(model, optimizer)
    gathered = accelerator.get_state_dict(model)
    ids = torch.arange(32).reshape(2, 16) + accelerator.process_index
    output = model(input_ids=ids, **({"decoder_input_ids": ids} if objective == "seq2seq" else {}))
    accelerator.backward(output[0].float().square().mean())
    optimizer.step()
    # On each process: only rank 0 has the gathered weights.
    whole = not gathered or all(torch.equal(gathered[name], weight) for name, weight in before.items())
    sharded = {
        type(module).__mro__[2].__name__ for module in model.modules() if isinstance(module, FSDPModule)
    }
    return {"same": whole, "layers": sorted(layers), "sharded": sorted(sharded & layers)}


class Heard(Silent):
    """Keeps the events of a training."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def training(self, total_steps: int, done: int, run: Any) -> Any:
        return nullcontext(self.events.append)


def train(config: PretrainConfig, folder: Path, **changes: Any) -> list[Any]:
    """Train a new model, or go on where one stopped; saves it, and gives back what was logged."""
    config = dataclasses.replace(config, **changes)
    tokenizer = tokenizer_of(config.objective)
    objective = text_objective(config, tokenizer)
    splits = load_text(config, progress=SILENT, cache_dir=folder / "cache")
    judged = objective.encode(splits["validation"], progress=SILENT)
    examples = objective.training_set(objective.encode(splits["train"], progress=SILENT))
    transformers.set_seed(0)
    model = models.new_model(
        config, tokenizer, model_class=MODEL_CLASSES[config.objective], block_size=config.block_size
    )
    run, heard = RunDir(folder), Heard()
    trainer = training.fit(
        config,
        run,
        steps.plan_steps(config, examples, 1e-3, SILENT),
        model=model,
        objective=objective,
        training=examples,
        validation=judged,
        command="pretrain",
        began=time.monotonic(),
        ends=None,
        checkpoint=training.newest_checkpoint(run),
        progress=heard,
        sample=lambda model: "",
    )
    weights = training.whole_weights(trainer)
    if trainer.is_world_process_zero():
        models.save(trainer.accelerator.unwrap_model(trainer.model), tokenizer, run.model, weights=weights)
    trainer.accelerator.wait_for_everyone()
    return heard.events


def compare(objective: str, architecture: str, place: Path) -> dict[str, Any]:
    """What DDP and FSDP come to, also where FSDP was cut short."""
    config = PretrainConfig(
        data="builtin:stories:40",
        objective=objective,  # type: ignore[arg-type]
        architecture=architecture,
        block_size=32,
        hidden_size=48,
        num_hidden_layers=2,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        warmup_steps=0,
        max_steps=4,
        eval_steps=2,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        dropout=0.0,
        seed=1,
    )
    folders = {name: place / f"{architecture}-{name}" for name in ("ddp", "fsdp", "cut")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    found = {"ddp": train(config, folders["ddp"])}
    with as_on_gpus():
        found["fsdp"] = train(config, folders["fsdp"], strategy="fsdp", activation_checkpointing=True)
        first = train(config, folders["cut"], strategy="fsdp", max_steps=2)
        (folders["cut"] / "model").rename(folders["cut"] / "first") if os.environ["RANK"] == "0" else None
        found["cut"] = [*first, *train(config, folders["cut"], strategy="fsdp")]
    return found


def main(what: str, place: Path) -> None:
    gc.freeze()  # the libraries are no garbage
    found: Any
    if what == "families":
        with as_on_gpus():
            found = {"/".join(case): shard_and_gather(*case) for case in families()}
    else:
        found = {case: compare(*case.split("/"), place) for case in what.split(",")}
    if os.environ["RANK"] == "0":
        (place / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main(sys.argv[1], Path(sys.argv[2]))
