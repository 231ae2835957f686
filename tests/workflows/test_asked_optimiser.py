"""Optimisers and schedules: what is refused before anything is loaded, and what follows from what is asked for."""

from typing import Any

import pytest
import torch

from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.errors import ConfigError
from llmctl.recipe import resolve
from llmctl.recipe_file import Given, Scalar
from llmctl.workflows import asked_optimiser, pretrain
from llmctl.workflows.asked import settled


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        (
            {"min_lr_rate": 0.1},
            "min_lr_rate is not for lr_scheduler_type cosine",
            "leave it out, or --lr-scheduler-type cosine_with_min_lr or warmup_stable_decay or polynomial",
        ),
        (
            {"num_decay_steps": 0.2, "lr_scheduler_type": "polynomial"},
            "num_decay_steps is not for lr_scheduler_type polynomial",
            "leave it out, or --lr-scheduler-type warmup_stable_decay",
        ),
        (
            {"lr_power": 2.0, "lr_scheduler_type": "linear"},
            "lr_power is not for lr_scheduler_type linear",
            "leave it out, or --lr-scheduler-type polynomial",
        ),
        (
            {"warmup_steps": 100.0, "lr_scheduler_type": "constant"},
            "warmup_steps is not for lr_scheduler_type constant",
            "leave it out, or --lr-scheduler-type constant_with_warmup",
        ),
    ],
)
def test_options_that_the_schedule_does_not_read_are_refused(
    settings: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        pretrain.check(PretrainConfig(**settings))
    assert (refused.value.message, refused.value.hint) == (message, hint)


@pytest.mark.parametrize(
    "settings",
    [
        {"lr_scheduler_type": "warmup_stable_decay", "num_decay_steps": 0.1, "min_lr_rate": 0.05},
        {"lr_scheduler_type": "polynomial", "lr_power": 2.0, "min_lr_rate": 0.05},
        {"lr_scheduler_type": "cosine_with_min_lr", "min_lr_rate": 0.05},
        {"lr_scheduler_type": "constant", "warmup_steps": 0.0},
        {"lr_scheduler_type": "constant"},
        {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 100.0},
    ],
)
def test_those_that_it_reads_are_not(settings: dict[str, Any]) -> None:
    asked_optimiser.check(PretrainConfig(**settings))


@pytest.mark.parametrize(
    ("optim", "package"), [("schedule_free_adamw", "schedulefree"), ("lion_8bit", "bitsandbytes")]
)
def test_an_optimiser_whose_package_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, optim: Any, package: str
) -> None:
    missing = {package}
    monkeypatch.setattr(asked_optimiser, "find_spec", lambda name: None if name in missing else object())
    with pytest.raises(ConfigError) as refused:
        asked_optimiser.check(FinetuneConfig(optim=optim))
    assert refused.value.hint == f"pip install {package}, or leave the option out"
    missing.clear()
    asked_optimiser.check(FinetuneConfig(optim=optim))


def test_saves_between_evaluations_are_refused_before_any_work() -> None:
    asked = {"save_steps": 7, "eval_steps": 5}
    for config in (
        PretrainConfig(**asked),
        PretrainConfig(**asked, validation_fraction=0.0, validation_data="x"),
    ):
        with pytest.raises(ConfigError, match="save_steps 7 is no multiple of eval_steps 5"):
            asked_optimiser.check(config)
    # Where nothing may be judged, only the data can tell; and the last model needs no evaluation.
    asked_optimiser.check(PretrainConfig(**asked, validation_fraction=0.0))
    asked_optimiser.check(PretrainConfig(**asked, load_best_model_at_end=False))


def test_what_needs_a_gpu_is_refused_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="--optim lion_32bit needs a GPU, and there is none"):
        asked_optimiser.check_gpu(PretrainConfig(optim="lion_32bit"))
    asked_optimiser.check_gpu(PretrainConfig(optim="lion"))


def test_schedule_free_has_no_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_optimiser, "find_spec", lambda name: object())
    free = PretrainConfig(optim="schedule_free_adamw", warmup_steps=100.0)
    asked_optimiser.check(free)
    assert pretrain.settle(free).lr_scheduler_type == "constant"
    with pytest.raises(ConfigError, match="learns at a constant rate, and lr_scheduler_type is cosine"):
        asked_optimiser.check(PretrainConfig(optim="schedule_free_adamw", lr_scheduler_type="cosine"))


def test_the_usual_schedule_is_the_commands(base_model: Any) -> None:
    assert pretrain.settle(PretrainConfig()).lr_scheduler_type == "cosine"
    assert settled(FinetuneConfig(task="sst2")).lr_scheduler_type == "linear"


def test_the_default_rate_is_the_optimisers() -> None:
    adamw = pretrain.settle(PretrainConfig(optim="adamw_torch")).learning_rate
    lion = pretrain.settle(PretrainConfig(optim="lion")).learning_rate
    assert adamw
    assert lion == pytest.approx(adamw / 5)
    assert pretrain.settle(PretrainConfig(optim="lion", learning_rate=0.1)).learning_rate == 0.1
    tuned = settled(FinetuneConfig(task="sst2")).learning_rate
    assert tuned
    assert settled(FinetuneConfig(task="sst2", optim="lion")).learning_rate == pytest.approx(tuned / 5)


@pytest.mark.parametrize(
    ("field", "word", "known"),
    [
        ("lr_scheduler_type", "wsd", "warmup_stable_decay"),
        ("optim", "adamw", "adamw_torch_fused"),
        ("optim", "schedulefree", "schedule_free_adamw"),
    ],
)
def test_usual_names_lead_to_the_librarys(field: str, word: str, known: str) -> None:
    with pytest.raises(ConfigError, match=f"found '{word}'; did you mean {known}\\?"):
        resolve(PretrainConfig, None, {field: Given(Scalar(word), "--x")})
