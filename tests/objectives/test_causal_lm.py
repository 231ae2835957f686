"""Causal language modelling on documents of their own."""

import numpy as np
import pytest
import torch

from llmctl.config import PretrainConfig
from llmctl.data.blocks import TokenizedDocuments
from llmctl.objectives.causal_lm import CausalLM, DocumentRows
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
