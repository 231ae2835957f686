"""Causal language modelling on documents of their own."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from llmctl.config import PretrainConfig
from llmctl.data.blocks import TokenizedDocuments
from llmctl.errors import ConfigError
from llmctl.objectives.causal_lm import CausalLM, DocumentRows
from llmctl.objectives.reversed_lm import ReversedLM, reversed_texts
from tests import tiny


def stream(*sizes: int) -> TokenizedDocuments:
    counts = np.ones(len(sizes), dtype=np.int64)
    return TokenizedDocuments(np.arange(sum(sizes), dtype=np.uint16), np.cumsum(sizes), counts, counts, 0, 0)


def rows(*sizes: int, block_size: int = 10) -> DocumentRows:
    config = PretrainConfig(packing=False, block_size=block_size)
    found = CausalLM(config, tiny.byte_tokenizer()).training_set(stream(*sizes))
    assert isinstance(found, DocumentRows)
    return found


def test_every_token_but_a_documents_first_is_a_target_once() -> None:
    examples = rows(7, 25, 1, 10)
    assert [len(examples[i]["input_ids"]) for i in range(len(examples))] == [7, 8, 8, 9, 1, 10]
    targets = [t for i in range(len(examples)) for t in examples[i]["labels"] if t >= 0]
    assert sorted(targets) == sorted({*range(43)} - {0, 7, 32, 33})
    for i in range(len(examples)):
        example = examples[i]
        known = example["labels"] >= 0
        assert (example["labels"][known] == example["input_ids"][known] + 1).all()


def test_rows_of_one_document_each_are_scored_as_the_model_scores_them_alone() -> None:
    objective = CausalLM(PretrainConfig(packing=False, block_size=20), tiny.byte_tokenizer())
    examples = rows(7, 12, block_size=20)
    model = tiny.gpt2()
    batch = objective.collate([examples[0], examples[1]])
    together = objective.loss(model, batch, None).item()
    alone = [objective.loss(model, objective.collate([examples[i]]), torch.tensor(1)).item() for i in (0, 1)]
    assert together == pytest.approx(sum(alone) / (6 + 11), rel=1e-5)


def documents(texts: list[str], tokenizer: object) -> TokenizedDocuments:
    ids = [tokenizer(text)["input_ids"] + [tiny.EOS] for text in texts]  # type: ignore[operator]
    ends = np.cumsum([len(row) for row in ids])
    return TokenizedDocuments(np.concatenate(ids).astype(np.uint16), ends, ends, ends, 0, 1)


@pytest.mark.parametrize("model", [tiny.gpt2(), tiny.llama()], ids=["gpt2", "llama"])
@pytest.mark.parametrize("packed", [CausalLM, ReversedLM])
def test_within_documents_a_block_scores_what_its_documents_score_alone(
    model: Any, packed: type[CausalLM]
) -> None:
    tokenizer = tiny.byte_tokenizer()
    config = PretrainConfig(packing=True, intra_document_masking=True, block_size=64)
    objective = packed(config, tokenizer)
    objective.check_model(model, "tiny")
    texts = documents(["one two", "three", "four five six"], tokenizer)
    if objective.reads_backwards:
        texts = reversed_texts(texts)
    whole = objective.collate([objective.training_set(texts)[0]])
    starts = [0, *texts.ends]
    total = 0.0
    for start, end in pairwise(starts):
        own = texts.tokens[start:end].astype(np.int64)
        read = own if start == 0 else np.append(tiny.EOS, own)  # as eval reads it
        ids = torch.tensor(read)[None]
        losses = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
        total += losses.item() * (len(read) - 1)
    assert objective.loss(model, whole, torch.tensor(1)).item() == pytest.approx(total, rel=1e-5)


def test_a_family_that_sees_through_document_borders_is_refused() -> None:
    config = PretrainConfig(packing=True, intra_document_masking=True)
    model = MambaForCausalLM(MambaConfig(hidden_size=32, num_hidden_layers=1, vocab_size=tiny.VOCABULARY))
    with pytest.raises(ConfigError, match=r"intra_document_masking: in a mamba model .* see each other"):
        CausalLM(config, tiny.byte_tokenizer()).check_model(model, "mamba")
