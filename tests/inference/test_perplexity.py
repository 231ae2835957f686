import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from llmctl.errors import DataError
from llmctl.inference.perplexity import evaluate_documents, first_token_context
from llmctl.progress import Silent
from tests.tiny import BOS, EOS, byte_tokenizer, gpt2

ARGUMENTS: dict[str, Any] = {"max_length": 16, "stride": 8, "batch_size": 4, "first_token_context": BOS}


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)

    warn = note


def test_the_scores_of_a_model_that_knows_nothing(make_documents: Callable[..., Any]) -> None:
    """All logits 0: every token costs ln 258, whatever the text."""
    model = gpt2()
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    result, _ = evaluate_documents(model, make_documents([10, 30]), **ARGUMENTS)
    words, size = 5 + 15, 30 + 90
    assert result.perplexity.value == pytest.approx(258)
    assert result.mean_nll == pytest.approx(math.log(258))
    assert result.word_perplexity.value == pytest.approx(258 ** (40 / words))
    assert result.byte_perplexity.value == pytest.approx(258 ** (40 / size))
    assert result.bits_per_byte.value == pytest.approx(math.log2(258) * 40 / size)
    assert (result.n, result.num_tokens) == (2, 40)


def test_the_interval_is_over_documents_when_there_are_many(make_documents: Callable[..., Any]) -> None:
    documents = make_documents([5, 10, 20, 40] * 10)
    result, scores = evaluate_documents(gpt2(), documents, num_resamples=400, **ARGUMENTS)
    assert "interval:bootstrap95,400x40 documents,seed:0" in result.signature
    draw = np.random.default_rng(9)
    found = []
    for _ in range(2000):
        chosen = draw.integers(0, 40, 40)
        found.append(math.exp(scores.nll[chosen].sum() / scores.num_tokens[chosen].sum()))
    low, high = np.quantile(found, [0.025, 0.975])
    assert result.perplexity.low == pytest.approx(low, rel=0.02)
    assert result.perplexity.high == pytest.approx(high, rel=0.02)
    assert result.perplexity.low < result.perplexity.value < result.perplexity.high


def test_the_interval_of_a_single_document_is_over_its_windows(make_documents: Callable[..., Any]) -> None:
    result, scores = evaluate_documents(gpt2(), make_documents([200]), **ARGUMENTS)
    assert len(scores.window_nll) == 24  # 16 tokens, then 23 times 8
    assert "24 windows" in result.signature
    assert result.bits_per_byte.low is not None
    assert result.bits_per_byte.low < result.bits_per_byte.value


def test_a_single_window_has_no_interval_and_says_so(make_documents: Callable[..., Any]) -> None:
    notes = Notes()
    result, _ = evaluate_documents(gpt2(), make_documents([9]), progress=notes, **ARGUMENTS)
    assert result.perplexity.low is None
    assert result.perplexity.high is None
    assert notes.said == ["no interval: the text is a single document"]


def test_the_seed_decides_the_interval_alone(make_documents: Callable[..., Any]) -> None:
    documents = make_documents([5, 10, 20, 40] * 10)
    one, same, other = (
        evaluate_documents(gpt2(), documents, seed=seed, **ARGUMENTS)[0].perplexity for seed in (0, 0, 1)
    )
    assert one == same
    assert one.value == other.value
    assert one.low != other.low


def test_unscored_first_tokens_are_told(make_documents: Callable[..., Any]) -> None:
    notes = Notes()
    arguments = ARGUMENTS | {"first_token_context": None}
    result, _ = evaluate_documents(gpt2(), make_documents([9, 9]), progress=notes, **arguments)
    assert result.num_tokens == 16
    assert notes.said[0].startswith("the first token of 2 documents is not scored")
    assert "first_token:unscored" in result.signature


def test_no_token_to_score(make_documents: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="there is no token to score"):
        evaluate_documents(gpt2(), make_documents([1]), **(ARGUMENTS | {"first_token_context": None}))


def test_words_without_spaces_may_be_beyond_a_float(make_documents: Callable[..., Any]) -> None:
    documents = make_documents([2000])
    documents.num_words[:] = 1
    result, _ = evaluate_documents(gpt2(), documents, **ARGUMENTS)
    assert result.word_perplexity.to_json()["value"] is None
    assert result.perplexity.to_json()["value"] is not None


def test_the_tokenizer_says_what_stands_before_a_text() -> None:
    model = SimpleNamespace(config=SimpleNamespace(bos_token_id=1, eos_token_id=2))
    none = SimpleNamespace(bos_token_id=None, eos_token_id=None)
    assert first_token_context(model, byte_tokenizer()) == BOS
    assert first_token_context(model, SimpleNamespace(bos_token_id=None, eos_token_id=EOS)) == EOS
    assert first_token_context(model, none) == 1
    assert first_token_context(SimpleNamespace(config=none), none) is None
