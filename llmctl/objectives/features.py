"""Examples as token ids: flat arrays instead of a list an example, and an account of what was cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llmctl.data.backends import unbounded
from llmctl.errors import ConfigError
from llmctl.progress import Progress

_TEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class TokenRows:
    """The token ids of N rows, one behind the other.

    Attributes:
        ids: (T,) uint16 or uint32.
        ends: (N,) int64, where each row ends.
        segments: (T,) uint8, which of the two texts a token belongs to; ``None`` where the model is not told.
    """

    ids: np.ndarray
    ends: np.ndarray
    segments: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int] | np.ndarray],
        segments: Sequence[Sequence[int] | np.ndarray] | None = None,
    ) -> "TokenRows":
        """Flatten lists or arrays of ids, and of segments where there are any."""
        ids = np.concatenate([np.asarray(row, dtype=np.uint32) for row in rows]) if len(rows) else np.zeros(0)
        parts = None
        if segments is not None and len(segments):
            parts = np.concatenate([np.asarray(row, dtype=np.uint8) for row in segments])
        small = not len(ids) or ids.max() < 1 << 16
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        return cls(ids.astype(np.uint16 if small else np.uint32), ends, parts)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int64, tokens of each row."""
        return np.diff(self.ends, prepend=0)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``input_ids`` and, where the model is told, ``token_type_ids`` of one row, int64."""
        span = slice(int(self.ends[index - 1]) if index else 0, int(self.ends[index]))
        row = {"input_ids": torch.from_numpy(self.ids[span].astype(np.int64))}
        if self.segments is not None:
            row["token_type_ids"] = torch.from_numpy(self.segments[span].astype(np.int64))
        return row


@dataclass(frozen=True)
class Cut:
    """What ``max_length`` took away."""

    rows: int
    tokens: int

    def tell(self, name: str, total: int, max_length: int, progress: Progress) -> None:
        if self.rows:
            progress.warn(
                f"{name}: {self.rows:,} of {total:,} examples are longer than max_length {max_length} and were cut: "
                f"{self.tokens:,} tokens are not read"
            )


def encode_texts(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, *, max_length: int
) -> tuple[TokenRows, Cut]:
    """Encode texts, or pairs of texts, with the special tokens of the tokenizer's family.

    A row that is too long is cut as the tokenizer cuts it: the longer text of a pair first.

    Args:
        tokenizer: a fast tokenizer; it keeps its settings.
        texts: (N).
        pairs: (N) second texts, or ``None``.
        max_length: longest row, in tokens, special tokens included.

    Raises:
        ConfigError: ``max_length`` has no room for the special tokens.
    """
    special = tokenizer.backend_tokenizer.num_special_tokens_to_add(pairs is not None)
    if max_length < special:
        raise ConfigError(
            f"max_length {max_length} has no room for the {special} special tokens of each example",
            hint=f"make it larger than {special}",
        )
    whole = unbounded(tokenizer.backend_tokenizer)
    cutting = unbounded(tokenizer.backend_tokenizer)
    cutting.enable_truncation(max_length)
    rows: list[list[int]] = []
    segments: list[list[int]] | None = [] if "token_type_ids" in tokenizer.model_input_names else None
    cut_rows = cut_tokens = 0
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        part: Any = texts[begin : begin + _TEXTS_AT_ONCE]
        if pairs is not None:
            part = list(zip(part, pairs[begin : begin + _TEXTS_AT_ONCE], strict=True))
        for given, encoding in zip(part, whole.encode_batch_fast(part), strict=True):
            if len(encoding) > max_length:
                before = len(encoding)
                encoding = cutting.encode(*given) if pairs is not None else cutting.encode(given)
                cut_rows, cut_tokens = cut_rows + 1, cut_tokens + before - len(encoding)
            rows.append(encoding.ids)
            if segments is not None:
                segments.append(encoding.type_ids)
    return TokenRows.of(rows, segments), Cut(cut_rows, cut_tokens)


def padding_id(tokenizer: Any) -> int:
    """What rows are padded with; the attention mask hides it, so that any token will do."""
    pad_id = tokenizer.pad_token_id
    return int(pad_id if pad_id is not None else tokenizer.eos_token_id or 0)


def pad(rows: Sequence[dict[str, torch.Tensor]], pad_id: int) -> dict[str, torch.Tensor]:
    """Stack rows of :class:`TokenRows` into (B, L) tensors, padded on the right to the longest, with their mask."""
    padded = {
        name: torch.nn.utils.rnn.pad_sequence(
            [row[name] for row in rows], batch_first=True, padding_value=pad_id if name == "input_ids" else 0
        )
        for name in rows[0]
        if name in ("input_ids", "token_type_ids")
    }
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    padded["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    return padded
