"""Causal language modelling: predict the next token (Radford et al., 2018)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel

from llmctl import inference, models
from llmctl.config import GenerateConfig
from llmctl.data.blocks import Blocks, TokenizedDocuments
from llmctl.inference.scoring import hidden_states
from llmctl.metrics.intervals import Interval
from llmctl.objectives.chunked_loss import can_be_chunked, chunked_cross_entropy
from llmctl.objectives.next_token import IGNORED, cross_entropy
from llmctl.objectives.packing import check_packing
from llmctl.objectives.rows import RowExamples, rows_of
from llmctl.objectives.text import SAMPLE_TOKENS, TextObjective, TextScores, num_targets, padded
from llmctl.progress import Progress

_PROMPT_TOKENS = 6  # of a sample


@dataclass(frozen=True)
class DocumentRows(RowExamples):
    """Rows of one document each; every token but a document's first is a target, once.

    Args:
        ends: (D,) where each document ends.
    """

    ends: np.ndarray

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Row ``index``: "input_ids" and "labels", the tokens that follow, int64 (n,); -100 where the document ends."""
        tokens = self.rows[index]
        end = int(self.rows.begins[index]) + len(tokens)
        ends_here = end == self.ends[np.searchsorted(self.ends, end)]
        following = IGNORED if ends_here else int(self.rows.tokens[end])
        return {"input_ids": tokens, "labels": np.append(tokens[1:], following)}


class CausalLM(TextObjective):
    """Documents packed into blocks of ``block_size`` tokens; every token but the stream's first is a target.

    Without packing each document begins a row of its own. With ``intra_document_masking`` a token of a block sees its
    own document alone, by positions that begin anew (Zhao et al., 2024, arXiv:2402.13991).
    """

    what = "causal language model"

    def check_model(self, model: Any, name: str) -> None:
        models.check_causal(model, name)
        if self.config.intra_document_masking:
            check_packing(model, "intra_document_masking")

    def training_set(self, features: TokenizedDocuments) -> "Blocks | DocumentRows":
        if self.packs(features):
            return Blocks(features, self.config.block_size, restart=self.config.intra_document_masking)
        return DocumentRows(rows_of(features, self.config.block_size, packing=False), features.ends)

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack blocks; only the stream's last block is shorter, and its padding is no target.

        The targets are also called ``shift_labels``, as they are shifted already: Trainer counts them as they are.
        """
        labels = padded([example["labels"] for example in examples], IGNORED)
        inputs: dict[str, torch.Tensor] = {
            name: padded([example[name] for example in examples], 0)
            for name in ("input_ids", "position_ids")
            if name in examples[0]
        }
        return {**inputs, "labels": labels, "shift_labels": labels}

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy of every token, given those before it."""
        inputs = {name: value for name, value in batch.items() if not name.endswith("labels")}
        targets = batch["shift_labels"]
        if can_be_chunked(model):
            with hidden_states(model) as found:
                model(**inputs, use_cache=False)
            head = extract_model_from_parallel(model).get_output_embeddings()
            total = chunked_cross_entropy(found[0], head.weight, head.bias, targets)
        else:
            total = cross_entropy(model(**inputs, use_cache=False).logits, targets)
        return total / (num_items if num_items is not None else num_targets(targets))

    def sample(self, model: Any, features: TokenizedDocuments) -> str:
        """The first words of the first document, and how the model goes on from them."""
        begin = features.prefix_length
        words = features.tokens[begin : begin + _PROMPT_TOKENS].astype(np.int64)
        if self.reads_backwards:
            words = words[::-1]
        prompt = inference.decoded(self.tokenizer, words.tolist())
        settings = GenerateConfig(max_new_tokens=SAMPLE_TOKENS)
        written = "".join(inference.stream(model, self.tokenizer, inference.Prompt(prompt), settings, seed=0))
        return written + prompt if self.reads_backwards else prompt + written

    def judge(
        self, model: Any, features: TokenizedDocuments, *, num_resamples: int, seed: int, progress: Progress
    ) -> TextScores:
        """Loss (nats a token), perplexity and bits a byte, over disjoint windows of ``block_size`` tokens."""
        scores, _ = inference.evaluate_documents(
            model,
            features,
            max_length=self.config.block_size,
            stride=self.config.block_size,
            batch_size=self.config.per_device_eval_batch_size,
            first_token_context=inference.first_token_context(model, self.tokenizer),
            num_resamples=num_resamples,
            seed=seed,
            progress=progress,
        )
        values = {
            "loss": Interval(scores.mean_nll, None, None),
            "perplexity": scores.perplexity,
            "bits_per_byte": scores.bits_per_byte,
        }
        return TextScores(values, scores.n, "documents", scores.num_tokens, scores.signature)
