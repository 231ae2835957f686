"""The recipes that are shipped: each reads, and opens with what it needs, what it costs and how to run it."""

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from llmctl.config import FinetuneConfig, PretrainConfig, TokenizerTrainConfig
from llmctl.recipe import resolve
from llmctl.tasks import KINDS, find_task

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
CONFIGS = {
    "distributed": PretrainConfig,
    "finetune": FinetuneConfig,
    "pretrain": PretrainConfig,
    "tokenizer": TokenizerTrainConfig,
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recipe_reads_and_says_how_to_run_it(path: Path) -> None:
    resolve(CONFIGS[path.parent.name], path, {})
    opening = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert "Needs:" in opening
    assert "Costs:" in opening
    assert f"--recipe {path.relative_to(ROOT)}" in opening


def test_there_are_recipes_for_each_command() -> None:
    assert {path.parent.name for path in RECIPES} == set(CONFIGS)


def test_there_is_a_recipe_for_each_objective_and_method() -> None:
    configs: list[FinetuneConfig] = [
        resolve(FinetuneConfig, path, {}) for path in RECIPES if path.parent.name == "finetune"
    ]
    kinds = {find_task(config.task).kind for config in configs if config.task}
    assert {KINDS[kind].objective for kind in kinds} == {kind.objective for kind in KINDS.values()}
    assert {config.method for config in configs} == set(get_args(get_type_hints(FinetuneConfig)["method"]))
