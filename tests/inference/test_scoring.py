import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from llmctl.errors import ConfigError, ModelError
from llmctl.inference import scoring
from llmctl.inference.scoring import score
from tests.tiny import BOS, POSITIONS, gpt2, llama

MakeDocuments = Callable[..., Any]
LENGTHS = [1, 3, 8, 9, 20, 66]


def texts_of(documents: Any) -> list[list[int]]:
    begins = [0, *documents.ends[:-1]]
    return [
        documents.tokens[begin + documents.prefix_length : end - documents.suffix_length].tolist()
        for begin, end in zip(begins, documents.ends, strict=True)
    ]


@torch.no_grad()
def reference(
    model: Any, text: list[int], max_length: int, stride: int, context: int | None
) -> tuple[float, int]:
    """The definition, token by token: each is predicted by a forward pass of its own."""
    total, count = 0.0, 0
    for position, token in enumerate(text):
        window = 0 if position < max_length else -(-(position + 1 - max_length) // stride)
        begin = window * stride
        if window and stride == max_length:
            begin -= 1
        before = text[begin:position]
        if window == 0 and context is not None:
            before = [context, *before]
        if not before:
            continue
        logits = model(torch.tensor([before])).logits[0, -1].double()
        total -= logits.log_softmax(-1)[token].item()
        count += 1
    return total, count


@pytest.mark.parametrize(("max_length", "stride"), [(8, 8), (8, 4), (8, 3), (8, 1), (64, 32), (1, 1)])
def test_equals_the_definition(
    model: Any, make_documents: MakeDocuments, max_length: int, stride: int
) -> None:
    documents = make_documents(LENGTHS)
    expected = [reference(model, text, max_length, stride, BOS)[0] for text in texts_of(documents)]
    for batch_size in (1, 7):
        scores = score(
            model,
            documents,
            max_length=max_length,
            stride=stride,
            batch_size=batch_size,
            first_token_context=BOS,
        )
        assert scores.nll == pytest.approx(expected, rel=1e-5)
        assert scores.num_tokens.tolist() == LENGTHS
        assert scores.num_unscored == 0
        assert scores.window_num_tokens.sum() == sum(LENGTHS)
        assert scores.window_nll.sum() == pytest.approx(scores.nll.sum())


def test_equals_the_published_loop_where_that_is_exact(model: Any, make_documents: MakeDocuments) -> None:
    """Hugging Face's strided loop, with each window's loss weighted by the targets it is the mean of."""
    documents = make_documents([100], suffix=False)
    ids = torch.tensor([texts_of(documents)[0]])
    max_length, stride, total, count, previous = 24, 12, 0.0, 0, 0
    for begin in range(0, 100, stride):
        end = min(begin + max_length, 100)
        labels = ids[:, begin:end].clone()
        labels[:, : previous - begin] = -100
        with torch.no_grad():
            loss = model(ids[:, begin:end], labels=labels).loss
        targets = int((labels[:, 1:] != -100).sum())
        total, count, previous = total + loss.item() * targets, count + targets, end
        if end == 100:
            break
    scores = score(model, documents, max_length=max_length, stride=stride, batch_size=4)
    assert scores.num_tokens.tolist() == [count]
    assert scores.nll[0] == pytest.approx(total, rel=1e-6)


def test_a_prefix_is_context_and_not_scored(model: Any, make_documents: MakeDocuments) -> None:
    arguments = {"max_length": 24, "stride": 12, "batch_size": 3}
    with_prefix = score(model, make_documents(LENGTHS, prefix=True), first_token_context=7, **arguments)
    prepended = score(model, make_documents(LENGTHS), first_token_context=BOS, **arguments)
    assert with_prefix.nll == pytest.approx(prepended.nll, rel=1e-6)
    assert with_prefix.num_tokens.tolist() == LENGTHS


def test_the_suffix_is_not_scored(model: Any, make_documents: MakeDocuments) -> None:
    arguments = {"max_length": 24, "stride": 12, "batch_size": 3, "first_token_context": BOS}
    with_suffix = score(model, make_documents(LENGTHS), **arguments)
    without = score(model, make_documents(LENGTHS, suffix=False), **arguments)
    assert np.array_equal(with_suffix.nll, without.nll)


def test_without_context_first_tokens_are_counted_as_unscored(
    model: Any, make_documents: MakeDocuments
) -> None:
    documents = make_documents(LENGTHS)
    scores = score(model, documents, max_length=8, stride=4, batch_size=3)
    expected = [reference(model, text, 8, 4, None) for text in texts_of(documents)]
    assert scores.nll == pytest.approx([nll for nll, _ in expected], rel=1e-5)
    assert scores.num_tokens.tolist() == [length - 1 for length in LENGTHS]
    assert scores.num_unscored == len(LENGTHS)


def test_the_head_may_be_applied_in_pieces(
    model: Any, make_documents: MakeDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"max_length": 24, "stride": 12, "batch_size": 7, "first_token_context": BOS}
    whole = score(model, make_documents(LENGTHS), **arguments)
    monkeypatch.setattr(scoring, "_HEAD_LOGITS", 258 * 3)
    assert score(model, make_documents(LENGTHS), **arguments).nll == pytest.approx(whole.nll, rel=1e-6)


def test_families_that_cap_their_logits_are_scored_by_their_own_forward_pass(
    make_documents: MakeDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = Gemma2Config(
        num_hidden_layers=2, hidden_size=32, intermediate_size=48, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, vocab_size=258, max_position_embeddings=POSITIONS,
        final_logit_softcapping=2.0, sliding_window=64, initializer_range=0.4, pad_token_id=0,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    monkeypatch.setattr(scoring, "_FULL_LOGITS", 258 * 8 * 2)  # two rows at once
    documents = make_documents(LENGTHS)
    scores = score(model, documents, max_length=8, stride=4, batch_size=5, first_token_context=BOS)
    expected = [reference(model, text, 8, 4, BOS) for text in texts_of(documents)]
    assert scores.nll == pytest.approx([nll for nll, _ in expected], rel=1e-5)


def test_a_sharded_model_is_asked_once_a_batch_whatever_its_length(
    make_documents: MakeDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks with batches of other lengths would otherwise wait for each other for ever."""
    model, asked = gpt2(), []
    model.register_forward_pre_hook(lambda *given: asked.append(1))
    monkeypatch.setattr(scoring, "is_sharded", lambda model: True)
    monkeypatch.setattr(scoring, "_FULL_LOGITS", 258 * 8)  # one row at once
    arguments = {"max_length": 24, "stride": 12, "batch_size": 2, "first_token_context": BOS}
    scores = score(model, make_documents([8, 8, 20, 24]), **arguments)
    assert len(asked) == 2
    expected = [reference(model, text, 24, 12, BOS)[0] for text in texts_of(make_documents([8, 8, 20, 24]))]
    assert scores.nll == pytest.approx(expected, rel=1e-5)


def test_dropout_is_off_and_the_mode_is_kept(make_documents: MakeDocuments) -> None:
    model = gpt2(resid_pdrop=0.5)
    documents, arguments = make_documents([30]), {"max_length": 24, "stride": 12, "batch_size": 2}
    calm = score(model, documents, **arguments).nll
    model.train()
    assert np.array_equal(score(model, documents, **arguments).nll, calm)
    assert model.training


def test_a_window_beyond_the_positions_is_refused(model: Any, make_documents: MakeDocuments) -> None:
    with pytest.raises(ConfigError, match="max_length is 65, the model has 64 positions"):
        score(model, make_documents([5]), max_length=65, stride=8, batch_size=1)


def test_a_stride_beyond_the_window_is_refused(model: Any, make_documents: MakeDocuments) -> None:
    with pytest.raises(ConfigError, match="stride 9 is longer than max_length 8"):
        score(model, make_documents([5]), max_length=8, stride=9, batch_size=1)


def test_ids_that_the_model_lacks_are_refused(make_documents: MakeDocuments) -> None:
    with pytest.raises(ModelError, match="has the id 257, the model has 100 embeddings"):
        score(gpt2(vocab_size=100), make_documents([5]), max_length=8, stride=8, batch_size=1)


def test_a_loss_that_is_not_a_number_names_its_document(make_documents: MakeDocuments) -> None:
    model = llama()
    documents = make_documents([4, 4, 4])
    documents.tokens[documents.tokens == 99] = 98
    documents.tokens[6] = 99  # in the second document, and nowhere else
    with torch.no_grad():
        model.get_input_embeddings().weight[99] = math.nan
    with pytest.raises(ModelError, match="loss on document 2 is not a number"):
        score(model, documents, max_length=8, stride=8, batch_size=3)
