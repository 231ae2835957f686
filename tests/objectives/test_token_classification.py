"""Tags of words: learnt at first pieces, windows put together, entities scored."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from seqeval.metrics import f1_score
from transformers import BertConfig, BertForTokenClassification

from llmctl.config import FinetuneConfig
from llmctl.data.examples import Examples, load_examples
from llmctl.errors import ConfigError, DataError, ModelError
from llmctl.models import load_tokenizer
from llmctl.objectives import task_objective
from llmctl.objectives.task import IGNORED, Predictions
from llmctl.objectives.token_classification import Tagging, TokenClassification
from llmctl.objectives.words import split_words
from llmctl.progress import SILENT
from llmctl.tasks import best_metric_of, find_task, metrics_of
from tests.data.conftest import Told

NER = find_task("ner")
SENTENCES = [
    ("Saunders met Lawrence River in Rome", "B-PER O B-PER I-PER O B-LOC"),
    ("rain fell", "O O"),
    ("New Jersey won", "B-LOC I-LOC O"),
    ("Anders Lindström slept in Atlantic City , New Jersey", "B-PER I-PER O O B-LOC I-LOC I-LOC I-LOC I-LOC"),
]
PLAIN = [("rain fell", "NOUN VERB"), ("the rain", "DET NOUN"), ("it fell there", "PRON VERB ADV")]
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def examples_of(
    rows: list[tuple[str, str]],
    *,
    name: str = "train.conll",
    labelled: bool = True,
    label_names: tuple[str, ...] | None = None,
) -> Examples:
    columns = {
        "tokens": pyarrow.array([words.split() for words, _ in rows], pyarrow.list_(pyarrow.string())),
        "line": pyarrow.array([10 * index + 1 for index in range(len(rows))], pyarrow.int64()),
    }
    if labelled:
        columns["label"] = pyarrow.array([tags.split() for _, tags in rows], pyarrow.list_(pyarrow.string()))
    return Examples(name, pyarrow.table(columns), label_names, "0", (), labelled, [(name, False)])


@pytest.fixture(scope="module")
def minilm() -> Any:
    return load_tokenizer("builtin:minilm", runs_dir=Path("runs"))


def objective_for(
    tokenizer: Any, rows: list[tuple[str, str]], validation: Examples | None = None, **settings: Any
) -> TokenClassification:
    label_names = settings.pop("label_names", None)
    config = FinetuneConfig(**{"task": "ner", "max_length": 32, "per_device_eval_batch_size": 2, **settings})
    splits = {"train": examples_of(rows, label_names=label_names)}
    if validation is not None:
        splits["validation"] = validation
    return TokenClassification.for_training(NER, config, tokenizer, splits)


def tiny_model(objective: TokenClassification, seed: int = 0) -> BertForTokenClassification:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(objective.tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **objective.model_settings(),
    )
    return BertForTokenClassification(config).eval()


def whole_batch(objective: TokenClassification, rows: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    features = objective.encode(examples_of(rows), progress=SILENT)
    return objective.collate([features[index] for index in range(len(features))])


def answers_of(objective: TokenClassification, rows: list[tuple[str, str]], odds: float = 0.9) -> Predictions:
    """Predictions that give each sentence these tags."""
    tags = [np.array([objective.labels.index(tag) for tag in given.split()]) for _, given in rows]
    return Predictions(
        [Tagging(index, np.full(len(index), odds, dtype=np.float32)) for index in tags],
        np.full(len(tags), odds),
        None,
    )


# What is learnt


def test_it_is_the_objective_of_ner() -> None:
    assert task_objective(NER) is TokenClassification


def test_labels_are_all_tags_of_the_types_in_order(minilm: Any) -> None:
    objective = objective_for(minilm, [("Rome won", "B-LOC O"), ("Anna", "B-PER")])
    assert objective.labels == LABELS
    assert objective.model_settings() == {
        "num_labels": 5,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {name: index for index, name in enumerate(LABELS)},
    }
    assert objective.task is NER
    assert objective.judged_as == "ner"


def test_a_declared_order_holds_where_iob2_can_be_written_in_it(minilm: Any) -> None:
    declared = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
    assert objective_for(minilm, SENTENCES, label_names=declared).labels == declared
    iob1 = ("I-PER", "I-LOC", "O")
    assert objective_for(minilm, [("Anna saw Rome", "I-PER O I-LOC")], label_names=iob1).labels == LABELS
    plain = ("VERB", "NOUN", "PRON", "ADV", "DET")
    assert objective_for(minilm, PLAIN, label_names=plain).labels == plain


@pytest.mark.parametrize(
    ("train", "validation", "complaint"),
    [
        ([("a b", "O O")], None, "train.conll: all words have one single tag: 'O'"),
        ([("a b", "NOUN NOUN")], None, "all words have one single tag: 'NOUN'"),
        (
            [("a b", "B-X O"), ("c", "B_X")],
            None,
            "train.conll:11: tag 'B_X' of word 1 is not O, and not B- or I-",
        ),
        ([("a b", "B-X O"), ("c d", "O B-")], None, "train.conll:11: tag 'B-' of word 2 is not O"),
        ([("a b", "B-X O"), ("c", "I-")], None, "train.conll:11: tag 'I-' of word 1 is not O"),
        ([("a b", "B-X O"), ("c", "-PER")], None, "train.conll:11: tag '-PER' of word 1 is not O"),
        ([("a b", "B-X O"), ("c", "O O")], None, "train.conll:11: 1 words, but 2 tags"),
        (
            [("a b", "B-X O")],
            [("c", "I-Y")],
            "dev.conll:1: label 'Y' is not in the training split, which has X",
        ),
        (PLAIN, [("c", "ADJ")], "dev.conll:1: label 'ADJ' is not in the training split"),
    ],
)
def test_data_without_anything_to_learn_are_refused(
    minilm: Any, train: list[tuple[str, str]], validation: list[tuple[str, str]] | None, complaint: str
) -> None:
    dev = examples_of(validation, name="dev.conll") if validation else None
    with pytest.raises(DataError, match=complaint):
        objective_for(minilm, train, dev)


def test_targets_stand_at_first_pieces(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    features = objective.encode(
        examples_of([("Lindström won", "B-PER O"), ("Rome", "B-LOC")]), progress=SILENT
    )
    row = features[0]
    assert minilm.convert_ids_to_tokens(row["input_ids"]) == [
        "[CLS]",
        "lin",
        "##ds",
        "##trom",
        "won",
        "[SEP]",
    ]
    assert row["labels"].tolist() == [IGNORED, 3, IGNORED, IGNORED, 0, IGNORED]
    assert row["answering"].tolist() == [False, True, False, False, True, False]
    batch = objective.collate([features[0], features[1]])
    assert batch["labels"][1].tolist() == [IGNORED, 1, *[IGNORED] * 4]
    assert batch["answering"][1].tolist() == [False, True, *[False] * 4]
    assert batch["attention_mask"].sum(dim=1).tolist() == [6, 3]


def test_rewritten_tags_are_told_with_their_first_place(minilm: Any) -> None:
    objective, told = objective_for(minilm, SENTENCES), Told()
    given = [("a", "O"), ("Anna Smith saw Rome", "I-PER I-PER O I-LOC")]
    features = objective.encode(examples_of(given), progress=told)
    assert objective.gold(features) == [["O"], ["B-PER", "I-PER", "O", "B-LOC"]]
    assert told.notes == [
        "train.conll: 2 of 5 tags were not in the scheme IOB2 and were rewritten, which changes no entity "
        "(first: train.conll:11: I-PER to B-PER)"
    ]


def test_the_account_counts_entities_by_type(minilm: Any) -> None:
    objective, told = objective_for(minilm, SENTENCES), Told()
    unlabelled = examples_of(SENTENCES, labelled=False)
    objective.account({"train": examples_of(SENTENCES), "test": unlabelled}, told)
    assert told.notes == [
        "train.conll: 4 sentences, 20 words, 6 entities: LOC 3 (50.0%), PER 3 (50.0%)",
    ]


def test_an_unknown_type_is_refused_with_its_line(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    dev = examples_of([("a", "O"), ("b", "B-ORG")], name="dev.conll")
    with pytest.raises(
        DataError, match=r"dev.conll:11: label 'B-ORG' is not among the 5 that are known: O, B-"
    ):
        objective.encode(dev, progress=SILENT)


# The loss


def test_the_loss_is_the_models_own(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    model, batch = tiny_model(objective), whole_batch(objective, SENTENCES)
    stock = model(**{name: value for name, value in batch.items() if name != "answering"}).loss
    torch.testing.assert_close(objective.loss(model, batch, None), stock, atol=1e-6, rtol=0)
    with torch.inference_mode():
        found = objective.answer(model, batch)
    assert found.num_targets == 20
    assert found.loss_sum / 20 == pytest.approx(stock.item(), abs=1e-6)


def test_accumulated_parts_have_the_gradient_of_the_whole(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES, class_weights="balanced", label_smoothing_factor=0.1)
    model = tiny_model(objective)
    objective.loss(model, whole_batch(objective, SENTENCES), 20).backward()
    whole = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    for part in (SENTENCES[:1], SENTENCES[1:]):
        objective.loss(model, whole_batch(objective, part), 20).backward()
    parts = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_weights_and_smoothing_belong_to_training_alone(minilm: Any) -> None:
    plain = objective_for(minilm, SENTENCES)
    weighed = objective_for(minilm, SENTENCES, class_weights="balanced", label_smoothing_factor=0.2)
    model, batch = tiny_model(plain), whole_batch(plain, SENTENCES)
    assert weighed.class_weights is not None
    occurrences = {"O": 7, "B-LOC": 3, "I-LOC": 5, "B-PER": 3, "I-PER": 2}
    assert weighed.class_weights.tolist() == pytest.approx([20 / (5 * occurrences[name]) for name in LABELS])
    logits = model(**{name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask")}).logits
    mask = batch["labels"] != IGNORED
    expected = torch.nn.functional.cross_entropy(
        logits[mask],
        batch["labels"][mask],
        weight=weighed.class_weights,
        label_smoothing=0.2,
        reduction="sum",
    )
    torch.testing.assert_close(weighed.loss(model, batch, 20), expected / 20)
    with torch.inference_mode():
        assert weighed.answer(model, batch).loss_sum == plain.answer(model, batch).loss_sum


def test_a_few_sentences_are_learnt_by_heart(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES, max_length=8)  # the last sentence needs windows
    features = objective.encode(examples_of(SENTENCES), progress=SILENT)
    assert len(features) > len(SENTENCES)
    model = tiny_model(objective).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batch = objective.collate([features[index] for index in range(len(features))])
    for _ in range(60):
        optimiser.zero_grad()
        objective.loss(model, batch, None).backward()
        optimiser.step()
    scores = objective.evaluate(model, features, progress=SILENT)
    assert scores["f1"] == scores["accuracy"] == 1.0
    assert scores["loss"] < 0.1


# Answers


def test_windows_are_put_together_in_the_order_of_the_words(minilm: Any) -> None:
    rows = [("a b c d e f g h i j k l", " ".join(["O"] * 11 + ["B-LOC"])), ("z", "B-PER"), *SENTENCES]
    objective, told = objective_for(minilm, rows, max_length=8), Told()
    examples = examples_of(rows)
    features = objective.encode(examples, progress=told)
    assert "are read in" in told.notes[0]
    model = tiny_model(objective)
    predictions = objective.predict(model, features, progress=SILENT)
    assert [len(answer.tags) for answer in predictions.answers] == [len(words.split()) for words, _ in rows]
    for row in range(len(features)):  # one window at a time gives what batches of like length gave
        with torch.inference_mode():
            one = objective.answer(model, objective.collate([features[row]])).answers[0]
        begin, end = [0, *features.words.word_ends][row], features.words.word_ends[row]
        for name in ("tags", "odds"):
            flat = np.concatenate([getattr(answer, name) for answer in predictions.answers])
            np.testing.assert_allclose(flat[begin:end], getattr(one, name), atol=1e-5)
    assert predictions.confidence is not None
    assert predictions.confidence[0] == pytest.approx(float(predictions.answers[0].odds.min()))


def test_unlabelled_sentences_are_answered(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    features = objective.encode(examples_of([*SENTENCES, ("", "")], labelled=False), progress=SILENT)
    predictions = objective.predict(tiny_model(objective), features)
    assert predictions.loss is None
    assert [len(answer.tags) for answer in predictions.answers] == [6, 2, 3, 9, 0]
    line = objective.record(features, predictions, 1)
    assert line["tokens"] == ["rain", "fell"]
    assert line.keys() == {"tokens", "predicted", "entities", "probability"}


def test_entities_are_scored_and_not_tags(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    features = objective.encode(examples_of(SENTENCES), progress=SILENT)
    guess = [
        ("", "B-PER O B-PER O O B-LOC"),  # two of three: one is too short
        ("", "O O"),
        ("", "I-LOC I-LOC O"),  # right in the lenient reading
        ("", "B-PER I-PER O O B-LOC I-LOC O B-LOC I-LOC"),
    ]
    predictions = answers_of(objective, guess)
    scores = objective.judge(features, predictions, metrics=["seqeval"], num_resamples=50, seed=0)
    gold, given = ([tags.split() for _, tags in rows] for rows in (SENTENCES, guess))
    assert scores.values["f1"].value == pytest.approx(f1_score(gold, given))
    assert scores.values["precision"].value == pytest.approx(4 / 7)
    assert scores.values["recall"].value == pytest.approx(4 / 6)
    assert scores.values["f1"].low is not None
    assert scores.details["by_type"]["PER"]["support"] == 3


def test_a_record_names_the_entities(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    features = objective.encode(examples_of(SENTENCES), progress=SILENT)
    predictions = answers_of(objective, [*SENTENCES[:2], ("", "I-LOC I-LOC O"), ("", " ".join("O" * 9))])
    predictions.answers[0].odds[:] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    line = objective.record(features, predictions, 0)
    assert line["predicted"] == line["gold"] == SENTENCES[0][1].split()
    assert line["entities"] == [
        {"type": "PER", "text": "Saunders", "start": 0, "end": 1, "probability": 0.9},
        {"type": "PER", "text": "Lawrence River", "start": 2, "end": 4, "probability": 0.6},
        {"type": "LOC", "text": "Rome", "start": 5, "end": 6, "probability": 0.4},
    ]
    assert line["gold_entities"] == [
        {name: entity[name] for name in ("type", "text", "start", "end")} for entity in line["entities"]
    ]
    lines = [objective.record(features, predictions, index) for index in range(4)]
    assert [line["correct"] for line in lines] == [True, True, True, False]


def test_entities_of_plain_text_have_their_characters(minilm: Any) -> None:
    objective = objective_for(minilm, SENTENCES)
    text = "Anna  Smith's in Rome."
    words = split_words(text)
    assert [word.text for word in words] == ["Anna", "Smith", "'s", "in", "Rome", "."]
    odds = np.array([0.9, 0.5, 1, 1, 0.75, 1], dtype=np.float32)
    answer = Tagging(np.array([3, 4, 0, 0, 1, 0]), odds)
    assert objective.found_in(text, words, answer) == [
        {"type": "PER", "text": "Anna  Smith", "start": 0, "end": 11, "probability": 0.5},
        {"type": "LOC", "text": "Rome", "start": 17, "end": 21, "probability": 0.75},
    ]


# Plain tags


def test_plain_tags_are_scored_by_word(minilm: Any) -> None:
    objective, told = objective_for(minilm, PLAIN), Told()
    assert objective.labels == ("ADV", "DET", "NOUN", "PRON", "VERB")
    assert metrics_of(objective.task) == ("accuracy", "f1")
    assert best_metric_of(objective.task) == "accuracy"
    assert objective.judged_as == "classification"
    objective.account({"train": examples_of(PLAIN)}, told)
    assert told.notes == [
        "no tag begins with B- or I-: words are scored, not entities (ADV, DET, NOUN, PRON, VERB)",
        "train.conll: 3 sentences, 7 words: ADV 1 (14.3%), DET 1 (14.3%), NOUN 2 (28.6%), PRON 1 (14.3%), "
        "VERB 2 (28.6%)",
    ]
    features = objective.encode(examples_of(PLAIN), progress=SILENT)
    predictions = answers_of(objective, [("", "NOUN VERB"), ("", "DET NOUN"), ("", "NOUN VERB ADV")])
    scores = objective.judge(
        features, predictions, metrics=metrics_of(objective.task), num_resamples=0, seed=0
    )
    assert scores.values["accuracy"].value == pytest.approx(6 / 7)
    line = objective.record(features, predictions, 2)
    assert line["correct"] is False
    assert "entities" not in line
    with pytest.raises(ConfigError, match="seqeval scores entities"):
        objective.judge(features, predictions, metrics=["seqeval"], num_resamples=0, seed=0)
    found = objective.found_in("rain fell", split_words("rain fell"), predictions.answers[0])
    assert [(one["type"], one["text"], one["start"]) for one in found] == [
        ("NOUN", "rain", 0),
        ("VERB", "fell", 5),
    ]


# Models that were trained elsewhere


def for_model(tokenizer: Any, labels: tuple[str, ...], architecture: str | None) -> TokenClassification:
    config = BertConfig(
        id2label=dict(enumerate(labels)), architectures=[architecture] if architecture else None
    )
    return TokenClassification.for_model(NER, FinetuneConfig(task="ner", max_length=32), tokenizer, config)


def test_labels_of_a_trained_model_are_its_own(minilm: Any) -> None:
    assert for_model(minilm, LABELS, "BertForTokenClassification").labels == LABELS
    assert for_model(minilm, LABELS, "BertModel").labels == LABELS  # the body below an adapter
    assert for_model(minilm, ("LABEL_0", "LABEL_1"), "BertForTokenClassification").labels[0] == "LABEL_0"


@pytest.mark.parametrize(
    ("labels", "architecture"),
    [
        (("LABEL_0", "LABEL_1"), "BertForMaskedLM"),
        (("LABEL_0", "LABEL_1"), None),
        (("bad", "good"), "BertForSequenceClassification"),
    ],
)
def test_a_model_that_does_not_tag_is_refused(
    minilm: Any, labels: tuple[str, ...], architecture: str | None
) -> None:
    with pytest.raises(ModelError, match="was not trained to tag words"):
        for_model(minilm, labels, architecture)


def test_a_model_of_another_scheme_is_scored_without_a_loss(minilm: Any) -> None:
    objective = for_model(minilm, ("O", "I-LOC", "I-PER"), "BertForTokenClassification")
    features = objective.encode(examples_of(SENTENCES[:3]), progress=SILENT)
    assert objective.predict(tiny_model(objective), features).loss is None
    predictions = answers_of(
        objective, [("", "I-PER O I-PER I-PER O I-LOC"), ("", "O O"), ("", "I-LOC I-LOC O")]
    )
    scores = objective.judge(features, predictions, metrics=["seqeval"], num_resamples=0, seed=0)
    assert scores.values["f1"].value == 1.0


# Real data


@pytest.mark.realdata
@pytest.mark.parametrize(("folder", "types", "broken"), [("wnut17", 6, 1), ("wikiann-en", 3, 0)])
def test_real_sentences_keep_every_word(
    real_data: Path, tmp_path: Path, minilm: Any, folder: str, types: int, broken: int
) -> None:
    config = FinetuneConfig(task="ner", data=str(real_data / "ner" / folder), max_length=16)
    splits = load_examples(config, NER, progress=SILENT, cache_dir=tmp_path, wanted=("validation",))
    examples = splits["validation"].select(range(800))
    objective = TokenClassification.for_training(NER, config, minilm, {"train": examples})
    assert len(objective.labels) == 2 * types + 1
    told = Told()
    features = objective.encode(examples, progress=told)
    assert len(features) > len(examples)
    assert features.lengths.max() <= 16
    assert features.words.answering.sum() == sum(map(len, examples.column("tokens")))
    gold = objective.gold(features)
    given = examples.column("label")
    rewritten = sum(one != other for one, other in zip(gold, given, strict=True))
    assert rewritten == broken  # an I- that nothing began
    assert f1_score(given, gold) == 1.0
    right = answers_of(objective, [("", " ".join(tags)) for tags in gold])
    scores = objective.judge(features, right, metrics=["seqeval"], num_resamples=0, seed=0)
    assert scores.values["f1"].value == 1.0
