"""Every shipped recipe of pretraining trains, on sixty stories and a model of two layers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import PretrainConfig
from llmctl.progress import SILENT
from llmctl.recipe import resolve
from llmctl.workflows import pretrain

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "pretrain").glob("*.yaml"))
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(quick: Any, places: Path, path: Path) -> None:
    config = resolve(PretrainConfig, path, {})
    if config.model:
        base = quick(objective=config.objective, architecture="bert", max_steps=1, run_name="base")
        config = replace(config, model=pretrain.run(base, progress=SILENT).model)
    else:
        heads = None if config.architecture in ("mamba", "rwkv") else 4
        config = replace(config, **SMALL, num_attention_heads=heads)
    result = pretrain.run(
        replace(
            config,
            data=quick().data,
            sample_by="paragraph",
            validation_fraction=0.1,
            vocab_size=500,
            block_size=64,
            per_device_train_batch_size=2,
            dataloader_num_workers=0,
            max_steps=2,
            eval_steps=2,
        ),
        progress=SILENT,
    )
    assert result.scores["loss"] > 0


def test_there_is_a_recipe_for_each_objective() -> None:
    trained = {resolve(PretrainConfig, path, {}).objective for path in RECIPES}
    assert trained >= {"clm", "rclm", "mlm", "mlm+nsp", "mlm+sop", "seq2seq"}
