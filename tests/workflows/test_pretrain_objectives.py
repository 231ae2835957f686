"""Pretraining with every objective, from text to a model that plain Hugging Face loads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from llmctl.config import EvalConfig, GenerateConfig, PredictConfig, PretrainConfig
from llmctl.errors import ConfigError, DataError, LlmctlError, RunError
from llmctl.workflows import evaluate, generate, predict, pretrain
from tests.workflows.conftest import Watched, interrupted_at

# objective, architecture -> class that loads it, what its scores are
CASES = {
    ("mlm", "bert"): ("AutoModelForMaskedLM", {"masked_accuracy"}),
    ("mlm", "roberta"): ("AutoModelForMaskedLM", {"masked_accuracy"}),
    ("mlm", "modernbert"): ("AutoModelForMaskedLM", {"masked_accuracy"}),
    ("mlm+nsp", "bert"): ("AutoModelForPreTraining", {"masked_accuracy", "nsp_accuracy"}),
    ("mlm+sop", "albert"): ("AutoModelForPreTraining", {"masked_accuracy", "sop_accuracy"}),
    ("seq2seq", "t5"): ("AutoModelForSeq2SeqLM", {"written_accuracy"}),
    ("seq2seq", "bart"): ("AutoModelForSeq2SeqLM", {"written_accuracy"}),
}


@pytest.mark.parametrize(("objective", "architecture"), CASES)
def test_a_model_is_trained_judged_and_loads(
    quick: Any, watched: Watched, objective: str, architecture: str
) -> None:
    config = quick(
        objective=objective, architecture=architecture, learning_rate=1e-2, max_steps=30, eval_steps=15
    )
    result = pretrain.run(config, progress=watched)
    auto_class, accuracies = CASES[objective, architecture]
    assert {"loss", "perplexity"} | accuracies <= result.scores.keys()
    first = next(event["loss"] for event in watched.events if "loss" in event)
    samples = [event["sample"] for event in watched.events if "sample" in event]
    assert len(samples) == 2  # one an evaluation
    assert all(("[" if "mlm" in objective else "<") in sample for sample in samples)
    assert result.scores["loss"] < first
    model, info = getattr(transformers, auto_class).from_pretrained(result.model, output_loading_info=True)
    assert not info["missing_keys"]
    assert model.num_parameters() == result.num_parameters
    assert auto_class in Path(result.run, "README.md").read_text()


def test_a_masked_model_is_judged_and_fills_gaps(quick: Any, watched: Watched, places: Path) -> None:
    config = quick(
        objective="mlm", algorithm="wordpiece", normalizer="lowercase", max_steps=60, learning_rate=1e-2
    )
    result = pretrain.run(config, progress=watched)
    judged = evaluate.run(EvalConfig(model="quick"), progress=watched).to_json()
    assert judged["loss"]["value"] == pytest.approx(result.scores["loss"], rel=1e-4)
    assert judged["loss"]["low"] < judged["loss"]["value"] < judged["loss"]["high"]
    assert json.loads(Path(result.run, "eval", "validation.json").read_text())["n"] == judged["n"]
    other = evaluate.run(EvalConfig(model=result.model, data=config.data, sample_by="line"), progress=watched)
    assert other.to_json()["unit"] == "rows"
    with pytest.raises(ConfigError, match="stride means nothing"):
        evaluate.check(EvalConfig(model="quick", stride=3))

    answers = predict.run(
        PredictConfig(text="once upon [MASK] time there was [MASK]", model="quick"), progress=watched
    )
    fillings = answers.answers[0]["fillings"]
    assert [len(found) for found in fillings] == [5, 5]
    pipe = transformers.pipeline("fill-mask", model=result.model, top_k=5)
    for found, expected in zip(fillings, pipe("once upon [MASK] time there was [MASK]"), strict=True):
        assert [item["token"] for item in found] == [item["token_str"] for item in expected]
        assert [item["probability"] for item in found] == pytest.approx(
            [item["score"] for item in expected], rel=1e-4
        )
    with pytest.raises(DataError, match=r"the text: there is no \[MASK\]"):
        predict.run(PredictConfig(text="once upon a time", model="quick"), progress=watched)
    with pytest.raises(ConfigError, match="fills in masks"):
        predict.check(PredictConfig(text="[MASK]", question="why?"))
    with pytest.raises(ConfigError, match="it finds hidden tokens"):
        generate.check(GenerateConfig(prompt="once", model="quick"))


@pytest.mark.parametrize(
    ("objective", "architecture", "packing"),
    [("clm", "llama", False), ("mlm", "bert", False), ("mlm+nsp", "bert", None), ("seq2seq", "t5", None)],
)
def test_a_resumed_run_is_the_uninterrupted_run(
    quick: Any, places: Path, objective: str, architecture: str, packing: bool | None
) -> None:
    """Over the border of an epoch, in which other tokens are hidden than in the one before: bit for bit."""
    settings = {
        "objective": objective,
        "architecture": architecture,
        "packing": packing,
        "dropout": 0.1,
        "per_device_train_batch_size": 160,
        "max_steps": 9,
        "eval_steps": 3,
        "logging_steps": 1,
    }

    pretrain.run(quick(**settings, run_name="whole"), progress=Watched())
    with pytest.raises(RunError, match="stopped at step"):
        pretrain.run(quick(**settings, run_name="cut"), progress=interrupted_at(4))
    pretrain.run(PretrainConfig(resume="cut"), progress=Watched())
    whole, cut = (places / "runs" / name / "model" / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()
    epochs = [
        json.loads(line).get("epoch", 0)
        for line in (places / "runs/cut/metrics.jsonl").read_text().splitlines()
    ]
    assert max(epochs) > 1


def test_documents_can_have_rows_of_their_own(quick: Any, watched: Watched) -> None:
    pretrain.run(quick(objective="mlm", packing=False), progress=watched)
    assert "rows of" in watched.all()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"objective": "mlm", "architecture": "gpt2"}, LlmctlError, "cannot find hidden tokens"),
        ({"objective": "mlm+nsp", "architecture": "roberta"}, LlmctlError, "cannot judge pairs"),
        ({"objective": "seq2seq", "architecture": "llama"}, LlmctlError, "cannot write a text for a text"),
        ({"objective": "clm", "masking": "span"}, ConfigError, "masking is not for objective clm"),
        ({"objective": "mlm+sop", "packing": False}, ConfigError, "packing is not for objective"),
        ({"objective": "mlm+nsp", "sample_by": "line", "data": "one.txt"}, DataError, "two sentences"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    quick: Any, places: Path, changes: dict[str, Any], kind: type[LlmctlError], message: str
) -> None:
    if "data" in changes:
        path = places / changes["data"]
        path.write_text("".join(f"a line of one sentence number {i}\n" for i in range(300)))
        changes = changes | {"data": str(path)}
    with pytest.raises(kind, match=message):
        pretrain.run(quick(**changes), progress=Watched())
    assert not (places / "runs" / "quick").exists()


def test_a_reversed_model_is_judged_writes_and_is_gone_on_with_backwards_only(
    quick: Any, watched: Watched
) -> None:
    config = quick(objective="rclm", intra_document_masking=True, max_steps=20, learning_rate=1e-2)
    result = pretrain.run(config, progress=watched)
    assert transformers.AutoConfig.from_pretrained(result.model).reads_backwards
    assert "reads backwards" in Path(result.run, "README.md").read_text()
    assert '"sample"' in Path(result.run, "metrics.jsonl").read_text()
    judged = evaluate.run(EvalConfig(model="quick"), progress=watched).to_json()
    plain = evaluate.run(EvalConfig(model=result.model, data=config.data), progress=watched).to_json()
    assert judged["perplexity"]["value"] < plain["perplexity"]["value"] * 3
    written: list[str] = []
    generate.run(
        GenerateConfig(prompt=" ends here.", max_new_tokens=5), progress=watched, write=written.append
    )
    assert "".join(written).endswith(" ends here.\n")
    on = PretrainConfig(data=config.data, model="quick", run_name="on", block_size=config.block_size)
    with pytest.raises(ConfigError, match="reads text backwards"):
        pretrain.check(on)
    again = pretrain.run(replace(on, objective="rclm", max_steps=2), progress=watched)
    assert transformers.AutoConfig.from_pretrained(again.model).reads_backwards
