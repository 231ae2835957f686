"""Sequence to sequence: a text written for a text by an encoder-decoder (Vaswani et al., 2017; Raffel et al., 2020)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from torch.nn.utils.rnn import pad_sequence

from llmctl.errors import ConfigError, ModelError
from llmctl.metrics import Scores, compute
from llmctl.objectives.features import pad
from llmctl.objectives.languages import languages, set_languages, usual_prefix
from llmctl.objectives.next_token import cross_entropy
from llmctl.objectives.pairs import LearntPairs, PairFeatures, encode_side
from llmctl.objectives.task import IGNORED, Answered, Predictions, TaskObjective
from llmctl.progress import Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.sharding import is_sharded
from llmctl.tasks import Task, defaults_of

if TYPE_CHECKING:
    from llmctl.data.examples import Examples


@dataclass(frozen=True)
class Seq2Seq(TaskObjective):
    """The encoder reads a text, the decoder writes another.

    Attributes:
        prefix: said before each text to read.
        target_code: id of the token that marks the language to write, for tokenizers that have such.
        label_smoothing: share of the target's probability that is spread over the vocabulary, in training.
    """

    prefix: str = ""
    target_code: int | None = None
    label_smoothing: float = 0.0

    model_class: ClassVar[str] = MODEL_CLASSES["seq2seq"]

    @classmethod
    def for_training(cls, task: Task, config: Any, tokenizer: Any, splits: Mapping[str, "Examples"]) -> Self:
        prefix = config.prefix
        if prefix is None:
            prefix = "" if config.architecture else usual_prefix(task, config, tokenizer)
        return cls._made(
            task,
            config,
            tokenizer,
            prefix=prefix,
            target_code=set_languages(tokenizer, *languages(task, config)),
            label_smoothing=config.label_smoothing_factor,
        )

    @classmethod
    def for_model(cls, task: Task, config: Any, tokenizer: Any, model_config: Any) -> Self:
        if not model_config.is_encoder_decoder:
            raise ModelError(
                f"{model_config.model_type} models have no encoder and decoder: they cannot write a text for a text",
                hint="choose a t5, bart or marian model",
            )
        prefix = config.prefix
        if prefix is None:  # what it was fine-tuned with, see prepare
            prefix = getattr(model_config, "prefix", None)
        if prefix is None:
            prefix = usual_prefix(task, config, tokenizer)
        return cls._made(
            task,
            config,
            tokenizer,
            prefix=prefix,
            target_code=set_languages(tokenizer, *languages(task, config)),
        )

    @property
    def max_target_length(self) -> int:
        """Longest text to write, in tokens, with the one that ends it."""
        length = self.settings.max_target_length or defaults_of(self.task).max_target_length
        assert length
        return length

    def model_settings(self) -> dict[str, Any]:
        return {}

    def prepare(self, model: Any) -> None:
        """Have the model's own settings say how it is used, so that plain ``generate`` writes what we write.

        Raises:
            ConfigError: the model has too few positions for what is to be written.
        """
        positions = getattr(model.config, "max_position_embeddings", None)
        if positions and self.max_target_length > positions:
            raise ConfigError(
                f"max_target_length {self.max_target_length} is beyond the model's {positions} positions",
                hint=f"--max-target-length {positions}",
            )
        model.config.prefix = self.prefix
        for name, value in self._generation().items():
            setattr(model.generation_config, name, value)

    def account(self, splits: Mapping[str, "Examples"], progress: Progress) -> None:
        for examples in splits.values():
            progress.note(f"{examples.name}: {many(len(examples), 'example')}" + _odd(examples))
        if self.prefix:
            progress.note(f"before each text stands {self.prefix!r} (--prefix overrides)")

    def encode(self, examples: "Examples", *, progress: Progress) -> PairFeatures:
        max_length = self.settings.max_length
        assert max_length
        texts = [self.prefix + text for text in examples.column("text")]
        sources, cut = encode_side(self.tokenizer, texts, max_length)
        cut.tell(examples.name, len(sources), max_length, progress)
        if not examples.labelled:
            return PairFeatures(examples, sources, None)
        targets, cut = encode_side(
            self.tokenizer, examples.column("target"), self.max_target_length, target=True
        )
        if cut.rows:
            progress.warn(
                f"{examples.name}: {cut.rows:,} of {len(targets):,} texts to write are longer than max_target_length "
                f"{self.max_target_length} and were cut: {cut.tokens:,} tokens are not learnt"
            )
        middle, most, longest = np.quantile(targets.lengths, [0.5, 0.95, 1])
        progress.note(
            f"{examples.name}: tokens to write: median {middle:.0f}, 95 % up to {most:.0f}, longest {longest:.0f}"
        )
        return PairFeatures(examples, sources, targets)

    def training_set(self, features: PairFeatures) -> LearntPairs:
        return LearntPairs(features.examples, features.rows, features.targets)

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(examples, self.tokenizer.pad_token_id or 0)
        if "labels" in examples[0]:
            batch["labels"] = pad_sequence(
                [example["labels"] for example in examples], batch_first=True, padding_value=IGNORED
            )
        return batch

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Cross-entropy of the tokens to write, each given those before it."""
        targets = batch["labels"]
        total = cross_entropy(logits_of_targets(model, batch), targets, smoothing=self.label_smoothing)
        return total / (num_items if num_items is not None else targets.ne(IGNORED).sum())

    def answer(self, model: Any, batch: dict[str, Any]) -> Answered:
        """Write a text for each; the loss is that of the gold texts."""
        loss_sum, count = 0.0, 0
        if (targets := batch.get("labels")) is not None:
            loss_sum = float(cross_entropy(logits_of_targets(model, batch), targets))
            count = int(targets.ne(IGNORED).sum())
        written = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            # it answers when all ranks ask: as often as the longest text needs
            synced_gpus=is_sharded(model),
            **self._generation(),
        )
        texts = self.tokenizer.batch_decode(
            written, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Answered([text.strip() for text in texts], None, loss_sum, count)

    def _generation(self) -> dict[str, Any]:
        """How texts are written; what is not said here is the model's own, such as a least length."""
        settings: dict[str, Any] = {
            "max_new_tokens": self.max_target_length,
            "max_length": None,
            "do_sample": False,
            "num_beams": self.settings.num_beams,
        }
        # a checkpoint may be set up for beams, which greedy search complains of
        if self.settings.num_beams == 1:
            settings |= {"early_stopping": False, "length_penalty": 1.0}
        if self.target_code is not None:
            first = self.tokenizer(text_target="")["input_ids"][:1] == [self.target_code]
            settings["forced_bos_token_id" if first else "decoder_start_token_id"] = self.target_code
        return settings

    def gold(self, features: PairFeatures) -> list[str]:
        return features.examples.column("target")

    def judge(
        self,
        features: PairFeatures,
        predictions: Predictions,
        *,
        metrics: Sequence[str],
        num_resamples: int,
        seed: int,
    ) -> Scores:
        _, target_lang = languages(self.task, self.settings)
        return compute(
            metrics,
            predictions.answers,
            self.gold(features),
            num_resamples=num_resamples,
            seed=seed,
            target_lang=target_lang,
        )

    def record(self, features: PairFeatures, predictions: Predictions, index: int) -> dict[str, Any]:
        table = features.examples.table
        line = {"text": table.column("text")[index].as_py(), "predicted": predictions.answers[index]}
        if features.targets is not None:
            line["gold"] = table.column("target")[index].as_py()
        return line


def logits_of_targets(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """(B, T, V) logits of the texts to write."""
    logits: torch.Tensor = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=_decoder_inputs(extract_model_from_parallel(model), batch["labels"]),
        use_cache=False,
    ).logits
    return logits


def _decoder_inputs(model: Any, targets: torch.Tensor) -> torch.Tensor:
    """The targets (B, T) as the decoder reads them: one behind, as the family begins a text."""
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        shifted: torch.Tensor = model.prepare_decoder_input_ids_from_labels(labels=targets)
        return shifted
    config = model.config
    start = targets.new_full((len(targets), 1), config.decoder_start_token_id)
    before = targets[:, :-1].masked_fill(targets[:, :-1] == IGNORED, config.pad_token_id)
    return torch.cat([start, before], dim=1)


def _odd(examples: "Examples") -> str:
    """What is odd about pairs: texts that would be written as they are read."""
    if not examples.labelled:
        return ""
    same = sum(
        text == target
        for text, target in zip(examples.column("text"), examples.column("target"), strict=True)
    )
    return f", {same:,} of them to be written as they are read" if same else ""
