"""Extractive question answering: the answer is a span of a given text, or not there (Devlin et al., 2019)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional

from llmctl.errors import DataError
from llmctl.metrics import Scores, compute
from llmctl.metrics.answers import normalize
from llmctl.objectives.classes import outputs
from llmctl.objectives.context_windows import Frame, WindowFeatures, encode_windows
from llmctl.objectives.features import pad, padding_id
from llmctl.objectives.task import IGNORED, Answered, Predictions, TaskObjective
from llmctl.progress import SILENT, Progress, many
from llmctl.purposes import MODEL_CLASSES
from llmctl.tasks import Task, metrics_of

if TYPE_CHECKING:
    from llmctl.data.examples import Examples

# What the head's two outputs are called in the model's config: a model remembers whether it learnt to say "none".
OUTPUTS = {False: ("start", "end"), True: ("start or none", "end or none")}
NUM_BEST = 20  # spans of a window, and of an example, that are compared
_SPAN = np.dtype([("score", np.float32), ("begin", np.int32), ("end", np.int32)])


@dataclass(frozen=True)
class QuestionAnswering(TaskObjective):
    """Two scores a token: how likely the answer begins there, and how likely it ends there.

    An answer's score is the sum of the two, comparable over all windows of a context as it is not normalised in
    each. The first token of a window stands for "not here". A question has no answer when that token's score, the
    least over its windows, is above the best answer's (a threshold of 0 on SQuAD v2's score difference). This is
    asked only of models that learnt it, and of data in which some question has no answer.

    Attributes:
        no_answer: whether "no answer" is an answer.
    """

    no_answer: bool = False

    model_class: ClassVar[str] = MODEL_CLASSES["question_answering"]
    unit: ClassVar[str] = "windows"

    @classmethod
    def for_training(cls, task: Task, config: Any, tokenizer: Any, splits: Mapping[str, "Examples"]) -> Self:
        train = splits["train"]
        if _num_unanswerable(train) == len(train):
            raise DataError(
                f"{train.name}: none of {len(train):,} questions has an answer",
                hint="there is nothing to learn from it",
            )
        none = any(_num_unanswerable(examples) for examples in splits.values())
        return cls._checked(task, config, tokenizer, no_answer=none)

    @classmethod
    def for_model(cls, task: Task, config: Any, tokenizer: Any, model_config: Any) -> Self:
        return cls._checked(
            task, config, tokenizer, no_answer=model_config.id2label.get(0) == OUTPUTS[True][0]
        )

    @classmethod
    def _checked(cls, task: Task, config: Any, tokenizer: Any, *, no_answer: bool) -> Self:
        Frame.of(tokenizer)  # refuses a tokenizer that will not do, before any work
        none = no_answer or "squad_v2" in metrics_of(task)
        return cls._made(task, config, tokenizer, no_answer=none)

    def model_settings(self) -> dict[str, Any]:
        return outputs(OUTPUTS[self.no_answer])

    def account(self, splits: Mapping[str, "Examples"], progress: Progress) -> None:
        for examples in splits.values():
            contexts = len(examples.table.column("context").unique())
            told = f"{examples.name}: {many(len(examples), 'question')} about {many(contexts, 'text')}"
            if none := _num_unanswerable(examples):
                told += f", {none:,} ({none / len(examples):.1%}) without an answer"
            progress.note(told)
        if self.no_answer and not _num_unanswerable(splits["train"]):
            progress.warn(
                f"{splits['train'].name}: every question has an answer: "
                "when there is none is not learnt, but will be judged"
            )

    def encode(self, examples: "Examples", *, progress: Progress) -> WindowFeatures:
        features, account = encode_windows(self.tokenizer, examples, self.settings)
        account.tell(examples.name, len(examples), self.settings, progress)
        return features

    def collate(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack windows; "context" (B, 2) is where their contexts begin and end."""
        batch = pad(examples, padding_id(self.tokenizer))
        for name in ("context", "labels"):
            if name in examples[0]:
                batch[name] = torch.from_numpy(np.stack([example[name] for example in examples]))
        return batch

    def loss(self, model: Any, batch: dict[str, Any], num_items: Any) -> torch.Tensor:
        """Mean of the cross-entropies of where the answers begin and end."""
        total = _loss_sum(*_logits(model, batch), batch["labels"])
        return total / (num_items if num_items is not None else batch["labels"].ne(IGNORED).sum())

    def answer(self, model: Any, batch: dict[str, Any]) -> Answered:
        """The best spans of each window, the first of them "not here"."""
        start, end = _logits(model, batch)
        loss_sum, count = 0.0, 0
        if "labels" in batch:
            loss_sum = float(_loss_sum(start, end, batch["labels"]))
            count = int(batch["labels"].ne(IGNORED).sum())
        scores, begins, ends = best_spans(
            start, end, batch["context"], max_answer_length=self.settings.max_answer_length
        )
        spans = np.zeros((len(start), 1 + scores.shape[1]), dtype=_SPAN)
        spans["score"][:, 0] = (start[:, 0] + end[:, 0]).cpu()
        for name, found in (("score", scores), ("begin", begins), ("end", ends)):
            spans[name][:, 1:] = found.cpu()
        return Answered(list(spans), None, loss_sum, count)

    def predict(
        self, model: Any, features: WindowFeatures, *, progress: Progress = SILENT, with_odds: bool = False
    ) -> Predictions:
        """Answer each example by the best span of all its windows; "" for no answer."""
        found = super().predict(model, features, progress=progress)
        none = self.no_answer or _num_unanswerable(features.examples) > 0
        contexts = features.examples.column("context")
        chosen = [
            _choose(features, found.answers, index, context, no_answer=none)
            for index, context in enumerate(contexts)
        ]
        confidence = np.array([probability for _, probability in chosen])
        return Predictions([answer for answer, _ in chosen], confidence, found.loss)

    def gold(self, features: WindowFeatures) -> list[list[str]]:
        return [_texts(golds) for golds in features.examples.column("answers")]

    def judge(
        self,
        features: WindowFeatures,
        predictions: Predictions,
        *,
        metrics: Sequence[str],
        num_resamples: int,
        seed: int,
    ) -> Scores:
        """By SQuAD's rules; where a question has no answer ``squad`` follows those of v2."""
        return compute(
            metrics, predictions.answers, self.gold(features), num_resamples=num_resamples, seed=seed
        )

    def record(self, features: WindowFeatures, predictions: Predictions, index: int) -> dict[str, Any]:
        examples = features.examples
        cells = {
            name: examples.table.column(name)[index].as_py()
            for name in ("id", "question", "answers")
            if name in examples.table.column_names
        }
        line = {
            "id": cells.get("id") or examples.place(index),
            "question": cells["question"],
            "predicted": predictions.answers[index],
        }
        if predictions.confidence is not None:
            line["probability"] = round(float(predictions.confidence[index]), 6)
        if examples.labelled:
            line["gold"] = _texts(cells["answers"])
            accepted = [normalize(text) for text in line["gold"]] or [""]
            line["correct"] = normalize(line["predicted"]) in accepted
        return line


def best_spans(
    start: torch.Tensor, end: torch.Tensor, context: torch.Tensor, *, max_answer_length: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The spans of highest ``start[begin] + end[end]`` inside of the contexts, the best first.

    Args:
        start, end: (B, L) scores of each token.
        context: (B, 2) where the context begins and ends.
        max_answer_length: longest span, in tokens.

    Returns:
        Scores, begins and ends (inclusive), each (B, K) with K at most ``NUM_BEST``; the score is minus infinity
        where there are fewer spans.
    """
    length = start.shape[1]
    place = torch.arange(length, device=start.device)
    outside = (place < context[:, :1]) | (place >= context[:, 1:])
    start, end = start.masked_fill(outside, -torch.inf), end.masked_fill(outside, -torch.inf)
    width = min(max_answer_length, length)
    ends = functional.pad(end, (0, width - 1), value=-torch.inf).unfold(
        1, width, 1
    )  # [b, i, w] = end[b, i + w]
    scores, flat = (start[:, :, None] + ends).flatten(1).topk(min(NUM_BEST, length * width))
    begins = flat // width
    return scores, begins, begins + flat % width


def _choose(
    features: WindowFeatures, spans: Sequence[np.ndarray], example: int, context: str, *, no_answer: bool
) -> tuple[str, float]:
    """The answer to one example and its probability among the best ones."""
    texts: list[str] = []
    scores: list[float] = []
    for score, begin, end in _candidates(features, spans, features.windows_of(example)):
        text = context[begin:end].strip()
        if text:
            texts.append(text)
            scores.append(score)
        if len(texts) == NUM_BEST:
            break
    if no_answer:
        texts.append("")
        scores.append(min(float(spans[window]["score"][0]) for window in features.windows_of(example)))
    if not texts:
        return "", 0.0
    best = int(np.argmax(scores))  # the first of equals: an answer rather than none
    return texts[best], 1 / float(np.exp(np.array(scores) - scores[best]).sum())


def _candidates(
    features: WindowFeatures, spans: Sequence[np.ndarray], windows: range
) -> list[tuple[float, int, int]]:
    """Score, begin and end in characters of an example's spans, the best first, each once."""
    found: dict[tuple[int, int], float] = {}
    for window in windows:
        here = spans[window][1:]
        here = here[np.isfinite(here["score"])]
        begins = features.characters(window, here["begin"])[:, 0].tolist()
        ends = features.characters(window, here["end"])[:, 1].tolist()
        for score, *span in zip(here["score"].tolist(), begins, ends, strict=True):
            key = (span[0], span[1])
            found[key] = max(score, found.get(key, score))
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return [(score, begin, end) for (begin, end), score in ordered]


def _logits(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (B, L) of each token as the answer's first and last."""
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "context")}
    outputs = model(**inputs)
    length = batch["input_ids"].shape[1]  # a learnt prompt stands before the window and is scored as well
    return outputs.start_logits[:, -length:].float(), outputs.end_logits[:, -length:].float()


def _loss_sum(start: torch.Tensor, end: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(
        torch.cat([start, end]),
        torch.cat([labels[:, 0], labels[:, 1]]),
        ignore_index=IGNORED,
        reduction="sum",
    )


def _num_unanswerable(examples: "Examples") -> int:
    """Questions without an answer; none where that is not known."""
    from pyarrow import compute as arrow

    if not examples.labelled:
        return 0
    return int(
        arrow.sum(arrow.equal(arrow.list_value_length(examples.table.column("answers")), 0)).as_py() or 0
    )


def _texts(golds: Sequence[dict[str, Any]]) -> list[str]:
    return [gold["text"] for gold in golds]
