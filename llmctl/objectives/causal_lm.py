"""Causal language modelling: predict the next token (Radford et al., 2018)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from llmctl import inference, runs
from llmctl.config import PretrainConfig
from llmctl.data.blocks import Blocks, TokenizedDocuments, tokenize
from llmctl.data.load import Documents
from llmctl.objectives.next_token import IGNORED, cross_entropy
from llmctl.progress import Progress, many


@dataclass(frozen=True)
class CausalLM:
    """Documents packed into blocks of ``block_size`` tokens; every token but the stream's first is a target."""

    config: PretrainConfig
    tokenizer: Any

    def encode(self, documents: Documents, *, progress: Progress) -> TokenizedDocuments:
        features = tokenize(documents, self.tokenizer, cache_dir=runs.cache_dir(), progress=progress)
        per_byte = features.num_bytes.sum() / max(len(features.tokens), 1)
        progress.note(
            f"{documents.name}: {many(len(features.ends), 'document')}, {many(len(features.tokens), 'token')} "
            f"({per_byte:.2f} bytes a token)"
        )
        return features

    def training_set(self, features: TokenizedDocuments) -> Blocks:
        return Blocks(features, self.config.block_size)

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack blocks; only the stream's last block is shorter, and its padding is no target.

        The targets are also called ``shift_labels``, as they are shifted already: Trainer counts them as they are.
        """
        longest = max(len(example["input_ids"]) for example in examples)

        def stack(key: str, fill: int) -> torch.Tensor:
            rows = [torch.as_tensor(example[key]) for example in examples]
            return torch.stack([functional.pad(row, (0, longest - len(row)), value=fill) for row in rows])

        labels = stack("labels", IGNORED)
        return {"input_ids": stack("input_ids", 0), "labels": labels, "shift_labels": labels}

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy of every token, given those before it."""
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits
        targets = batch["shift_labels"]
        total = cross_entropy(logits, targets)
        return total / (num_items if num_items is not None else targets.ne(IGNORED).sum())

    def evaluate(self, model: Any, features: TokenizedDocuments, *, progress: Progress) -> dict[str, float]:
        """Loss (nats a token), perplexity and bits a byte, over disjoint windows of ``block_size`` tokens."""
        scores, _ = inference.evaluate_documents(
            model,
            features,
            max_length=self.config.block_size,
            stride=self.config.block_size,
            batch_size=self.config.per_device_eval_batch_size,
            first_token_context=inference.first_token_context(model, self.tokenizer),
            progress=progress,
        )
        return {
            "loss": scores.mean_nll,
            "perplexity": scores.perplexity.value,
            "bits_per_byte": scores.bits_per_byte.value,
        }
