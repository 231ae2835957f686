"""Models and tokenizers that were edited badly or damaged: the error names the file, and the field where it can."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from llmctl import heads, models
from llmctl.errors import ModelError
from llmctl.models import find_source
from llmctl.models.fields import check_fields
from llmctl.progress import Silent
from tests.tiny import bert, byte_tokenizer, llama, word_tokenizer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "m"
    llama().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "m"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def refusal(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        models.load_causal_lm(str(folder), runs_dir=folder.parent)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"hidden_size": "x"}, 'hidden_size is "x", not a whole number of at least 1'),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, not a whole number of at least 1"),
        ({"text_config": {"n_embd": 2.5}}, "n_embd is 2.5, not a whole number of at least 1"),
        ({"num_key_value_heads": True}, "num_key_value_heads is true, not a whole number"),
        ({"intermediate_size": -5}, "intermediate_size is -5, not a whole number of at least 0"),
        ({"torch_dtype": "floaty"}, 'torch_dtype is "floaty", not a dtype, such as float32'),
        ({"rope_scaling": "x"}, 'rope_scaling is "x", not an object in braces'),
        ({"rope_parameters": {"a": {"rope_theta": "x"}}}, 'rope_theta is "x", not a number above 0'),
        ({"rope_parameters": {"factor": 0}}, "factor is 0, not a number above 0"),
        ({"id2label": ["a"]}, r'id2label is ["a"], not an object in braces'),
        ({"architectures": 5}, "architectures is 5, not a list of names"),
        ({"model_type": 5}, "model_type is 5, not text"),
        ({"chat_template": 5}, "chat_template is 5, not text or a list of templates"),
        ({"eos_token": ["x"]}, r'eos_token is ["x"], not text'),
    ],
)
def test_a_field_of_the_wrong_kind_is_told_before_the_library_sees_it(
    content: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelError) as caught:
        check_fields(content, "m/config.json")
    assert caught.value.message.startswith(f"m/config.json: {told}")
    assert caught.value.hint


def test_what_families_say_otherwise_is_not_refused() -> None:
    names = {"label2id": {"hidden_size": 0, "factor": 1}, "id2label": {"0": "factor"}}
    lists = {"num_attention_heads": [2, 4], "intermediate_size": [8, 8]}
    nothing = {"n_inner": None, "head_dim": None, "rope_scaling": None, "dtype": None, "architectures": None}
    check_fields(names | lists | nothing, "m")
    check_fields({"quantization_config": {"weights": {"dtype": "fp8"}}, "type_vocab_size": 0}, "m")
    check_fields({"eos_token": {"content": "</s>"}, "model_max_length": 10**30, "chat_template": [{}]}, "m")
    for dtype in ("auto", "float16", "torch.bfloat16", "half", "float8_e4m3fn"):
        check_fields({"dtype": dtype}, "m")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("content", "told"),
    [("[]", "holds [], not an object"), ("null", "holds null"), ("{", "cannot be read as JSON: Expecting")],
)
def test_a_file_that_holds_no_object_is_named(folder: Path, name: str, content: str, told: str) -> None:
    (folder / name).write_text(content)
    assert f"{folder / name} {told}" in refusal(folder).message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_act": "reluu"}, "hidden_act 'reluu' is unknown"),
        ({"hidden_act": 5}, "'hidden_act' expected str, got int"),
        ({"rope_parameters": {"rope_type": "foo", "rope_theta": 1.0}}, "rope_type 'foo' is unknown"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1.0}}, "'rope_type'='linear': {'factor'}"),
        ({"hidden_size": 33}, "hidden size (33) is not a multiple of the number of attention heads (4)"),
        ({"model_type": "foo"}, "model type `foo`"),
        ({"pad_token_id": 9999}, "Padding_idx"),
    ],
)
def test_a_config_that_the_library_refuses_is_named(folder: Path, changes: dict[str, Any], told: str) -> None:
    edit(folder / "config.json", **changes)
    found = refusal(folder).message
    assert found.startswith(f"{folder / 'config.json'}: no model can be made of it: ")
    assert told in found
    with pytest.raises(ModelError, match="no model can be made of it"):
        models.outline(str(folder), "AutoModelForCausalLM", runs_dir=folder.parent)


@pytest.mark.parametrize(
    ("content", "told"),
    [("{}", "Model missing"), ("null", "invalid type: null"), ("", "EOF"), ('{"model": 5}', "ModelUntagged")],
)
def test_a_damaged_tokenizer_is_named(folder: Path, content: str, told: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    found = refusal(folder).message
    assert found.startswith(f"{folder / 'tokenizer.json'} cannot be read: ")
    assert told in found


def test_weights_of_another_size_are_told_with_both_sizes(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=64)
    told = r"its weights have model\.layers\.0\.mlp\.\w+\.weight of 32 x 48, its config.json says 32 x 64"
    with pytest.raises(ModelError, match=told):
        models.load_causal_lm(str(folder), runs_dir=folder.parent)


def test_a_body_of_another_size_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["good"])
    bert(tokenizer, num_labels=3).save_pretrained(tmp_path / "m")
    found = find_source(str(tmp_path / "m"), tmp_path)
    auto_class = "AutoModelForSequenceClassification"
    model = heads.load_with_new_head(found, auto_class, {"num_labels": 2}, Silent())
    assert model.classifier.weight.shape == (2, 32), "a head may be of another size"
    edit(tmp_path / "m" / "config.json", intermediate_size=99)
    with pytest.raises(ModelError, match=r"weights have bert\..* of .*64.*, its config.json says .*99"):
        heads.load_with_new_head(found, auto_class, {"num_labels": 2}, Silent())


def test_a_missing_head_is_told_from_a_missing_layer(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    found = refusal(folder)
    assert "1 weight is not in the checkpoint (first: lm_head.weight)" in found.message
    assert "tie_word_embeddings" in str(found.hint)
    edit(folder / "config.json", tie_word_embeddings=True)
    models.load_causal_lm(str(folder), runs_dir=folder.parent)
    change_weights(folder, lambda weights: weights.pop("model.norm.weight"))
    assert "saved whole" in str(refusal(folder).hint)


def test_a_model_in_a_folder_called_as_a_pattern_is_found(whole: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(whole, tmp_path / "m[1]"))
    loaded = models.load_causal_lm(str(place), runs_dir=tmp_path)
    assert torch.isfinite(loaded.model(torch.tensor([[1]])).logits).all()
