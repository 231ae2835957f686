"""Text of several sources in a training: made one training set, told before it, accounted for after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llmctl.config import PretrainConfig
from llmctl.data.mixture import ingredients
from llmctl.errors import DataError
from llmctl.progress import SILENT, Progress, many

if TYPE_CHECKING:
    from llmctl.data.blocks import TokenizedDocuments
    from llmctl.data.documents import Documents
    from llmctl.objectives.text import TextObjective
    from llmctl.workflows.stage import Prepared


@dataclass(frozen=True)
class Seen:
    """What a training sees of one of several sources.

    Attributes:
        weight: as it was asked for; ``None``: all of the source in each epoch.
        tokens: seen, each as often as it is seen.
        epochs: how often all of the source is seen; of a stream whole ones only.
        scores: of the source's own validation text; empty where there is none.
    """

    source: str
    weight: float | None
    tokens: int
    epochs: float
    scores: dict[str, float] = field(default_factory=dict)


def training_set(
    config: PretrainConfig, objective: "TextObjective", documents: "Documents", progress: Progress
) -> Any:
    """The training examples of one source, or of several in their shares.

    Raises:
        DataError: a source holds nothing to learn from.
    """
    if not documents.parts:
        return objective.training_set(objective.encode(documents, progress=progress))
    from llmctl.training import Mixture

    parts = {
        source: objective.training_set(objective.encode(part, progress=progress))
        for source, part in documents.parts.items()
    }
    for source, examples in parts.items():
        if not len(examples):
            raise DataError(f"{source}: holds nothing to learn from", hint="leave it out, or give more text")
    weights = [part.weight for part in ingredients(config.data)]
    shares = [weight for weight in weights if weight is not None]  # all or none, as they were checked
    return Mixture(parts, shares or None, config.seed)


def seen(config: PretrainConfig, examples: Any, steps: int) -> tuple[Seen, ...]:
    """What so many steps see of each of several sources; empty for one source."""
    from llmctl import training

    if isinstance(examples, training.Stream):
        return tuple(
            Seen(source, weight, examples.seen[source], float(examples.passes_of(source)))
            for source, weight in ingredients(config.data)
            if source in examples.seen and weight is not None
        )
    if not isinstance(examples, training.Mixture):
        return ()
    epochs, rest = divmod(steps, training.steps_an_epoch(config, len(examples)))
    order = training.order_of(examples, config.per_device_train_batch_size, config.seed)
    tokens = examples.tokens_seen(order, epochs, rest * training.examples_a_step(config))
    return tuple(
        Seen(source, weight, int(count), round(int(count) / part.examples.num_tokens, 4))
        for (source, weight), count, part in zip(
            ingredients(config.data), tokens, examples.parts, strict=True
        )
    )


def tell(config: PretrainConfig, examples: Any, steps: int, progress: Progress) -> None:
    """Say before a training what it will see of each of several sources."""
    from llmctl import training

    if isinstance(examples, training.Stream):
        parts = [part for part in ingredients(config.data) if part.weight is not None]
        total = sum(part.weight or 0.0 for part in parts)
        for source, weight in parts:
            progress.note(f"{source}: {100 * (weight or 0.0) / total:.1f} % of the tokens")
        return
    account = seen(config, examples, steps)
    if account and account[0].weight is not None:
        progress.note(
            f"an epoch of the mixture: {examples.num_tokens:,} tokens, as many as its sources have together"
        )
    total = sum(part.tokens for part in account)
    for part, (own, _) in zip(account, examples.parts if account else (), strict=True):
        progress.note(
            f"{part.source}: {part.tokens:,} tokens in all ({100 * part.tokens / total:.1f} %), "
            f"{part.epochs:.2f} epochs of its {own.num_tokens:,}"
        )


def by_source(
    documents: "Documents | None", features: "TokenizedDocuments | None"
) -> Mapping[str, "TokenizedDocuments"]:
    """The tokens of each of several sources, out of those of all; empty for one source."""
    found: dict[str, TokenizedDocuments] = {}
    if documents is None or features is None:
        return found
    first = 0
    for source, part in documents.parts.items():
        found[source] = features.part(first, first + part.num_documents)
        first += part.num_documents
    return found


def judged(account: Sequence[Seen], ready: "Prepared", model: Any) -> tuple[Seen, ...]:
    """The account with the scores of each source's own validation text."""

    def scores(source: str) -> dict[str, float]:
        features = ready.validation_by_source.get(source)
        try:
            found: dict[str, float] = (
                ready.objective.evaluate(model, features, progress=SILENT) if features else {}
            )
        except DataError:  # too little of this source to judge by alone
            return {}
        return found

    return tuple(replace(part, scores=scores(part.source)) for part in account)


def described(config: PretrainConfig, account: Sequence[Seen]) -> str:
    """The sources as a model card has them."""
    if not account:
        return f"`{ingredients(config.data)[0].source}`"
    return ", ".join(
        f"`{part.source}` ({many(part.tokens, 'token')}, {part.epochs:.2f} epochs)" for part in account
    )
