"""Models by shape and by source."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmctl import architectures, disk, models, runs, shapes
from llmctl.config import ModelShape
from llmctl.errors import ConfigError, LlmctlError, ModelError, RunError
from llmctl.limits import num_positions
from tests.tiny import byte_tokenizer, gpt2


class Vocabulary:
    """What a new model asks of a tokenizer."""

    bos_token_id = eos_token_id = 0
    pad_token_id = 1

    def get_vocab(self) -> dict[str, int]:
        return {str(number): number for number in range(300)}


def new(**shape: Any) -> Any:
    model = models.new_model(
        ModelShape(**shape), Vocabulary(), model_class="AutoModelForCausalLM", block_size=32
    )
    models.check_causal(model, f"architecture {model.config.model_type!r}")
    return model


@pytest.mark.parametrize(
    "architecture",
    ["gpt2", "llama", "qwen2", "qwen3", "gpt_neo", "gpt_neox", "opt", "gemma2", "olmo2", "bloom", "phi"],
)
def test_a_family_takes_the_shape_that_is_asked_for(architecture: str) -> None:
    model = new(architecture=architecture, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 2, 2)
    assert config.vocab_size == 300
    assert num_positions(config) == (None if architecture == "bloom" else 32)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 0, 1)
    assert model.dtype == torch.float32
    assert not [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p], (
        "dropout is 0 unless asked for"
    )


def test_dropout_is_set_everywhere_when_asked_for() -> None:
    model = new(architecture="gpt2", hidden_size=32, num_attention_heads=2, dropout=0.25)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}


def test_gpt2_and_llama_of_one_size_have_like_many_parameters() -> None:
    sizes = [new(architecture=name).num_parameters() for name in ("gpt2", "llama")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_the_count_without_memory_is_the_models() -> None:
    shape = ModelShape(architecture="gpt2", hidden_size=48, num_attention_heads=3)
    counted = architectures.count_parameters(shape, vocab_size=300, block_size=32)
    assert counted == new(architecture="gpt2", hidden_size=48, num_attention_heads=3).num_parameters()


@pytest.mark.parametrize(
    ("shape", "message", "hint"),
    [
        ({"hidden_size": 100, "num_attention_heads": 3}, "100 is not divided by num_attention_heads 3", "2"),
        ({"num_attention_heads": 4, "num_key_value_heads": 3}, "4 is not divided", None),
        ({"max_position_embeddings": 16}, "block_size 32 is beyond max_position_embeddings 16", "16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_early(
    shape: dict[str, int], message: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        shapes.check_shape(ModelShape(**shape), "llama", block_size=32)
    assert message in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [("lama", "unknown architecture"), ("t5", "cannot predict a next token"), ("bert", "both ways")],
)
def test_an_architecture_that_cannot_do_it_is_refused(architecture: str, message: str) -> None:
    with pytest.raises(LlmctlError, match=message):
        new(architecture=architecture)


def test_a_model_beyond_this_machine_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(ConfigError, match="GiB"):
        new(hidden_size=65536, num_hidden_layers=200, num_attention_heads=64)


def save(tmp_path: Path) -> Path:
    gpt2(n_layer=1, vocab_size=50, bos_token_id=0, eos_token_id=0).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def test_the_vocabulary_is_compared_with_the_models(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(save(tmp_path))
    with pytest.raises(ModelError, match="the id 299, m has 50 embeddings"):
        models.check_vocabulary(Vocabulary(), model, "m")


def test_weights_that_are_not_in_the_checkpoint_are_never_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = save(tmp_path) / "model.safetensors"
    kept = {name: value for name, value in load_file(weights).items() if "c_fc" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="2 weights are not in the checkpoint"):
        models.load_for_training(str(tmp_path / "m"), runs_dir=tmp_path)


def test_a_config_with_fewer_layers_than_the_weights_is_refused(tmp_path: Path) -> None:
    gpt2(n_layer=2).save_pretrained(tmp_path / "m")
    byte_tokenizer().save_pretrained(tmp_path / "m")
    place = tmp_path / "m" / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"n_layer": 1}))
    with pytest.raises(ModelError, match=r"its weights have transformer\.h\.1\..* no such layer"):
        models.load_causal_lm(str(tmp_path / "m"), runs_dir=tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    weights = save(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read: .*header"):
        models.load_for_training(str(tmp_path / "m"), runs_dir=tmp_path)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("./nowhere", ConfigError, "no such model directory"),
        ("/a/b/c", ConfigError, "no such model directory"),
        ("builtin:nothing", ConfigError, "no built-in model"),
        ("half", RunError, "not finished"),
    ],
)
def test_a_source_that_is_not_there_is_refused(
    tmp_path: Path, source: str, kind: type[LlmctlError], message: str
) -> None:
    runs.create(tmp_path, "half", recipe="", environment={"command": "pretrain"})
    with pytest.raises(kind, match=message):
        models.find_source(source, tmp_path)


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("stroies", "no run or directory called 'stroies'", "did you mean stories?"),
        ("zebra", "no such model in the Hub's cache (offline)", "runs: stories"),
        ("RUNS/stroies", "no run 'stroies' in", "did you mean stories?"),
        ("my run!", "no run or directory called 'my run!'", "stories"),
    ],
)
def test_a_mistyped_run_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str, hint: str
) -> None:
    monkeypatch.setattr("llmctl.hub.go_offline_if_unreachable", lambda: pytest.fail("the Hub is asked"))
    root = tmp_path / "runs"
    runs.create(root, "stories", recipe="", environment={"command": "pretrain"})
    with pytest.raises(ConfigError) as caught:
        models.find_source(source.replace("RUNS", str(root)), root)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_bare_name_may_be_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in the cache always, another only online and when no run is called nearly so."""
    runs.create(tmp_path, "gpt2-1", recipe="", environment={"command": "pretrain"})
    monkeypatch.setattr("llmctl.hub.cached", lambda name, file: tmp_path if name == "gpt2" else None)
    assert models.find_source("gpt2", tmp_path).location == "gpt2"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("llmctl.hub.go_offline_if_unreachable", lambda: False)
    assert models.find_source("bert-base-uncased", tmp_path).location == "bert-base-uncased"
    with pytest.raises(ConfigError, match="no run or directory called 'gpt2_1'"):
        models.find_source("gpt2_1", tmp_path)
    monkeypatch.setattr("llmctl.hub.go_offline_if_unreachable", lambda: True)
    with pytest.raises(ConfigError, match="no run or directory called 'bert-base-uncased'"):
        models.find_source("bert-base-uncased", tmp_path)


def test_a_config_is_read_without_the_libraries(tmp_path: Path) -> None:
    config = models.plain_config(models.find_source(str(save(tmp_path)), tmp_path))
    assert config is not None
    assert (config["model_type"], config["n_positions"]) == ("gpt2", 64)
    assert models.plain_config(models.Source("a/b", "a/b")) is None


def test_a_file_and_an_empty_directory_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="not a model directory"):
        models.find_source(str(tmp_path / "x.bin"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no tokenizer in .*empty"):
        models.load_tokenizer(str(tmp_path / "empty"), runs_dir=tmp_path)
    with pytest.raises(ModelError, match=r"no model in .*empty"):
        models.load_for_training(str(tmp_path / "empty"), runs_dir=tmp_path)


def test_offline_and_not_in_the_cache_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="offline and not in the cache: nobody/nothing") as caught:
        models.load_tokenizer("nobody/nothing", runs_dir=tmp_path)
    assert "builtin:smollm2" in str(caught.value.hint)


def test_a_staged_directory_is_complete_or_absent(tmp_path: Path) -> None:
    def fail() -> None:
        with disk.staged_directory(tmp_path / "model") as folder:
            (folder / "config.json").write_text("{}")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with disk.staged_directory(tmp_path / "model") as folder:
        (folder / "config.json").write_text("{}")
        (folder / "config.json").chmod(0o600)
    assert json.loads((tmp_path / "model" / "config.json").read_text()) == {}
    assert (tmp_path / "model" / "config.json").stat().st_mode & 0o077, "readable as the umask says"


@pytest.mark.slow
def test_a_gguf_model_is_read_without_a_word_and_can_be_saved(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gguf")
    try:
        models.find_source("builtin:smollm2", tmp_path)
    except ConfigError:
        pytest.skip("builtin:smollm2 is not installed")
    loaded = models.load_causal_lm("builtin:smollm2", runs_dir=tmp_path)
    assert "".join(capfd.readouterr()) == ""
    assert loaded.model.dtype == torch.float32
    ids = loaded.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        best = loaded.model(input_ids=ids).logits[0, -1].argmax()
    assert loaded.tokenizer.decode(best).strip() == "Paris"
    models.save(loaded.model, loaded.tokenizer, tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").is_file()


@pytest.mark.parametrize("nested", [False, True])
def test_describe_counts_with_and_without_embeddings(nested: bool) -> None:
    embedding = torch.nn.Embedding(10, 4)
    text: Any = SimpleNamespace(model_type="toy_text", num_hidden_layers=1, hidden_size=4)
    config = (
        SimpleNamespace(model_type="toy") if nested else text
    )  # as gemma3's, which holds one for pictures, too
    config.model_type, config.get_text_config = "toy", lambda: text
    model = SimpleNamespace(
        config=config,
        get_input_embeddings=lambda: embedding,
        num_parameters=lambda: 100,
        dtype=torch.float32,
    )
    assert models.describe(model) == "toy, 1 layer x 4: 100 parameters (60 without embeddings), float32"
