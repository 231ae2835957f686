"""``--find-learning-rate``: a suggestion that trains, and nothing of the user's changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmctl import runs
from llmctl.config import PretrainConfig
from llmctl.errors import ConfigError
from llmctl.progress import SILENT
from llmctl.workflows import finetune, pretrain


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("optim", ["muon", "lion"])
def test_the_suggestion_is_where_the_loss_falls_and_trains(quick: Any, places: Path, optim: Any) -> None:
    pretrain.run(quick(run_name="before", max_steps=2, eval_steps=None), progress=SILENT)
    before = files_below(places / "runs")
    asked = quick(optim=optim, learning_rate=None, max_steps=40, eval_steps=None)
    found = pretrain.find_rate(asked, progress=SILENT)
    assert found.optim == optim
    assert found.suggestion
    lowest = found.rates[found.smooth.index(min(found.smooth))]
    assert 1e-5 < found.suggestion < lowest
    assert found.rates == sorted(found.rates)
    assert len(found.rates) == len(found.losses) == len(found.smooth) <= 100

    after = files_below(places / "runs")
    added = {str(Path(file).relative_to(places / "runs")) for file in found.files}
    assert after.keys() - before.keys() == added
    assert all(after[name] == content for name, content in before.items())
    assert json.loads(after[next(name for name in added if name.endswith("json"))]) == {
        **found.to_json(),
        "files": list(found.files),
    }
    assert [run.name for run in runs.list_runs(places / "runs")] == ["before"], "the curves are no run"

    def final_loss(rate: float) -> float:
        trained = quick(
            optim=optim, learning_rate=rate, max_steps=40, eval_steps=None, run_name=f"at{rate:g}"
        )
        return pretrain.run(trained, progress=SILENT).scores["loss"]

    suggested = final_loss(found.suggestion)
    assert suggested < final_loss(found.suggestion / 30)
    assert suggested < final_loss(found.suggestion * 100)


def test_fine_tuning_has_it_too(tune: Any, places: Path) -> None:
    found = finetune.find_rate(tune(learning_rate=None), progress=SILENT)
    assert len(found.rates) == len(found.losses)
    assert [path.name for path in (places / "runs").iterdir()] == ["learning-rates"]


def test_a_run_that_is_resumed_is_not_tested(quick: Any, places: Path) -> None:
    with pytest.raises(ConfigError, match="--find-learning-rate tries a new model"):
        pretrain.check(PretrainConfig(resume="x", find_learning_rate=True))


def test_it_tries_the_batches_and_the_optimiser_of_the_run(
    quick: Any, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A global batch is made up; a schedule that is longer than the test, and a warm-up, are no part of it."""
    seen: list[Any] = []
    monkeypatch.setattr(
        "llmctl.training.rates.make_arguments", lambda config, *rest, **options: seen.append(config)
    )
    asked = quick(global_batch_size=12, warmup_steps=500, max_steps=1000, eval_steps=None)
    with pytest.raises(AttributeError):  # where the test itself would begin
        pretrain.find_rate(asked, progress=SILENT)
    assert seen[0].gradient_accumulation_steps == 3
    assert seen[0].warmup_steps == 0
    long = quick(
        lr_scheduler_type="warmup_stable_decay", num_decay_steps=200, max_steps=1000, eval_steps=None
    )
    monkeypatch.undo()
    assert pretrain.find_rate(replace(long, runs_dir=str(places / "runs")), progress=SILENT).rates
