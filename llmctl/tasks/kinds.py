"""What a kind of problem and a task are, and the kinds there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Defaults:
    """What a good practitioner would choose where nothing is asked for.

    ``learning_rate`` is for ``--method full``; methods that train few weights want their own (``methods.py``).
    """

    model: str
    learning_rate: float
    num_train_epochs: float = 3.0
    per_device_train_batch_size: int = 32
    max_length: int = 128
    max_target_length: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: what ``--task`` calls it.
        objective: the module of ``llmctl.objectives`` that learns it.
        roles: canonical column -> whether every example needs it.
        metrics: metrics of ``llmctl.metrics``, the first matters most.
        metric_for_best_model: the score that decides which checkpoint is best.
        defaults: see :class:`Defaults`.
        summary: one line for ``llmctl tasks``.
    """

    name: str
    objective: str
    roles: Mapping[str, bool]
    metrics: tuple[str, ...]
    metric_for_best_model: str
    defaults: Defaults
    summary: str


@dataclass(frozen=True)
class Task:
    """A kind of problem with its data.

    Attributes:
        name: what ``--task`` calls it.
        kind: a key of :data:`KINDS`.
        data: Hub id ``org/name[:subset]``; empty for a kind's own name.
        columns: canonical column -> column of the data set; empty where the usual names find it.
        metrics: as the kind's, where the task's paper or benchmark uses others.
        metric_for_best_model: as the kind's, likewise.
        revision: of the Hub repository, where its main branch is a loading script, which ``datasets`` no longer
            runs: the Hub's own conversion stands beside it.
        train_split, validation_split: where the data set's own names do not tell them.
        examples: training examples, about, for ``llmctl tasks``.
        licence: of the data, as its card states it.
        summary: one line for ``llmctl tasks``.
        source_lang, target_lang: of a translation.
        defaults: where they differ from the kind's.
    """

    name: str
    kind: str
    data: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    metric_for_best_model: str | None = None
    revision: str | None = None
    train_split: str | None = None
    validation_split: str | None = None
    examples: int = 0
    licence: str = ""
    summary: str = ""
    source_lang: str | None = None
    target_lang: str | None = None
    defaults: Defaults | None = None


_ENCODER = "distilbert/distilbert-base-uncased"
_CASED_ENCODER = "distilbert/distilbert-base-cased"
_ENCODER_DECODER = "google-t5/t5-small"
_CHAT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

_TEXTS = {"text": True, "text_pair": False, "label": True}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="classification",
            objective="sequence_classification",
            roles=_TEXTS,
            metrics=("accuracy", "f1"),
            metric_for_best_model="accuracy",
            defaults=Defaults(_ENCODER, learning_rate=5e-5),
            summary="a class for a text or a pair of texts",
        ),
        Kind(
            name="regression",
            objective="sequence_classification",
            roles=_TEXTS,
            metrics=("pearsonr", "spearmanr", "mse"),
            metric_for_best_model="pearsonr",
            defaults=Defaults(_ENCODER, learning_rate=5e-5),
            summary="a number for a text or a pair of texts",
        ),
        Kind(
            name="multilabel",
            objective="sequence_classification",
            roles=_TEXTS,
            metrics=("f1", "accuracy"),
            metric_for_best_model="f1_micro",
            defaults=Defaults(_ENCODER, learning_rate=5e-5),
            summary="any number of labels for a text",
        ),
        Kind(
            name="ner",
            objective="token_classification",
            roles={"tokens": True, "label": True},
            metrics=("seqeval",),
            metric_for_best_model="f1",
            defaults=Defaults(
                _CASED_ENCODER, learning_rate=5e-5, per_device_train_batch_size=16, max_length=256
            ),
            summary="a tag for each word: named entities, parts of speech",
        ),
        Kind(
            name="qa",
            objective="question_answering",
            roles={"id": False, "question": True, "context": True, "answers": True},
            metrics=("squad",),
            metric_for_best_model="f1",
            defaults=Defaults(
                _ENCODER,
                learning_rate=5e-5,
                num_train_epochs=2.0,
                per_device_train_batch_size=16,
                max_length=384,
            ),
            summary="the answer to a question, as a span of a given text",
        ),
        Kind(
            name="summarization",
            objective="seq2seq",
            roles={"text": True, "target": True},
            metrics=("rouge",),
            metric_for_best_model="rougeL",
            defaults=Defaults(
                _ENCODER_DECODER,
                learning_rate=3e-4,
                per_device_train_batch_size=8,
                max_length=1024,
                max_target_length=128,
            ),
            summary="a short text for a long one",
        ),
        Kind(
            name="translation",
            objective="seq2seq",
            roles={"text": True, "target": True},
            metrics=("bleu", "chrf"),
            metric_for_best_model="bleu",
            defaults=Defaults(
                _ENCODER_DECODER, learning_rate=3e-4, per_device_train_batch_size=32, max_target_length=128
            ),
            summary="a text in another language",
        ),
        Kind(
            name="chat",
            objective="chat",
            roles={"messages": True},
            metrics=("perplexity",),
            metric_for_best_model="loss",
            defaults=Defaults(
                _CHAT_MODEL,
                learning_rate=2e-5,
                num_train_epochs=2.0,
                per_device_train_batch_size=4,
                max_length=1024,
            ),
            summary="conversations and instructions; only the assistant's turns are learnt",
        ),
    )
}
