"""Masked language modelling against the library's own loss, family by family."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForPreTraining

from llmctl.config import PretrainConfig
from llmctl.data.blocks import TokenizedDocuments
from llmctl.objectives.masked_lm import MaskedLM
from llmctl.objectives.rows import rows_of
from llmctl.objectives.sentence_pairs import FOLLOWS, SentencePairs
from llmctl.objectives.text import JUDGED_ROUND
from llmctl.progress import SILENT
from tests import tiny

FAMILIES = [
    *("bert", "roberta", "distilbert", "modernbert", "albert", "electra", "mobilebert", "xlm-roberta"),
    *("camembert", "convbert", "deberta-v2", "ernie", "megatron-bert", "squeezebert", "fnet"),
]
SIZES: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 40, "embedding_size": 32, "pad_token_id": 0,
    "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
}  # fmt: skip
ODD: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "mobilebert": {"intra_bottleneck_size": 32, "embedding_size": 16},
}


def family(architecture: str, auto_class: Any = AutoModelForMaskedLM) -> Any:
    torch.manual_seed(0)
    settings = SIZES | ODD.get(architecture, {})
    return auto_class.from_config(AutoConfig.for_model(architecture, **settings)).eval()


def batch_of(rows: int, length: int) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(0)
    tokens = torch.from_numpy(random.integers(5, 60, (rows, length)))
    hidden = torch.from_numpy(random.random((rows, length)) < 0.3)
    mask = torch.ones_like(tokens)
    mask[-1, length // 2 :] = 0
    labels = tokens.where(hidden & mask.bool(), torch.tensor(-100))
    return {"input_ids": tokens.masked_fill(hidden, 4), "attention_mask": mask, "labels": labels}


def objective(cls: type[MaskedLM] = MaskedLM, **settings: Any) -> MaskedLM:
    return cls(PretrainConfig(**settings), tiny.masked_tokenizer())


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_loss_is_the_librarys_own(architecture: str) -> None:
    model, batch = family(architecture), batch_of(3, 20)
    stock = model(**batch).loss
    ours = objective().loss(model, batch, None)
    assert ours.item() == pytest.approx(stock.item(), rel=1e-5)
    stock.backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    objective().loss(model, batch, None).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (expected[name] is None)
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, expected[name], atol=1e-5), name
    count = batch["labels"].ne(-100).sum()
    assert objective().loss(model, batch, 2 * count).item() == pytest.approx(stock.item() / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("architecture", "label"),
    [("bert", "next_sentence_label"), ("albert", "sentence_order_label"), ("ernie", "next_sentence_label")],
)
def test_the_loss_of_pairs_is_the_librarys_own(architecture: str, label: str) -> None:
    model = family(architecture, AutoModelForPreTraining)
    batch = batch_of(4, 16)
    pairs = torch.tensor([0, 1, 1, 0])
    stock = model(**batch, **{label: pairs}).loss
    ours = objective(SentencePairs).loss(model, batch | {"pair_label": pairs}, None)
    assert ours.item() == pytest.approx(stock.item(), rel=1e-5)


def stream(*sizes: int) -> TokenizedDocuments:
    tokens = np.random.default_rng(0).integers(5, 60, sum(sizes)).astype(np.uint16)
    counts = np.ones(len(sizes), dtype=np.int64)
    return TokenizedDocuments(tokens, np.cumsum(sizes), counts, counts, 0, 0)


@pytest.mark.parametrize("packing", [True, False])
def test_rows_hold_every_token_once(packing: bool) -> None:
    documents = stream(7, 20, 1, 33)
    rows = rows_of(documents, 10, packing=packing)
    assert np.array_equal(np.concatenate([rows[i] for i in range(len(rows))]), documents.tokens)
    found = [len(rows[i]) for i in range(len(rows))]
    assert found == ([10] * 6 + [1] if packing else [7, 10, 10, 1, 8, 8, 8, 9])
    if not packing:
        assert rows.lengths is not None
        assert rows.lengths.tolist() == found


def test_masks_differ_by_epoch_and_come_again_with_it() -> None:
    examples = objective(block_size=30, mlm_probability=0.2).training_set(stream(100))

    def hidden(epoch: int, index: int = 0) -> list[int]:
        return np.flatnonzero(examples[epoch, index]["labels"] >= 0).tolist()

    assert len(hidden(0)) == 6
    assert hidden(0) == hidden(0)
    assert len({tuple(hidden(epoch, index)) for epoch in (0, 1, 2) for index in (0, 1)}) == 6


def test_a_batch_is_padded_only_where_rows_differ() -> None:
    masked = objective(block_size=30)
    examples = masked.training_set(stream(70))
    assert "attention_mask" not in masked.collate([examples[0, 0], examples[0, 1]])
    batch = masked.collate([examples[0, 1], examples[0, 2]])
    assert batch["attention_mask"].sum(dim=1).tolist() == [30, 10]
    assert (batch["labels"][1, 10:] == -100).all()


def test_scores_are_those_of_the_model_row_by_row() -> None:
    model, documents = family("bert"), stream(30, 45, 12)
    masked = objective(block_size=20, packing=False, per_device_eval_batch_size=2)
    scores = masked.judge(model, documents, num_resamples=100, seed=0, progress=SILENT)
    examples = masked.training_set(documents)
    losses, found = [], []
    for index in range(len(examples)):
        batch = masked.collate([examples[JUDGED_ROUND, index]])
        logits = model(batch["input_ids"]).logits[0]
        chosen = batch["labels"][0] >= 0
        gold = batch["labels"][0][chosen]
        losses += torch.nn.functional.cross_entropy(logits[chosen], gold, reduction="none").tolist()
        found += logits[chosen].argmax(dim=-1).eq(gold).tolist()
    assert scores.values["loss"].value == pytest.approx(np.mean(losses), rel=1e-5)
    assert scores.values["perplexity"].value == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    assert scores.values["masked_accuracy"].value == pytest.approx(np.mean(found))
    assert scores.num_tokens == len(losses)
    low, high = scores.values["loss"].low, scores.values["loss"].high
    assert low is not None
    assert high is not None
    assert low < scores.values["loss"].value < high


def test_pairs_follow_or_come_of_two_documents() -> None:
    tokenizer = tiny.masked_tokenizer()
    period = tokenizer.convert_tokens_to_ids(".")
    sentence = [*range(10, 14), period]
    tokens = np.array((sentence * 6) * 8, dtype=np.uint16)
    documents = TokenizedDocuments(
        tokens, np.arange(1, 9) * 30, np.ones(8, np.int64), np.ones(8, np.int64), 0, 0
    )
    pairs = SentencePairs(PretrainConfig(objective="mlm+nsp", block_size=33), tokenizer)
    examples = pairs.training_set(documents)
    assert len(examples) == 8
    labels = []
    for epoch in range(40):
        for index in range(8):
            example = examples[epoch, index]
            original = np.where(example["labels"] >= 0, example["labels"], example["input_ids"])
            assert original[0] == tokenizer.cls_token_id
            assert (original == tokenizer.sep_token_id).sum() == 2
            assert len(original) <= 33
            first = np.flatnonzero(original == tokenizer.sep_token_id)[0] + 1
            assert example["token_type_ids"].tolist() == [0] * first + [1] * (len(original) - first)
            labels.append(example["pair_label"])
            if example["pair_label"] == FOLLOWS:
                assert len(original) == 33
    assert 0.4 < np.mean(labels) < 0.6
