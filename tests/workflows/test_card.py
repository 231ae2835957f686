"""The model card: what it says of an adapter loads the adapter."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llmctl import adapters, heads
from llmctl.models import find_source
from llmctl.runs import RunDir
from llmctl.workflows import finetune
from llmctl.workflows.card import task_card
from tests.adapted import HEADS
from tests.workflows.conftest import Watched


@pytest.mark.parametrize("method", ["full", "lora", "prefix"])
def test_its_python_loads_what_was_trained(
    tune: Any, base_model: Path, watched: Watched, method: str
) -> None:
    result = finetune.run(tune(method=method, max_steps=2), progress=watched)
    card = Path(result.run, "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    head = HEADS["classification"]
    ours = heads.load_with_head(find_source(result.run, Path("runs")), head, runs_dir=Path("runs")).model
    torch.testing.assert_close(adapters.probe(made["model"]), adapters.probe(ours), rtol=1e-5, atol=1e-5)
    assert made["model"].config.id2label == {0: "neg", 1: "pos"}
    assert (f"the model that it was trained on, `{base_model}`,\na path of the machine" in card) is (
        method != "full"
    )
    assert ("--merge` makes one plain model of both" in card) is (method == "lora")


def test_a_base_of_the_hub_is_named_by_its_id(tune: Any, watched: Watched) -> None:
    config = tune(method="lora", max_steps=1)
    result = finetune.run(config, progress=watched)
    settings = Path(result.model, adapters.ADAPTER)
    settings.write_text(
        json.dumps({**json.loads(settings.read_text()), "base_model_name_or_path": "org/name"})
    )
    objective = SimpleNamespace(model_class=HEADS["classification"])
    card = task_card(config, RunDir(Path(result.run)), result, objective)
    assert "the model that it was trained on, `org/name`,\nwhich is fetched from the Hub." in card
