"""Published encoder-decoders whose tokenizers are written in Python: ByT5's, and Marian's over SentencePiece."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, ByT5Tokenizer

from llmctl.config import EvalConfig, ExportConfig, FinetuneConfig
from llmctl.errors import ModelError
from llmctl.progress import SILENT
from llmctl.workflows import evaluate, export, finetune

_PAIRS = [("a house", "ein Haus"), ("a dog", "ein Hund"), ("two dogs", "zwei Hunde"), ("a tree", "ein Baum")]


@pytest.fixture
def pairs(places: Path) -> Path:
    path = places / "pairs.jsonl"
    path.write_text("".join(json.dumps({"en": en, "de": de}) + "\n" for en, de in _PAIRS * 4))
    return path


def _save(folder: Path, family: str, **shape: Any) -> Path:
    config = AutoConfig.for_model(family, d_model=16, decoder_start_token_id=0, pad_token_id=0, **shape)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return folder


def _marian(folder: Path, vocabulary: list[str]) -> Path:
    """What is published of a Marian model, but for ``source.spm`` and ``target.spm``."""
    sides = {f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    _save(folder, "marian", **sides, vocab_size=len(vocabulary), eos_token_id=1, max_position_embeddings=64)
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(vocabulary)}))
    (folder / "tokenizer_config.json").write_text('{"source_lang": "en", "target_lang": "de"}')
    return folder


def _learn(pairs: Path, model: Path) -> Any:
    config = FinetuneConfig(
        task="translation",
        data=str(pairs),
        text_column="en",
        target_column="de",
        model=str(model),
        max_steps=1,
        max_target_length=16,
        num_resamples=10,
        run_name="tuned",
    )
    return finetune.run(config, progress=SILENT)


def test_a_model_is_learnt_judged_and_exported(places: Path, pairs: Path) -> None:
    base = _save(places / "base", "t5", d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=384)
    ByT5Tokenizer().save_pretrained(base)
    result = _learn(pairs, base)
    assert result.judgement
    assert result.judgement.loss
    again: Any = evaluate.run(EvalConfig(model="tuned", num_resamples=10), progress=SILENT)
    assert again.loss == pytest.approx(result.judgement.loss)
    export.run(ExportConfig(model="tuned", output_dir=str(places / "copy")), progress=SILENT)
    assert AutoTokenizer.from_pretrained(places / "copy")("a")["input_ids"] == [100, 1]


def test_marian_as_it_is_published(places: Path, pairs: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    pieces: list[str] = []
    for side, texts in zip(("source", "target"), zip(*_PAIRS, strict=True), strict=True):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 20),
            model_prefix=str(places / side),
            vocab_size=24,
            hard_vocab_limit=False,
        )
        trained = sentencepiece.SentencePieceProcessor(model_file=str(places / f"{side}.model"))
        pieces += [trained.id_to_piece(index) for index in range(trained.get_piece_size())]
    base = _marian(places / "base", list(dict.fromkeys(["<pad>", "</s>", "<unk>", *pieces])))
    for side in ("source", "target"):
        (places / f"{side}.model").rename(base / f"{side}.spm")
    result = _learn(pairs, base)
    assert result.judgement
    assert AutoTokenizer.from_pretrained(result.model)("a dog", text_target="ein Hund")["labels"]


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is installed")
@pytest.mark.parametrize(
    "settings", ['{"source_lang": "en"}', '{"tokenizer_class": "MarianTokenizer"}', None]
)
def test_without_sentencepiece_it_is_said_what_to_install(
    places: Path, pairs: Path, settings: str | None
) -> None:
    base = _marian(places / "base", ["<pad>", "</s>", "<unk>"])
    for name in ("source.spm", "target.spm"):
        (base / name).touch()
    if settings:
        (base / "tokenizer_config.json").write_text(settings)
    else:
        (base / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="its tokenizer needs a package") as refused:
        _learn(pairs, base)
    assert refused.value.hint == "pip install sentencepiece"
