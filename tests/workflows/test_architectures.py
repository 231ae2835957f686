"""Families other than the default: from text to a model that the library loads with its tokenizer."""

from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmctl.progress import SILENT
from llmctl.workflows import pretrain


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["qwen2", "gpt_neo", "gpt_neox", "mistral", "mixtral", "gemma", "phi", "opt", "bloom"]
)
def test_a_family_is_trained_and_loads(quick: Any, architecture: str) -> None:
    result = pretrain.run(quick(architecture=architecture, max_steps=2, eval_steps=2), progress=SILENT)
    model = AutoModelForCausalLM.from_pretrained(result.model)
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    assert model.config.model_type == architecture
    for role in ("bos", "eos", "pad"):
        assert getattr(model.config, f"{role}_token_id") == getattr(tokenizer, f"{role}_token_id")
    ids = tokenizer("Once upon a time", return_tensors="pt")
    assert ids["input_ids"].max() < model.get_input_embeddings().num_embeddings
    ids.pop("token_type_ids", None)
    found = model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert found.shape[1] > ids["input_ids"].shape[1]
    assert tokenizer.decode(found[0], skip_special_tokens=True).startswith("Once upon a time")
