"""``llmctl export``: plain directories that answer as the run did."""

from pathlib import Path

import pytest
import torch
import transformers

from llmctl import adapters, models
from llmctl.config import ExportConfig
from llmctl.errors import ConfigError, ModelError
from llmctl.progress import SILENT
from llmctl.workflows import export
from tests.adapted import checkpoint, learnt
from tests.tiny import byte_tokenizer


def _run(places: Path, family: str, kind: str, method: str) -> tuple[Path, torch.Tensor]:
    """A finished run with an adapter, and what its model answers."""
    run = places / "runs" / "tuned"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("")
    (run / "environment.json").write_text('{"command": "finetune"}')
    model = learnt(checkpoint(places / "base", family, kind), kind, method)
    models.save(model, byte_tokenizer(), run / "model")
    return run, adapters.probe(model)


@pytest.mark.parametrize(
    ("family", "kind"), [("bert", "classification"), ("llama", "chat"), ("t5", "translation")]
)
def test_merged_it_is_plain_and_answers_alike(places: Path, family: str, kind: str) -> None:
    run, expected = _run(places, family, kind, "lora")
    result = export.run(ExportConfig(merge=True), progress=SILENT)
    merged = run / "merged"
    assert result.output_dir == str(merged)
    assert result.merged
    assert result.difference < 1e-4
    assert not (merged / adapters.ADAPTER).exists()
    config = transformers.AutoConfig.from_pretrained(merged)
    plain = getattr(transformers, config.architectures[0]).from_pretrained(merged)
    assert isinstance(plain, transformers.PreTrainedModel)
    torch.testing.assert_close(adapters.probe(plain), expected, rtol=1e-4, atol=1e-4)
    assert transformers.AutoTokenizer.from_pretrained(merged)("é")["input_ids"]


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_a_prefix_or_prompt_cannot_be_merged(places: Path, method: str) -> None:
    _run(places, "bert", "classification", method)
    with pytest.raises(ConfigError, match=f"holds a {method} tuning: it has no place in a plain model"):
        export.check(ExportConfig(model="tuned", merge=True))


def test_an_adapter_is_merged_only_if_asked(places: Path) -> None:
    run, _ = _run(places, "bert", "ner", "lora")
    with pytest.raises(ConfigError, match="not a plain model") as refused:
        export.run(ExportConfig(model="tuned"), progress=SILENT)
    assert refused.value.hint == f"llmctl export {run} --merge"


def test_a_plain_model_is_copied_to_where_it_is_asked_for(places: Path) -> None:
    folder = checkpoint(places / "base", "gpt2", "chat")
    with pytest.raises(ConfigError, match="where to write"):
        export.check(ExportConfig(model=str(folder)))
    copy = places / "new" / "copy"
    result = export.run(ExportConfig(model=str(folder), output_dir=str(copy), merge=True), progress=SILENT)
    assert not result.merged
    assert result.difference == 0
    assert (copy / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_nothing_is_overwritten(places: Path) -> None:
    run, _ = _run(places, "bert", "ner", "lora")
    (run / "merged").mkdir()
    (run / "merged" / "mine.txt").touch()
    with pytest.raises(ConfigError, match="in use"):
        export.run(ExportConfig(model="tuned", merge=True), progress=SILENT)
    with pytest.raises(ConfigError, match=r"mine.txt is a file"):
        export.check(ExportConfig(model="tuned", merge=True, output_dir=str(run / "merged/mine.txt/b")))


def test_what_reads_back_otherwise_is_not_kept(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = _run(places, "bert", "ner", "lora")
    put_in = adapters.merged

    def badly(model: object) -> object:
        plain = put_in(model)
        with torch.no_grad():
            plain.classifier.bias.add_(1.0)
        return plain

    monkeypatch.setattr(adapters, "merged", badly)
    with pytest.raises(ModelError, match="nothing is kept"):
        export.run(ExportConfig(model="tuned", merge=True), progress=SILENT)
    assert sorted(path.name for path in run.iterdir()) == ["environment.json", "model", "recipe.yaml"]
