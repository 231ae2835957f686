"""Adapters on disk: read back by us and by plain peft they answer as they did in memory."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from llmctl import adapters, heads, methods, models
from llmctl.config import FinetuneConfig
from llmctl.errors import ConfigError, ModelError
from llmctl.models import find_source
from llmctl.progress import SILENT
from tests.adapted import HEADS, checkpoint, learnt, load
from tests.tiny import byte_tokenizer, gpt2


def _saved(tmp_path: Path, family: str, kind: str, method: str, **shape: Any) -> tuple[Path, torch.Tensor]:
    """An adapter's directory and what its model answers."""
    model = learnt(checkpoint(tmp_path / "base", family, kind, **shape), kind, method)
    models.save(model, byte_tokenizer(), tmp_path / "model")
    return tmp_path / "model", adapters.probe(model)


@pytest.mark.parametrize(
    ("family", "kind", "method"),
    [
        ("bert", "classification", "lora"),
        ("bert", "classification", "prefix"),
        ("bert", "classification", "prompt"),
        ("distilbert", "classification", "lora"),
        ("distilbert", "qa", "prompt"),
        ("bert", "ner", "prefix"),
        ("t5", "translation", "lora"),
        ("t5", "translation", "prompt"),
        ("llama", "chat", "lora"),
        ("gpt2", "chat", "lora"),
        ("gpt2", "chat", "prefix"),
    ],
)
def test_read_back_it_answers_as_in_memory(tmp_path: Path, family: str, kind: str, method: str) -> None:
    folder, expected = _saved(tmp_path, family, kind, method)
    loaded = heads.load_with_head(find_source(str(folder), tmp_path), HEADS[kind], runs_dir=tmp_path)
    torch.testing.assert_close(adapters.probe(loaded.model), expected, rtol=1e-5, atol=1e-5)
    assert not loaded.model.training

    plain_class = getattr(peft, HEADS[kind].replace("Auto", "AutoPeft", 1))
    with_peft = adapters.leave_out_prompt(plain_class.from_pretrained(folder))
    torch.testing.assert_close(adapters.probe(with_peft), expected, rtol=1e-5, atol=1e-5)


def test_labels_of_the_head_are_kept(tmp_path: Path) -> None:
    names = {0: "Sports", 1: "World", 2: "Business"}
    folder, expected = _saved(tmp_path, "bert", "classification", "lora", id2label=names)
    found = find_source(str(folder), tmp_path)
    assert models.load_config(found).id2label == names
    assert heads.kind_of_model(found) == "classification"
    assert (
        heads.load_with_head(found, HEADS["classification"], runs_dir=tmp_path).model.config.id2label == names
    )
    config = transformers.AutoConfig.from_pretrained(folder, subfolder="base_model")
    with_peft = peft.AutoPeftModelForSequenceClassification.from_pretrained(
        folder, id2label=config.id2label, label2id=config.label2id
    )
    torch.testing.assert_close(adapters.probe(with_peft), expected)


def test_plain_transformers_reads_a_lora_of_a_causal_model(tmp_path: Path) -> None:
    folder, expected = _saved(tmp_path, "llama", "chat", "lora")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(adapters.probe(model), expected, rtol=1e-5, atol=1e-5)


def test_generation_reads_a_lora_as_a_plain_model(tmp_path: Path) -> None:
    folder, expected = _saved(tmp_path, "llama", "chat", "lora")
    loaded = models.load_causal_lm(str(folder), runs_dir=tmp_path)
    assert type(loaded.model).__name__ == "LlamaForCausalLM"
    torch.testing.assert_close(adapters.probe(loaded.model), expected, rtol=1e-5, atol=1e-5)


def test_generation_refuses_a_prefix(tmp_path: Path) -> None:
    folder, _ = _saved(tmp_path, "gpt2", "chat", "prefix")
    with pytest.raises(ModelError, match="learnt prefix or prompt"):
        models.load_causal_lm(str(folder), runs_dir=tmp_path)


def test_the_base_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path / "base", "bert", "ner")
    monkeypatch.chdir(tmp_path)
    models.save(learnt(Path("base"), "ner", "lora"), byte_tokenizer(), tmp_path / "model")
    adapter = adapters.read(tmp_path / "model")
    assert adapter
    assert adapter.base == str(tmp_path / "base")


def test_a_base_of_the_hub_keeps_its_id(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path / "base", "bert", "ner"), "ner")
    model.name_or_path = "org/name"  # as from_pretrained leaves it
    adapted = methods.apply(model, FinetuneConfig(method="lora"), kind="ner", progress=SILENT)
    models.save(adapted, byte_tokenizer(), tmp_path / "model")
    settings = json.loads((tmp_path / "model" / adapters.ADAPTER).read_text())
    assert settings["base_model_name_or_path"] == "org/name"


def test_a_gguf_file_is_remembered(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", "llama", "chat")
    (base / "weights.gguf").touch()
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    model.name_or_path = str(base / "weights.gguf")
    adapted = methods.apply(model, FinetuneConfig(method="lora"), kind="chat", progress=SILENT)
    models.save(adapted, byte_tokenizer(), tmp_path / "model")
    adapter = adapters.read(tmp_path / "model")
    assert adapter
    assert adapter.base == str(base / "weights.gguf")
    assert json.loads((adapter.folder / adapters.ADAPTER).read_text())["base_model_name_or_path"] == str(base)


def test_an_adapter_is_not_trained_on(tmp_path: Path) -> None:
    folder, _ = _saved(tmp_path, "bert", "ner", "lora")
    with pytest.raises(ModelError, match="is an adapter") as refused:
        heads.load_with_new_head(find_source(str(folder), tmp_path), HEADS["ner"], {}, SILENT)
    assert refused.value.hint
    assert "llmctl export" in refused.value.hint


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("config", "adapter_config.json cannot be read as JSON"),
        ("weights gone", "holds no adapter_model.safetensors"),
        ("weights cut", "adapter_model.safetensors cannot be read"),
        ("a weight missing", "1 weights are missing"),
        ("head missing", "classifier.weight is neither in the adapter nor in its model"),
        ("base gone", "the model that the adapter was trained on is gone"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: str, message: str) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = _saved(tmp_path, "bert", "ner", "lora", id2label={0: "O", 1: "B-X", 2: "I-X"})
    weights = folder / "adapter_model.safetensors"
    if damage == "config":
        (folder / adapters.ADAPTER).write_text("{")
    elif damage == "weights gone":
        weights.unlink()
    elif damage == "weights cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "base gone":
        (tmp_path / "base").rename(tmp_path / "elsewhere")
    else:
        tensors = load_file(weights)
        unwanted = "classifier.weight" if damage == "head missing" else "layer.1.output.dense.lora_B.weight"
        kept = {name: value for name, value in tensors.items() if not name.endswith(unwanted)}
        assert len(kept) == len(tensors) - 1
        save_file(kept, weights)
        if damage == "head missing":  # the base has a body only
            base = transformers.AutoModel.from_pretrained(tmp_path / "base")
            base.save_pretrained(tmp_path / "base")
    with pytest.raises((ModelError, ConfigError), match=message):
        heads.load_with_head(find_source(str(folder), tmp_path), HEADS["ner"], runs_dir=tmp_path)


def test_a_probe_asks_only_for_tokens_that_the_model_has() -> None:
    assert adapters.probe(gpt2(vocab_size=32)).isfinite().all(), "its eos_token_id is 257"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"peft_type": "XLORA"}, "'XLORA' is no method that is read here"),
        ({"r": 10**9}, "r 1,000,000,000: more than 8,192"),
        ({"rank_pattern": {"c_attn": 10**9}}, "c_attn 1,000,000,000: more than 8,192"),
        ({"layer_replication": [[0, 10**9]]}, "layer_replication is not read"),
        ({"base_model_name_or_path": 5}, "does not say which model"),
    ],
)
def test_a_strangers_adapter_is_looked_at_first(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    found = {"peft_type": "LORA", "base_model_name_or_path": "org/name", "r": 2}
    (tmp_path / "adapter_config.json").write_text(json.dumps(found | settings))
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(ModelError, match=told):
        models.load_config(find_source(str(tmp_path), tmp_path))


def test_an_adapter_of_itself_is_refused(tmp_path: Path) -> None:
    found = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(found))
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(ModelError, match="is an adapter itself"):
        models.load_config(find_source(str(tmp_path), tmp_path))
