"""Windows over long contexts, the best span of all of them, "no answer", and learning from both."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForQuestionAnswering,
    BertConfig,
    BertForQuestionAnswering,
    PreTrainedTokenizerFast,
)

from llmctl.config import FinetuneConfig
from llmctl.data.backends import unbounded
from llmctl.data.examples import Examples, load_examples
from llmctl.errors import ConfigError, DataError, ModelError
from llmctl.models import load_tokenizer
from llmctl.objectives import task_objective
from llmctl.objectives.context_windows import windows
from llmctl.objectives.question_answering import QuestionAnswering, best_spans
from llmctl.objectives.task import IGNORED, Predictions
from llmctl.progress import SILENT, Silent
from llmctl.tasks import find_task
from tests.tiny import byte_tokenizer  # which also sets one thread: these models are too small for two

WORDS = [
    "who",
    "what",
    "when",
    "where",
    "rain",
    "fell",
    "in",
    "the",
    "town",
    "on",
    "monday",
    "tuesday",
    "and",
]
WORDS += ["anna", "bert", "slept", "long"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def words_tokenizer(template: str = "[CLS] $A [SEP] $B:1 [SEP]:1") -> Any:
    """A token a word; segments are told."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    specials = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", template, specials)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def made_examples(rows: Sequence[tuple[str, str, Sequence[str]]], *, labelled: bool = True) -> Examples:
    """Of (question, context, answers), each answer where it first stands in the context."""
    table = {
        "id": [f"q{index}" for index in range(len(rows))],
        "question": [question for question, _, _ in rows],
        "context": [context for _, context, _ in rows],
        "line": list(range(1, len(rows) + 1)),
    }
    if labelled:
        table["answers"] = pyarrow.array(
            [
                [{"text": answer, "start": context.index(answer)} for answer in answers]
                for _, context, answers in rows
            ],
            pyarrow.list_(pyarrow.struct({"text": pyarrow.string(), "start": pyarrow.int32()})),
        )
    return Examples("dev.json", pyarrow.table(table), None, "0", (), labelled, [("dev.json", True)])


def objective_for(
    examples: Examples, tokenizer: Any = None, task: str = "qa", **settings: Any
) -> QuestionAnswering:
    config = FinetuneConfig(
        task=task, data="dev.json", **{"max_length": 16, "doc_stride": 3, "max_answer_length": 4, **settings}
    )
    tokenizer = tokenizer or words_tokenizer()
    return QuestionAnswering.for_training(find_task(task), config, tokenizer, {"train": examples})


def tiny_model(**settings: Any) -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **settings,
    )
    return BertForQuestionAnswering(config)


class Scripted(torch.nn.Module):
    """Gives the logits it was told, whatever it reads: (windows in order of the features, L) for start and end."""

    device = torch.device("cpu")

    def __init__(
        self, starts: Sequence[dict[int, float]], ends: Sequence[dict[int, float]], rows: Any
    ) -> None:
        super().__init__()
        self.known = {
            tuple(rows[index]["input_ids"].tolist()): (starts[index], ends[index])
            for index in range(len(rows))
        }

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        start, end = torch.full(input_ids.shape, -9.0), torch.full(input_ids.shape, -9.0)
        for row, (ids, mask) in enumerate(zip(input_ids, attention_mask, strict=True)):
            for logits, told in zip(
                (start, end), self.known[tuple(ids[: int(mask.sum())].tolist())], strict=True
            ):
                for place, value in told.items():
                    logits[row, place] = value
        return SimpleNamespace(start_logits=start, end_logits=end)


LONG = "rain fell in the town on monday and anna slept long and bert slept on tuesday in the town"
QUESTIONS = [
    ("when", LONG, ["on monday", "monday"]),
    ("who slept", LONG, ["bert"]),
    ("where", "rain fell in the town", ["in the town"]),
]


# Windows


@pytest.mark.parametrize(("room", "overlap"), [(1, 0), (5, 0), (5, 3), (9, 3), (9, 8)])
def test_windows_lose_no_token(room: int, overlap: int) -> None:
    for num_tokens in range(30):
        found = list(windows(num_tokens, room, overlap))
        assert {place for begin, end in found for place in range(begin, end)} == set(range(num_tokens))
        assert all(end - begin <= room for begin, end in found)
        assert all(left[1] - right[0] == overlap for left, right in itertools.pairwise(found))
        assert (len(found) == 1) == (num_tokens <= room)


def test_a_hand_checked_window() -> None:
    examples = made_examples(QUESTIONS)
    features = objective_for(examples).encode(examples, progress=SILENT)
    tokenizer = words_tokenizer()
    # "when" leaves 12 places: 19 words are two windows which share 3; "who slept" leaves 11: again two.
    assert features.example.tolist() == [0, 0, 1, 1, 2]
    read = [tokenizer.decode(features[index]["input_ids"]) for index in range(len(features))]
    assert read[0] == "[CLS] when [SEP] rain fell in the town on monday and anna slept long and [SEP]"
    assert read[1] == "[CLS] when [SEP] slept long and bert slept on tuesday in the town [SEP]"
    assert features[0]["token_type_ids"].tolist() == [0] * 3 + [1] * 13
    assert features[1]["context"].tolist() == [3, 13]
    assert features.labels is not None
    assert features.labels.tolist() == [[8, 9], [0, 0], [0, 0], [8, 8], [5, 7]]
    begin, end = features.characters(1, np.array([6, 6]))[0]
    assert LONG[begin:end] == "bert"


@pytest.mark.parametrize("max_length", [24, 64, 384])
def test_windows_equal_those_of_the_tokenizer(max_length: int) -> None:
    tokenizer = load_tokenizer("builtin:minilm", runs_dir=Path("runs"))
    context = " ".join(
        f"The {word} café cost €{index} in Zürich, didn't it?" for index, word in enumerate(WORDS)
    )
    examples = made_examples([("Where's the café?", context, ["Zürich"]), ("Is it dear?", context[:70], [])])
    features = objective_for(examples, tokenizer, max_length=max_length, doc_stride=5).encode(
        examples, progress=SILENT
    )
    backend = unbounded(tokenizer.backend_tokenizer)
    backend.enable_truncation(max_length, stride=5, strategy="only_second")
    expected = []
    for question, text in zip(examples.column("question"), examples.column("context"), strict=True):
        encoding = backend.encode(question, text)
        expected += [encoding, *encoding.overflowing]
    assert len(features) == len(expected)
    for index, encoding in enumerate(expected):
        assert features[index]["input_ids"].tolist() == encoding.ids
        assert features[index]["token_type_ids"].tolist() == encoding.type_ids
        begin, end = features[index]["context"]
        inside = [place for place, side in enumerate(encoding.sequence_ids) if side == 1]
        assert list(range(begin, end)) == inside
        found = features.characters(index, np.arange(begin, end))
        assert found.tolist() == [list(encoding.offsets[place]) for place in inside]


def test_answers_are_cut_from_the_text_by_characters_not_bytes() -> None:
    """Without special tokens, and with several tokens a character."""
    tokenizer = byte_tokenizer()
    examples = made_examples(
        [("o\u00f9?", "Der Fluss \u2014 die Aare \u2014 fließt durch Bärn. \U0001f600", ["Bärn"])]
    )
    objective = objective_for(examples, tokenizer, max_length=24, doc_stride=8, max_answer_length=8)
    features = objective.encode(examples, progress=SILENT)
    assert features.labels is not None
    window = int(features.labels[:, 0].argmax())
    first, last = features.labels[window].tolist()
    starts: list[dict[int, float]] = [{} for _ in range(len(features))]
    ends: list[dict[int, float]] = [{} for _ in range(len(features))]
    starts[window], ends[window] = {first: 9.0}, {last: 9.0}
    assert objective.predict(Scripted(starts, ends, features.rows), features).answers == ["Bärn"]
    assert last - first == 4


def test_the_account_of_what_is_odd() -> None:
    rows = [
        ("who " * 9, LONG, ["anna"]),
        ("when", LONG, ["on monday and anna slept"]),
        ("where", "rain fell in the town", ["wn"]),
        ("what", "rain \N{ZERO WIDTH SPACE} fell", ["n"]),
    ]
    examples, heard = made_examples(rows), Heard()
    objective_for(examples, doc_stride=12).encode(examples, progress=heard)
    assert heard.notes == [
        "dev.json: 4 questions became 13 windows of at most 16 tokens",  # 7 + 4 + 1 + 1
        "dev.json: doc_stride 12 leaves the windows of 2 questions too little to move on by; they overlap by less",
        "dev.json: 2 answers begin or end inside of a token; the whole token is learnt",
    ]
    assert heard.warnings == [
        "dev.json: 1 questions are longer than half a window and were cut",
        "dev.json: 1 answers are longer than max_answer_length 4 tokens and cannot be given whole",
    ]


def test_an_answer_that_no_token_holds_is_no_target() -> None:
    examples, heard = made_examples([("what", "rain   fell", ["  "]), ("when", LONG, ["monday"])]), Heard()
    objective = objective_for(examples)
    features = objective.encode(examples, progress=heard)
    assert features.labels is not None
    assert features.labels[0].tolist() == [IGNORED, IGNORED]
    assert "1 answers consist of characters that the tokenizer leaves out" in heard.warnings[0]
    batch = objective.collate([features[0], features[1]])
    model = tiny_model().eval()
    alone = objective.loss(model, objective.collate([features[1]]), None)
    assert objective.loss(model, batch, None).item() == pytest.approx(alone.item(), rel=1e-5)


def test_a_context_without_tokens_gets_an_empty_answer() -> None:
    examples = made_examples([("what", " ", []), ("when", LONG, ["monday"])], labelled=True)
    objective = objective_for(made_examples(QUESTIONS))
    predictions = objective.predict(tiny_model(), objective.encode(examples, progress=SILENT))
    assert predictions.answers[0] == ""


# Best spans


def brute_force(
    starts: np.ndarray, ends: np.ndarray, places: Sequence[tuple[int, int]], longest: int
) -> list[tuple[float, int, int, int]]:
    """Every span of every window, the best first."""
    found = [
        (float(starts[window, i] + ends[window, j]), window, i, j)
        for window, (begin, end) in enumerate(places)
        for i in range(begin, end)
        for j in range(i, min(end, i + longest))
    ]
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_best_spans_equal_brute_force(seed: int) -> None:
    draw = np.random.default_rng(seed)
    length, longest = int(draw.integers(3, 40)), int(draw.integers(1, 50))
    begin = draw.integers(0, length, 4)
    context = np.stack([begin, draw.integers(begin, length + 1)], axis=1)
    logits = draw.normal(size=(2, 4, length)).astype(np.float32)
    start, end = torch.from_numpy(logits)
    scores, begins, ends = best_spans(start, end, torch.from_numpy(context), max_answer_length=longest)
    for row in range(4):
        expected = brute_force(
            logits[0][row : row + 1], logits[1][row : row + 1], [tuple(context[row])], longest
        )
        real = torch.isfinite(scores[row])
        assert int(real.sum()) == min(len(expected), scores.shape[1])
        found = list(zip(begins[row][real].tolist(), ends[row][real].tolist(), strict=True))
        assert found == [(i, j) for _, _, i, j in expected[: len(found)]]
        assert scores[row][real].tolist() == pytest.approx([score for score, *_ in expected[: len(found)]])


@pytest.mark.parametrize("seed", range(10))
def test_answers_equal_brute_force_over_all_windows(seed: int) -> None:
    examples = made_examples(QUESTIONS)
    objective = objective_for(examples, max_length=10)
    features = objective.encode(examples, progress=SILENT)
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(2, len(features), 10)).astype(np.float32)
    told = [[dict(enumerate(row.tolist())) for row in side] for side in logits]
    predictions = objective.predict(Scripted(told[0], told[1], features.rows), features)
    assert predictions.confidence is not None
    for index, (_, context, _) in enumerate(QUESTIONS):
        own = features.windows_of(index)
        spans = brute_force(logits[0][own], logits[1][own], [tuple(features.context[w]) for w in own], 4)
        texts: dict[tuple[int, int], float] = {}
        for score, window, i, j in spans:
            begin, end = features.characters(own[window], np.array([i, j])).flat[[0, 3]]
            texts.setdefault((int(begin), int(end)), score)
        best = next(iter(texts))
        assert predictions.answers[index] == context[slice(*best)]
        kept = np.array(list(texts.values())[:20])
        assert predictions.confidence[index] == pytest.approx(1 / np.exp(kept - kept[0]).sum(), rel=1e-5)


def test_windows_are_compared_by_what_the_model_says_not_by_shares() -> None:
    examples = made_examples(QUESTIONS[:1])
    objective = objective_for(examples)
    features = objective.encode(examples, progress=SILENT)
    # In the second window one span stands out, but the first window's is higher.
    starts, ends = [{8: 5.0, 9: 4.9, 4: 4.8}, {6: 3.0}], [{9: 5.0, 4: 4.9}, {6: 3.0}]
    assert objective.predict(Scripted(starts, ends, features.rows), features).answers == ["on monday"]


def test_no_answer_is_the_least_of_its_windows_against_the_best_answer() -> None:
    rows = [("when", LONG, []), ("who", LONG, []), ("where", "rain fell in the town", ["town"])]
    examples = made_examples(rows)
    objective = objective_for(examples)
    assert objective.no_answer
    features = objective.encode(examples, progress=SILENT)
    assert features.example.tolist() == [0, 0, 1, 1, 2]
    starts: list[dict[int, float]] = [{0: 9, 9: 2}, {0: 3}, {0: 9, 9: 2}, {0: 1.5}, {0: 2, 7: 2}]
    ends: list[dict[int, float]] = [{0: 9, 9: 2}, {0: 3}, {0: 9, 9: 2}, {0: 1.5}, {0: 2, 7: 2}]
    predictions = objective.predict(Scripted(starts, ends, features.rows), features)
    assert predictions.answers == ["", "monday", "town"]  # 6 > 4; 3 < 4; a tie goes to the answer
    assert predictions.confidence is not None
    assert predictions.confidence[2] == pytest.approx(0.5, abs=0.01)
    scores = objective.judge(features, predictions, metrics=("squad",), num_resamples=0, seed=0)
    assert scores.values["exact_match"].value == pytest.approx(200 / 3)
    assert scores.values["NoAns_exact"].value == 50.0


def test_without_no_answer_the_best_span_is_given_however_poor() -> None:
    examples = made_examples(QUESTIONS[2:])
    objective = objective_for(examples)
    assert not objective.no_answer
    features = objective.encode(examples, progress=SILENT)
    model = Scripted([{0: 9, 3: -5}], [{0: 9, 4: -5}], features.rows)
    assert objective.predict(model, features).answers == ["rain fell"]


# Learning


def test_the_loss_is_the_stock_models() -> None:
    examples = made_examples([*QUESTIONS, ("what", LONG, [])])
    objective = objective_for(examples)
    features = objective.encode(examples, progress=SILENT)
    batch = objective.collate([features[index] for index in range(len(features))])
    model = tiny_model().eval()
    inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
    expected = model(
        **inputs, start_positions=batch["labels"][:, 0], end_positions=batch["labels"][:, 1]
    ).loss
    assert objective.loss(model, batch, None).item() == pytest.approx(expected.item(), abs=1e-6)
    assert objective.loss(model, batch, batch["labels"].numel()).item() == pytest.approx(
        expected.item(), abs=1e-6
    )
    assert objective.predict(model, features).loss == pytest.approx(expected.item(), abs=1e-6)


def test_accumulated_gradients_equal_those_of_one_batch() -> None:
    examples = made_examples(QUESTIONS)
    objective = objective_for(examples)
    features = objective.encode(examples, progress=SILENT)
    rows = [features[index] for index in range(len(features))]
    whole, parts = tiny_model(), tiny_model()
    objective.loss(whole, objective.collate(rows), None).backward()
    for part in (rows[:1], rows[1:3], rows[3:]):
        objective.loss(parts, objective.collate(part), 2 * len(rows)).backward()
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_a_handful_of_examples_is_learnt_by_heart(tmp_path: Path) -> None:
    examples = made_examples([*QUESTIONS, ("what", LONG, []), ("what slept", "rain fell", [])])
    objective = objective_for(examples)
    features = objective.encode(examples, progress=SILENT)
    model = tiny_model(initializer_range=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = objective.collate([features[index] for index in range(len(features))])
    for _ in range(60):
        optimizer.zero_grad()
        objective.loss(model, batch, None).backward()
        optimizer.step()
    predictions = objective.predict(model, features)
    assert predictions.answers == ["on monday", "bert", "in the town", "", ""]
    assert objective.evaluate(model, features, progress=SILENT)["f1"] == 100.0
    model.save_pretrained(tmp_path)
    again = AutoModelForQuestionAnswering.from_pretrained(tmp_path)
    reread = objective.predict(again, features)
    assert reread.answers == predictions.answers
    assert reread.loss == pytest.approx(predictions.loss)


def test_a_learnt_prompt_before_the_window_moves_no_answer() -> None:
    examples = made_examples(QUESTIONS)
    objective = objective_for(examples)
    features = objective.encode(examples, progress=SILENT)
    model = tiny_model()

    class Prompted(torch.nn.Module):
        device = model.device

        def forward(self, **inputs: Any) -> Any:
            found = model(**inputs)
            longer = torch.full((len(found.start_logits), 5), 99.0)
            return SimpleNamespace(
                start_logits=torch.cat([longer, found.start_logits], dim=1),
                end_logits=torch.cat([longer, found.end_logits], dim=1),
            )

    assert objective.predict(Prompted(), features).answers == objective.predict(model, features).answers


# Records, settings, complaints


def test_records_and_several_right_answers() -> None:
    examples = made_examples([*QUESTIONS[:2], ("what", LONG, [])])
    objective = objective_for(examples)
    features = objective.encode(examples, progress=SILENT)
    predictions = Predictions(["Monday!", "anna", ""], np.array([0.75, 0.5, 0.25]), None)
    assert objective.gold(features) == [["on monday", "monday"], ["bert"], []]
    lines = [objective.record(features, predictions, index) for index in range(3)]
    assert lines[0] == {
        "id": "q0",
        "question": "when",
        "predicted": "Monday!",
        "probability": 0.75,
        "gold": ["on monday", "monday"],
        "correct": True,
    }
    assert [line["correct"] for line in lines] == [True, False, True]
    assert json.loads(json.dumps(lines)) == lines


def test_examples_without_answers_are_answered() -> None:
    examples = made_examples([(question, context, []) for question, context, _ in QUESTIONS], labelled=False)
    objective = objective_for(made_examples(QUESTIONS))
    features = objective.encode(examples, progress=SILENT)
    predictions = objective.predict(tiny_model(), features)
    assert predictions.loss is None
    assert all(
        answer and answer in context
        for answer, (_, context, _) in zip(predictions.answers, QUESTIONS, strict=True)
    )
    assert "gold" not in objective.record(features, predictions, 0)


def test_a_model_remembers_whether_it_learnt_to_say_none(tmp_path: Path) -> None:
    tokenizer, task = words_tokenizer(), find_task("qa")
    for extra in ([], [("what", LONG, [])]):
        objective = objective_for(made_examples([*QUESTIONS, *extra]))
        tiny_model(num_labels=3).bert.save_pretrained(tmp_path)
        model = AutoModelForQuestionAnswering.from_pretrained(tmp_path, **objective.model_settings())
        model.save_pretrained(tmp_path / "saved")
        config = BertConfig.from_pretrained(tmp_path / "saved")
        again = QuestionAnswering.for_model(task, objective.settings, tokenizer, config)
        assert again.no_answer == bool(extra)
    stock = QuestionAnswering.for_model(task, objective.settings, tokenizer, BertConfig())
    assert not stock.no_answer


def test_data_with_unanswerable_questions_may_be_answered_by_none() -> None:
    objective = objective_for(made_examples(QUESTIONS))
    examples = made_examples([("what", "rain fell", [])])
    features = objective.encode(examples, progress=SILENT)
    assert objective.predict(Scripted([{0: 9}], [{0: 9}], features.rows), features).answers == [""]


def test_the_account_of_questions() -> None:
    train, heard = made_examples([*QUESTIONS, ("what", LONG, [])]), Heard()
    objective_for(train).account({"train": train}, heard)
    assert heard.notes == ["dev.json: 4 questions about 2 texts, 1 (25.0%) without an answer"]
    config = FinetuneConfig(task="qa", data="dev.json", max_length=16)
    splits = {"train": made_examples(QUESTIONS), "validation": train}
    objective = QuestionAnswering.for_training(find_task("qa"), config, words_tokenizer(), splits)
    objective.account(splits, heard)
    assert "every question has an answer" in heard.warnings[0]


def test_what_is_refused() -> None:
    examples = made_examples(QUESTIONS)
    with pytest.raises(DataError, match="none of 1 questions has an answer"):
        objective_for(made_examples([("what", LONG, [])]))
    with pytest.raises(ConfigError, match=r"max_length 4 leaves no room .* 3 special tokens"):
        objective_for(examples, max_length=4).encode(examples, progress=SILENT)
    with pytest.raises(ModelError, match="classification token behind the text"):
        objective_for(examples, words_tokenizer("$A [SEP] $B:1 [SEP]:1 [CLS]:1"))


def test_the_kind_finds_its_objective() -> None:
    assert task_objective(find_task("qa")) is QuestionAnswering


@pytest.mark.realdata
def test_xquad(real_data: Path, tmp_path: Path) -> None:
    """Every gold answer is cut back from the tokens it is learnt by."""
    config = FinetuneConfig(task="qa", data=str(real_data / "xquad"), max_length=128, doc_stride=32)
    task = find_task("qa")
    splits = load_examples(config, task, progress=SILENT, cache_dir=tmp_path)
    tokenizer = load_tokenizer("builtin:minilm", runs_dir=Path("runs"))
    objective = QuestionAnswering.for_training(task, config, tokenizer, splits)
    heard = Heard()
    features = objective.encode(splits["train"], progress=heard)
    assert features.labels is not None
    contexts, golds = splits["train"].column("context"), objective.gold(features)
    found: dict[int, str] = {}
    for window in np.flatnonzero(features.labels[:, 1]):
        example = int(features.example[window])
        begin, end = features.characters(int(window), features.labels[window]).flat[[0, 3]]
        found.setdefault(example, contexts[example][begin:end].strip())
    exact = sum(text == golds[example][0] for example, text in found.items())
    widened = sum(golds[example][0] in text for example, text in found.items())
    assert len(found) >= 0.99 * len(contexts)  # the others are longer than what windows share
    assert widened == len(found)
    assert exact >= 0.98 * len(found)
    scores = objective.judge(
        features,
        Predictions([gold[0] for gold in golds], None, None),
        metrics=("squad",),
        num_resamples=100,
        seed=0,
    )
    assert math.isclose(scores.values["exact_match"].value, 100.0)
    assert not heard.warnings
