"""Going on with a model by a tokenizer that has tokens which are new to it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from llmctl.config import EvalConfig
from llmctl.workflows import evaluate, pretrain
from tests.workflows.conftest import Watched

CASES = [
    ("clm", "gpt2", "AutoModelForCausalLM"),
    ("mlm", "bert", "AutoModelForMaskedLM"),
    ("mlm", "modernbert", "AutoModelForMaskedLM"),
    ("mlm+sop", "albert", "AutoModelForPreTraining"),
    ("seq2seq", "bart", "AutoModelForSeq2SeqLM"),
    ("seq2seq", "mt5", "AutoModelForSeq2SeqLM"),
]


@pytest.mark.parametrize(("objective", "architecture", "auto_class"), CASES)
def test_new_tokens_get_embeddings_that_begin_as_the_mean(
    quick: Any, watched: Watched, objective: str, architecture: str, auto_class: str
) -> None:
    settings = {"objective": objective, "max_steps": 1, "eval_steps": 1, "optim": "adamw_torch"}
    old = pretrain.run(quick(architecture=architecture, run_name="old", **settings), progress=Watched())
    going_on = {
        "vocab_size": 4096,
        "hidden_size": None,
        "num_hidden_layers": None,
        "num_attention_heads": None,
    }
    tokens = ("<chapter>", "<verse>")
    config = quick(model="old", special_tokens=tokens, **(settings | going_on | {"learning_rate": 1e-9}))
    new = pretrain.run(config, progress=watched)
    assert "old: 2 tokens added to its tokenizer, which has 402 now" in watched.all()
    assert "old: 2 embeddings added to its 400, each begins as the mean of those" in watched.all()

    load: Any = getattr(transformers, auto_class).from_pretrained
    before, after = load(old.model), load(new.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(new.model)
    assert after.config.vocab_size == len(tokenizer) == 402
    assert tokenizer("<verse>", add_special_tokens=False)["input_ids"] == [401]
    first, second = (model.get_input_embeddings().weight for model in (before, after))
    assert torch.allclose(first, second[:400], atol=1e-4)
    assert torch.allclose(second[400:], first.mean(0).expand(2, -1), atol=1e-3)
    heads = before.get_output_embeddings().weight, after.get_output_embeddings().weight
    assert (heads[0] is first) == (heads[1] is second), "tied as they were"
    assert heads[1].shape[0] == 402
    assert evaluate.run(EvalConfig(model="quick"), progress=watched).to_json()["n"]


def test_another_tokenizer_is_told_of(quick: Any, watched: Watched, places: Path) -> None:
    pretrain.run(quick(run_name="old", max_steps=1, eval_steps=1), progress=Watched())
    other = quick(run_name="other", max_steps=1, eval_steps=1, vocab_size=500, normalizer="lowercase")
    pretrain.run(other, progress=Watched())
    settings = {"hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None}
    config = quick(model="old", tokenizer="other", max_steps=1, eval_steps=1, **settings)
    pretrain.run(config, progress=watched)
    assert "of the 400 tokens of old have another number here, or none" in watched.all()
    assert "old: 100 embeddings added to its 400" in watched.all()
    assert "not used: vocab_size, which are for a new tokenizer; this one is that of other" in watched.all()
