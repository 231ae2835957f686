"""The recipes that are shipped: each reads, and opens with what it needs, what it costs and how to run it."""

from pathlib import Path

import pytest

from llmctl.config import PretrainConfig, TokenizerTrainConfig
from llmctl.recipe import resolve

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
CONFIGS = {"pretrain": PretrainConfig, "tokenizer": TokenizerTrainConfig}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recipe_reads_and_says_how_to_run_it(path: Path) -> None:
    resolve(CONFIGS[path.parent.name], path, {})
    opening = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert "Needs:" in opening
    assert "Costs:" in opening
    assert f"--recipe {path.relative_to(ROOT)}" in opening


def test_there_are_recipes_for_each_command() -> None:
    assert {path.parent.name for path in RECIPES} == set(CONFIGS)
