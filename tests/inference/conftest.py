"""What the tests of scoring and generation share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tests.tiny import BOS, EOS, byte_tokenizer, gpt2, llama


@pytest.fixture(params=[gpt2, llama], ids=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture
def make_documents() -> Callable[..., Any]:
    """Documents of given lengths in random tokens, shaped like ``llmctl.data.blocks.TokenizedDocuments``."""

    def make(lengths: list[int], *, prefix: bool = False, suffix: bool = True, seed: int = 0) -> Any:
        draw = np.random.default_rng(seed)
        texts = [draw.integers(0, 256, length) for length in lengths]
        framed = [[*([BOS] * prefix), *text, *([EOS] * suffix)] for text in texts]
        return SimpleNamespace(
            tokens=np.concatenate(framed).astype(np.uint16),
            ends=np.cumsum([len(document) for document in framed]),
            num_bytes=np.array(lengths) * 3,
            num_words=np.maximum(1, np.array(lengths) // 2),
            prefix_length=int(prefix),
            suffix_length=int(suffix),
        )

    return make
