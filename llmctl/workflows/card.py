"""Model cards: what a model is, what it learnt from, how it scores, how to use it."""

from pathlib import Path
from typing import Any

from llmctl import adapters
from llmctl.adapters import Adapter
from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.progress import many
from llmctl.runs import RunDir
from llmctl.workflows import mixing


def task_card(config: FinetuneConfig, run_dir: RunDir, result: Any, objective: Any) -> str:
    """The card of a fine-tuned model.

    Args:
        result: a ``FinetuneResult``.
        objective: its ``model_class`` is what loads the model.
    """
    judgement = result.judgement
    rows = []
    if judgement:
        for name, score in judgement.scores.values.items():
            low, high = (f"{bound:.4f}" if bound is not None else "" for bound in (score.low, score.high))
            baseline = judgement.baseline.get(name)
            rows.append(
                f"| {name} | {score.value:.4f} | {low} to {high} | {'' if baseline is None else f'{baseline:.4f}'} |"
            )
    scores = "\n".join(rows) or "| none | | | |"
    return f"""\
# {run_dir.name}

{config.model or config.architecture}, fine-tuned by llmctl for the task `{config.task}` (method `{config.method}`:
{result.num_trainable:,} of {result.num_parameters:,} parameters were trained).

- data: `{config.data}`, {many(result.train_examples, "training example")}; fingerprints in `environment.json`
- training: {many(result.steps, "step")} in {result.seconds:,.0f} s; every setting in `recipe.yaml`

| validation | | 95 % interval | same answer for all |
|---|---|---|---|
{scores}

{_usage(run_dir, objective.model_class)}
"""


def text_card(config: PretrainConfig, run_dir: RunDir, result: Any, objective: Any, description: str) -> str:
    """The card of a pretrained model.

    Args:
        result: a ``TrainResult``.
        objective: what it is, and its ``model_class``, which loads the model.
        description: of its shape.
    """
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in result.scores.items())
    tokens = "tokens seen of the stream" if config.streaming else "training tokens"
    return f"""\
# {run_dir.name}

A {objective.what} trained by llmctl ({description}).

- data: {mixing.described(config, result.sources)}; {result.train_tokens:,} {tokens}; fingerprints in
  `environment.json`
- training: {many(result.steps, "step")} in {result.seconds:,.0f} s; every setting in `recipe.yaml`

| validation | |
|---|---|
{scores or "| none | |"}

{objective.remark}`llmctl eval {run_dir.path}` adds intervals.

{_usage(run_dir, objective.model_class)}
"""


def _usage(run_dir: RunDir, model_class: str) -> str:
    """How plain Hugging Face loads it."""
    if adapter := adapters.read(run_dir.model):
        return _usage_of_adapter(run_dir, adapter, model_class)
    return f"""\
```python
from transformers import AutoTokenizer, {model_class}

model = {model_class}.from_pretrained("{run_dir.model}")
tokenizer = AutoTokenizer.from_pretrained("{run_dir.model}")
```"""


def _usage_of_adapter(run_dir: RunDir, adapter: Adapter, model_class: str) -> str:
    """How plain peft loads it, and which model it needs for that."""
    loader = model_class.replace("AutoModel", "AutoPeftModel", 1)
    if adapter.base.endswith(".gguf"):
        settings = "gguf_file=config.gguf_file"
    else:
        settings = "id2label=config.id2label, label2id=config.label2id"
    where = (
        "a path of the machine that trained it: elsewhere, have that model and write its directory into\n"
        f"`{adapters.ADAPTER}` as `base_model_name_or_path`."
        if Path(adapter.base).exists()
        else "which is fetched from the Hub."
    )
    merge = f"\n`llmctl export {run_dir.path} --merge` makes one plain model of both." * adapter.merges
    return f"""\
`model/` is an adapter alone. It needs the model that it was trained on, `{adapter.base}`,
{where}{merge}

```python
from peft import {loader}
from transformers import AutoConfig, AutoTokenizer

config = AutoConfig.from_pretrained("{run_dir.model}", subfolder="base_model")
model = {loader}.from_pretrained("{run_dir.model}", {settings})
tokenizer = AutoTokenizer.from_pretrained("{run_dir.model}")
```"""
