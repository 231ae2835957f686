"""What learns under each method, counted by hand; what each refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from llmctl import adapters, heads, methods
from llmctl.config import FinetuneConfig
from llmctl.errors import ConfigError, ModelError
from llmctl.models import find_source
from llmctl.progress import SILENT, Silent
from tests.adapted import HEADS, checkpoint, learnt, load


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def _apply(model: Any, kind: str, progress: Any = SILENT, **settings: Any) -> Any:
    return methods.apply(model, FinetuneConfig(**settings), kind=kind, progress=progress)


def _learning(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


HEAD = 32 * 32 + 32 + 32 * 2 + 2  # BERT's pooler and classifier of two classes


@pytest.mark.parametrize(
    ("method", "body", "adapter"),
    [
        ("full", 28_642 - HEAD, 0),
        # Each layer: query, key, value, attention output 32 -> 32; 32 -> 64; 64 -> 32: two matrices of rank 8.
        ("lora", 0, 2 * 8 * (4 * 64 + 96 + 96)),
        ("prefix", 0, 5 * 2 * 2 * 32),  # a key and a value for each token and layer
        ("prompt", 0, 5 * 32),
        ("ffn", 2 * (32 * 64 + 64 + 64 * 32 + 32), 0),
        ("head", 0, 0),
    ],
)
def test_counts_of_what_learns(tmp_path: Path, method: str, body: int, adapter: int) -> None:
    told = Told()
    model = load(checkpoint(tmp_path, "bert", "classification"), "classification")
    learns, total = HEAD + body + adapter, model.num_parameters() + adapter
    model = _apply(model, "classification", told, method=method, num_virtual_tokens=5)
    assert _count(model) == learns
    assert methods.count_parameters(model) == (learns, total)
    assert (
        f"method {method}: trains {learns:,} of {total:,} parameters ({learns / total:.1%})" in told.lines[0]
    )


def test_full_trains_everything(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path, "bert", "ner"), "ner")
    assert _count(_apply(model, "ner", method="full")) == model.num_parameters()


@pytest.mark.parametrize(
    ("family", "kind"), [("marian", "translation"), ("pegasus", "translation"), ("roformer", "ner")]
)
@pytest.mark.parametrize("method", ["full", "ffn"])
def test_positions_that_a_family_computes_never_learn(
    tmp_path: Path, family: str, kind: str, method: str
) -> None:
    base = find_source(str(checkpoint(tmp_path, family, kind)), tmp_path)
    model = heads.load_with_new_head(base, HEADS[kind], {}, SILENT)
    fixed = {name for name, _ in model.named_parameters() if "embed_positions" in name}
    learning = _learning(_apply(model, kind, method=method))
    assert fixed
    assert not fixed & learning
    if method == "full":
        assert learning | fixed == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("family", "kind", "layers"),
    [
        ("bert", "ner", {"intermediate.dense", "output.dense"}),
        ("distilbert", "qa", {"ffn.lin1", "ffn.lin2"}),
        ("gpt2", "chat", {"mlp.c_fc", "mlp.c_proj"}),
        ("llama", "chat", {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}),
        ("t5", "translation", {"DenseReluDense.wi", "DenseReluDense.wo"}),
    ],
)
def test_ffn_is_the_feed_forward_layers(tmp_path: Path, family: str, kind: str, layers: set[str]) -> None:
    model = _apply(load(checkpoint(tmp_path, family, kind), kind), kind, method="ffn")
    body = {name for name in _learning(model) if not name.startswith(("classifier.", "qa_outputs."))}
    found = {".".join(name.split(".")[-3:-1]) for name in body}
    assert {".".join(name.split(".")[-2:]) for name in found} == layers
    assert not any("att" in name.lower() for name in body)


def test_ffn_needs_attention_to_tell_it_from(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path, "mamba", "chat"), "chat")
    with pytest.raises(ModelError, match="no feed-forward layers"):
        _apply(model, "chat", method="ffn")


@pytest.mark.parametrize("kind", ["classification", "ner", "qa"])
def test_every_layer_of_a_new_head_learns(tmp_path: Path, kind: str) -> None:
    model = load(checkpoint(tmp_path, "distilbert", kind), kind)
    heads = {
        name.removesuffix(".weight") for name in _learning(_apply(model, kind, method="head")) if "w" in name
    }
    expected = {
        "classification": {"pre_classifier", "classifier"},
        "ner": {"classifier"},
        "qa": {"qa_outputs"},
    }
    assert {name.removesuffix(".bias") for name in heads} == expected[kind]


def test_target_modules_are_chosen_by_the_ends_of_their_names(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path, "llama", "chat"), "chat")
    model = _apply(model, "chat", method="lora", target_modules=("q_proj", "layers.1.mlp.up_proj"), lora_r=2)
    adapted = {name.split(".lora_")[0].removeprefix("base_model.model.model.") for name in _learning(model)}
    assert adapted == {"layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.1.mlp.up_proj"}


def test_a_target_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path, "llama", "chat"), "chat")
    with pytest.raises(ConfigError, match="no linear layer of the model is called 'query'") as refused:
        _apply(model, "chat", method="lora", target_modules=("query",))
    assert refused.value.hint == "there are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"


def test_lora_begins_as_the_model_and_is_not_on_its_vocabulary(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "llama", "chat", tie_word_embeddings=False)
    before = adapters.probe(load(folder, "chat"))
    model = _apply(load(folder, "chat"), "chat", method="lora")
    assert torch.equal(adapters.probe(model), before)
    assert not any("lm_head" in name for name in _learning(model))


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_a_prompt_takes_part_and_padding_does_not(tmp_path: Path, method: str) -> None:
    for kind in ("classification", "ner", "qa"):
        folder = checkpoint(tmp_path / kind, "bert", kind)
        model = learnt(folder, kind, method)
        alone, padded = adapters.probe(model), adapters.probe(model, padding=3)
        assert alone.shape == adapters.probe(load(folder, kind)).shape  # no answers for the prompt itself
        torch.testing.assert_close(alone, padded, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            model.prompt_encoder["default"].embedding.weight.mul_(2)
        assert not torch.allclose(alone, adapters.probe(model))


@pytest.mark.parametrize(
    ("method", "family", "kind", "why"),
    [
        ("prefix", "distilbert", "classification", "does not support past key values"),
        ("prompt", "llama", "classification", "it would take padding for text"),
    ],
)
def test_families_that_cannot_are_refused(
    tmp_path: Path, method: str, family: str, kind: str, why: str
) -> None:
    model = load(checkpoint(tmp_path, family, kind), kind)
    with pytest.raises(ModelError, match=f"--method {method} does not go with {family} models here: .*{why}"):
        _apply(model, kind, method=method)


def test_a_prompt_goes_with_distilbert(tmp_path: Path) -> None:
    model = load(checkpoint(tmp_path, "distilbert", "ner"), "ner")
    assert "prompt_encoder.default.embedding.weight" in _learning(_apply(model, "ner", method="prompt"))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"method": "head"}, "chat", "models for chat have no head"),
        ({"method": "head"}, "summarization", "models for summarization have no head"),
        ({"method": "prompt", "target_modules": ("query",)}, "ner", "target_modules are LoRA's"),
        ({"method": "ffn", "load_in_8bit": True}, "ner", "cannot learn"),
        ({"method": "lora", "load_in_8bit": True, "load_in_4bit": True}, "ner", "both"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(
    settings: dict[str, Any], kind: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        methods.check(FinetuneConfig(**settings), kind)


def test_few_bits_need_bitsandbytes_and_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    config = FinetuneConfig(method="lora", load_in_4bit=True)
    monkeypatch.setattr(methods, "find_spec", lambda name: None if name == "bitsandbytes" else object())
    with pytest.raises(ConfigError, match="load_in_4bit needs a GPU and a package"):
        methods.check(config, "chat")
    monkeypatch.setattr(methods, "find_spec", lambda name: object())
    methods.check(config, "chat")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="there is none"):
        methods.loading(config)
    assert methods.loading(FinetuneConfig(method="lora")) == {}


def test_learning_rates() -> None:
    assert methods.default_learning_rate("full", 5e-5, scratch=False) == 5e-5
    assert methods.default_learning_rate("lora", 2e-5, scratch=False) == 2e-4
    assert methods.default_learning_rate("lora", 3e-4, scratch=False) == 1e-3  # not beyond what LoRA bears
    assert methods.default_learning_rate("full", 5e-5, scratch=True) == 1e-3
    with pytest.raises(ConfigError, match="random"):
        methods.default_learning_rate("lora", 5e-5, scratch=True)


def test_positions_that_a_prompt_takes() -> None:
    assert methods.virtual_tokens(FinetuneConfig(method="prompt", num_virtual_tokens=7)) == 7
    assert methods.virtual_tokens(FinetuneConfig(method="lora")) == 0
