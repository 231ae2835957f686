"""What is refused of a model's directory before the libraries read it; tests/test_hostile.py goes through commands."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmctl.errors import ModelError
from llmctl.models import find_source
from llmctl.models.guard import check_directory, check_numbers


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_shard_outside_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write(folder, "model-1.safetensors", "")
    index = {"weight_map": {"a": "model-1.safetensors"}}
    write(folder, "model.safetensors.index.json", index)
    check_directory(folder)
    for name in ("../x.safetensors", "/x.safetensors", "..\\x.safetensors", "a/../../x"):
        write(folder, "model.safetensors.index.json", {"weight_map": {"a": "model-1.safetensors", "b": name}})
        with pytest.raises(ModelError, match="outside of the model's directory"):
            find_source(str(folder), tmp_path)


def test_links_out_of_the_directory_are_refused_but_those_of_the_hubs_cache(tmp_path: Path) -> None:
    blob = write(tmp_path, "blobs/abc", {"a": {}})
    snapshot = tmp_path / "snapshots" / "1234"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(Path("../../blobs/abc"))
    check_directory(snapshot)
    other = tmp_path / "model"
    other.mkdir()
    (other / "config.json").symlink_to(blob)
    with pytest.raises(ModelError, match="is a link to"):
        check_directory(other)
    (tmp_path / "alias").symlink_to(snapshot)
    check_directory(tmp_path / "alias")


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("gone.json")
    with pytest.raises(ModelError, match="No such file"):
        check_directory(tmp_path)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers 1,000,000: more than 1,000"),
        ({"text_config": {"encoder_layers": 5_000}}, "encoder_layers 5,000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0, not a whole number of at least 1"),
        ({"n_layer": -1}, "n_layer is -1, not a whole number of at least 1"),
        ({"num_labels": 10**9}, "num_labels 1,000,000,000"),
        ({"num_hidden_layers": 900, "num_local_experts": 900}, "900 layers of 900 experts"),
        ({"attn_implementation": "a/b"}, "would load code from the Hub"),
    ],
)
def test_absurd_configs_are_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        check_numbers(config, "m")


def test_the_largest_that_there_are_are_not() -> None:
    check_numbers(
        {"num_hidden_layers": 126, "vocab_size": 262_144, "max_position_embeddings": 10_485_760}, "m"
    )
    check_numbers(
        {
            "num_hidden_layers": 94,
            "num_nextn_predict_layers": 0,
            "num_experts": 512,
            "_attn_implementation": "sdpa",
        },
        "m",
    )
