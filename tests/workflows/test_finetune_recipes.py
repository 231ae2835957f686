"""Every shipped recipe of fine-tuning trains, on a small model and data of its kind; real data load as they are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmctl.config import FinetuneConfig
from llmctl.progress import SILENT
from llmctl.recipe import resolve
from llmctl.tasks import KINDS, find_task
from llmctl.workflows import finetune
from tests.objectives.chat_tokenizer import CHATML, chat_tokenizer
from tests.tiny import llama
from tests.verdicts import verdicts, write_csv, write_reviews

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "finetune").glob("*.yaml"))
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_data(kind: str, folder: Path) -> Path:
    """Forty examples of a kind of problem in a format that is usual for it."""
    texts = verdicts()[:40]
    folder.mkdir()
    if kind == "classification":
        return write_reviews(folder)
    if kind == "regression":
        pairs = [
            (text, other, len(text) % 5 / 2) for (text, _), (other, _) in zip(texts, texts[::-1], strict=True)
        ]
        return write_csv(folder / "pairs.csv", pairs, "sentence1", "sentence2", "score")
    if kind == "multilabel":
        rows = [
            {"text": text, "labels": [label, "film"] if "film" in text else [label]} for text, label in texts
        ]
        return write_jsonl(folder / "labels.jsonl", rows)
    if kind == "ner":
        sentences = [
            "".join(f"{word}\t{'B-THING' if word == text.split()[1] else 'O'}\n" for word in text.split())
            for text, _ in texts
        ]
        for name in ("train", "dev"):
            (folder / f"{name}.conll").write_text("\n".join(sentences), encoding="utf-8")
        return folder
    if kind == "qa":
        rows = [
            {
                "question": "what was it",
                "context": text,
                "answers": {"text": [text[4:9]], "answer_start": [4]},
            }
            for text, _ in texts
        ]
        return write_jsonl(folder / "questions.jsonl", rows)
    if kind == "translation":
        for language in ("en", "de"):
            lines = [text if language == "en" else text.upper() for text, _ in texts]
            (folder / f"train.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder
    if kind == "summarization":
        return write_jsonl(
            folder / "chats.jsonl", [{"dialogue": text, "summary": text[-9:]} for text, _ in texts]
        )
    return write_jsonl(
        folder / "talk.jsonl", [{"prompt": text, "completion": label} for text, label in texts]
    )


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tokenizer = chat_tokenizer(CHATML)
    llama(vocab_size=len(tokenizer), max_position_embeddings=512).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def small(base_model: Path, chat_model: Path) -> Callable[..., FinetuneConfig]:
    """A config on a small model, or on a new one, in two steps."""

    def make(config: FinetuneConfig, **changes: Any) -> FinetuneConfig:
        objective = KINDS[find_task(config.task or "").kind].objective
        model: dict[str, Any] = {"model": str(chat_model if objective == "chat" else base_model)}
        if objective == "seq2seq":
            model = {"model": None, "architecture": config.architecture or "t5", "vocab_size": 400, **SMALL}
        quick = {"max_steps": 2, "max_eval_samples": 8, "num_resamples": 20, "num_virtual_tokens": 2}
        if config.max_length and config.max_length > 64 and objective != "chat":
            quick["max_length"] = 64
        return replace(config, **{**model, **quick, "run_name": "small", **changes})

    return make


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(recipe: Path, small: Callable[..., FinetuneConfig], places: Path) -> None:
    config = resolve(FinetuneConfig, recipe, {})
    task = find_task(config.task or "")
    data = write_data(task.kind, places / "data")
    result = finetune.run(small(config, data=str(data)), progress=SILENT)
    assert result.steps == 2
    assert result.judgement
    assert result.judgement.n > 0
    assert (places / "runs/small/eval/validation.predictions.jsonl").is_file()


REAL = {
    "sst2": ("sst2", "classification"),
    "agnews": ("agnews", "classification"),
    "wnut17": ("ner/wnut17", "ner"),
    "wikiann": ("ner/wikiann-en", "ner"),
    "xquad": ("xquad", "qa"),
    "multi30k": ("multi30k", "translation"),
    "dialogsum": ("dialogsum", "summarization"),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_data_is_learnt_from_as_it_is(
    name: str, small: Callable[..., FinetuneConfig], places: Path, real_data: Path
) -> None:
    folder, kind = REAL[name]
    config = small(
        FinetuneConfig(task=kind, data=str(real_data / folder)),
        max_train_samples=32,
        max_length=64,
        max_target_length=32,
    )
    result = finetune.run(config, progress=SILENT)
    assert result.steps == 2
    assert result.judgement
    assert result.judgement.n == 8
