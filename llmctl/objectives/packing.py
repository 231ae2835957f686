"""Several conversations in one row, none of which sees another."""

from typing import Any

import numpy as np
import torch

from llmctl.errors import ConfigError
from llmctl.objectives.task import Features


class PackedRows:
    """Rows of whole examples, as many as fit; positions begin anew with each example.

    That is how transformers tells where one ends: without an attention mask, attention stays within it.

    Args:
        features: their items have ``input_ids`` and ``labels``, shifted already.
        size: longest row, in tokens; no example is longer.
    """

    def __init__(self, features: Features, size: int) -> None:
        self.features = features
        self.rows = pack(features.lengths, size)
        self.lengths = np.array([features.lengths[row].sum() for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        parts = [self.features[example] for example in self.rows[index]]
        row = {name: torch.cat([part[name] for part in parts]) for name in ("input_ids", "labels")}
        row["position_ids"] = torch.cat([torch.arange(len(part["input_ids"])) for part in parts])
        return row


def pack(lengths: np.ndarray, size: int) -> list[list[int]]:
    """Fill rows with examples: the longest first, each into the fullest row that has room (best fit decreasing).

    Args:
        lengths: (N,) at most ``size``.
        size: of a row.

    Returns:
        The examples of each row; every example once.
    """
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(size + 1)]  # room left -> rows that have it
    rooms = 0  # the bit of each room that some row has: the least that is enough is found at once
    for example in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[example])
        enough = rooms >> length
        if enough:
            room = length + (enough & -enough).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms &= ~(1 << room)
        else:
            room, row = size, len(rows)
            rows.append([])
        rows[row].append(example)
        with_room[room - length].append(row)
        rooms |= 1 << (room - length)
    return rows


def check_packing(model: Any, option: str = "packing") -> None:
    """Refuse a model in which a packed example sees the one before it.

    Args:
        option: what asked for it.

    Raises:
        ConfigError: e.g. Bloom, whose attention knows no positions, or a recurrent model.
    """
    was_training = model.training
    model.eval()
    ids = torch.arange(1, 8, device=model.device) % model.get_input_embeddings().num_embeddings
    places = torch.tensor([0, 1, 2, 3, 0, 1, 2], device=model.device)
    with torch.no_grad():
        packed = model(
            input_ids=ids.expand(2, -1), position_ids=places.expand(2, -1), use_cache=False
        ).logits[:, 4:]
        alone = model(input_ids=ids[None, 4:], use_cache=False).logits
    model.train(was_training)
    if not torch.allclose(packed.float(), alone.float(), atol=1e-3):
        raise ConfigError(
            f"{option}: in a {model.config.model_type} model the examples of one row would see each other",
            hint=f"leave --{option.replace('_', '-')} out",
        )
