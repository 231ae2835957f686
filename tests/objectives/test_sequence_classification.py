"""Classes, sets of labels and numbers of texts: what is learnt, answered and told."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from llmctl.config import FinetuneConfig
from llmctl.data.examples import Examples
from llmctl.errors import DataError, ModelError
from llmctl.objectives import task_objective
from llmctl.objectives.sequence_classification import SequenceClassification
from llmctl.objectives.task import Predictions, batches_by_length
from llmctl.progress import SILENT
from llmctl.tasks import find_task
from tests.data.conftest import Told
from tests.tiny import bert, word_tokenizer

WORDS = ["the", "film", "plot", "was", "good", "bad", "long", "dull", "fine", "and", "not"]
TEXTS = [
    "the film was good",
    "bad",
    "the film was not good and the plot was bad and dull",
    "fine and good",
    "the plot was long",
    "dull dull dull",
    "good not bad",
]
LABELS: dict[str, list[Any]] = {
    "classification": ["pos", "neg", "neg", "pos", "mixed", "neg", "pos"],
    "multilabel": [["pos"], ["neg"], ["neg", "long"], [], ["long"], ["neg"], ["pos", "neg"]],
    "regression": [0.9, -0.8, -0.25, 1.0, 0.0, -1.0, 0.5],
}
KINDS = list(LABELS)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer(WORDS)


def examples_of(
    labels: list[Any] | None,
    texts: list[str] | None = None,
    *,
    pairs: list[str] | None = None,
    name: str = "train.tsv",
    label_names: tuple[str, ...] | None = None,
) -> Examples:
    texts = texts or (TEXTS if labels is None else TEXTS[: len(labels)])
    columns = {"text": texts, "line": list(range(1, len(texts) + 1))}
    if pairs is not None:
        columns["text_pair"] = pairs
    if labels is not None:
        columns["label"] = labels
    table = pyarrow.table(columns)
    return Examples(name, table, label_names, "0", (), labels is not None, [(name, False)])


def objective_for(
    tokenizer: Any,
    kind: str = "classification",
    train: Examples | None = None,
    validation: Examples | None = None,
    **settings: Any,
) -> SequenceClassification:
    config = FinetuneConfig(**{"task": kind, "max_length": 32, "per_device_eval_batch_size": 2, **settings})
    splits = {"train": train or examples_of(LABELS[kind])}
    if validation is not None:
        splits["validation"] = validation
    return SequenceClassification.for_training(find_task(kind), config, tokenizer, splits)


def model_for(objective: SequenceClassification) -> Any:
    return bert(objective.tokenizer, **objective.model_settings())


def batch_of(objective: SequenceClassification, examples: Examples) -> dict[str, torch.Tensor]:
    features = objective.encode(examples, progress=SILENT)
    return objective.collate([features[index] for index in range(len(features))])


def whole_batch(objective: SequenceClassification) -> dict[str, torch.Tensor]:
    return batch_of(objective, examples_of(LABELS[objective.task.kind]))


def logits_of(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**{name: value for name, value in batch.items() if name != "labels"}).logits


# What is learnt


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_objective_of_three_kinds(kind: str) -> None:
    assert task_objective(find_task(kind)) is SequenceClassification


def test_classes_stand_in_the_order_of_the_source_else_of_number_or_alphabet(tokenizer: Any) -> None:
    assert objective_for(tokenizer).labels == ("mixed", "neg", "pos")
    assert objective_for(tokenizer, "multilabel").labels == ("long", "neg", "pos")
    assert objective_for(tokenizer, "regression").labels == ("score",)
    numbers = examples_of(["10", "9", "-1", "x", "2.5"])
    assert objective_for(tokenizer, train=numbers).labels == ("-1", "2.5", "9", "10", "x")
    declared = examples_of(["pos", "neg"], label_names=("pos", "never", "neg"))
    assert objective_for(tokenizer, train=declared).labels == ("pos", "never", "neg")


def test_the_models_config_says_what_it_is(tokenizer: Any) -> None:
    assert objective_for(tokenizer).model_settings() == {
        "num_labels": 3,
        "id2label": {0: "mixed", 1: "neg", 2: "pos"},
        "label2id": {"mixed": 0, "neg": 1, "pos": 2},
        "problem_type": "single_label_classification",
    }
    assert objective_for(tokenizer, "regression").model_settings()["num_labels"] == 1


def test_targets(tokenizer: Any) -> None:
    def targets(kind: str) -> Any:
        return whole_batch(objective_for(tokenizer, kind))["labels"]

    assert targets("classification").tolist() == [2, 1, 1, 2, 0, 1, 2]
    assert targets("multilabel").tolist() == [
        *([0, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1])
    ]
    assert targets("regression").tolist() == pytest.approx(LABELS["regression"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_stock_models(tokenizer: Any, kind: str) -> None:
    objective = objective_for(tokenizer, kind)
    model, batch = model_for(objective), whole_batch(objective)
    ours = objective.loss(model, batch, None)
    assert ours.item() == pytest.approx(model(**batch).loss.item(), abs=1e-6)
    predictions = objective.predict(model, objective.encode(examples_of(LABELS[kind]), progress=SILENT))
    assert predictions.loss == pytest.approx(ours.item(), abs=1e-6)


def test_label_smoothing_is_torchs(tokenizer: Any) -> None:
    objective = objective_for(tokenizer, label_smoothing_factor=0.1)
    model, batch = model_for(objective), whole_batch(objective)
    expected = functional.cross_entropy(logits_of(model, batch), batch["labels"], label_smoothing=0.1)
    assert objective.loss(model, batch, None).item() == pytest.approx(expected.item(), abs=1e-6)


def test_label_smoothing_of_several_labels_moves_each_towards_a_half(tokenizer: Any) -> None:
    objective = objective_for(tokenizer, "multilabel", label_smoothing_factor=0.2)
    model, batch = model_for(objective), whole_batch(objective)
    odds = logits_of(model, batch).sigmoid()
    targets = batch["labels"] * 0.8 + 0.1
    expected = -(targets * odds.log() + (1 - targets) * (1 - odds).log()).mean()
    assert objective.loss(model, batch, None).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_those_of_scikit_learn(tokenizer: Any, smoothing: float) -> None:
    objective = objective_for(tokenizer, class_weights="balanced", label_smoothing_factor=smoothing)
    model, batch = model_for(objective), whole_batch(objective)
    weights = compute_class_weight("balanced", classes=np.arange(3), y=batch["labels"].numpy())
    assert objective.class_weights is not None
    assert objective.class_weights.tolist() == pytest.approx(weights.tolist())
    expected = functional.cross_entropy(
        logits_of(model, batch),
        batch["labels"],
        weight=torch.tensor(weights, dtype=torch.float32),
        label_smoothing=smoothing,
    )  # over all examples its weights sum to their number
    assert objective.loss(model, batch, None).item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_declared_class_without_examples_weighs_nothing(tokenizer: Any) -> None:
    train = examples_of(["pos", "neg", "neg"], label_names=("pos", "never", "neg"))
    objective = objective_for(tokenizer, train=train, class_weights="balanced")
    assert objective.class_weights is not None
    assert objective.class_weights.tolist() == [1.5, 0.0, 0.75]


@pytest.mark.parametrize("options", [{"class_weights": "balanced"}, {"label_smoothing_factor": 0.1}])
def test_weights_and_smoothing_belong_to_training_alone(tokenizer: Any, options: dict[str, Any]) -> None:
    examples = examples_of(LABELS["classification"])
    losses = []
    for settings in ({}, options):
        objective = objective_for(tokenizer, **settings)
        features = objective.encode(examples, progress=SILENT)
        losses.append(objective.predict(model_for(objective), features).loss)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_gradients_are_those_of_one_big_batch(tokenizer: Any, kind: str) -> None:
    objective = objective_for(tokenizer, kind)
    batch = whole_batch(objective)
    num_items = batch["labels"].ne(-100).sum()  # as Trainer counts them over all accumulated batches
    gradients = []
    for parts in ([slice(0, 7)], [slice(0, 3), slice(3, 4), slice(4, 7)]):
        model = model_for(objective)
        for part in parts:
            objective.loss(model, {name: value[part] for name, value in batch.items()}, num_items).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for whole, summed in zip(*gradients, strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_handful_of_examples_is_learnt_by_heart(tokenizer: Any, kind: str) -> None:
    objective = objective_for(tokenizer, kind)
    model, batch = model_for(objective).train(), whole_batch(objective)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = objective.loss(model, batch, None)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    scores = objective.evaluate(
        model, objective.encode(examples_of(LABELS[kind]), progress=SILENT), progress=SILENT
    )
    best = {"classification": "accuracy", "multilabel": "accuracy", "regression": "pearsonr"}[kind]
    assert scores[best] > 0.99
    assert scores["loss"] < 0.05


# What becomes of the texts


def test_pairs_are_encoded_together(tokenizer: Any) -> None:
    train = examples_of(LABELS["classification"], pairs=TEXTS[::-1])
    batch = batch_of(objective_for(tokenizer, train=train), train)
    expected = tokenizer(TEXTS, TEXTS[::-1], padding=True, return_tensors="pt")
    assert all(torch.equal(batch[name], expected[name]) for name in expected)
    assert batch["token_type_ids"].max() == 1


def test_what_is_cut_is_counted(tokenizer: Any) -> None:
    """[CLS], twelve words, [SEP] are 14 tokens; [CLS] fine and good [SEP] are 5."""
    told = Told()
    objective = objective_for(tokenizer, max_length=6)
    features = objective.encode(examples_of(["neg", "pos"], [TEXTS[2], TEXTS[3]]), progress=told)
    assert features.lengths.tolist() == [6, 5]
    assert tokenizer.decode(features[0]["input_ids"]) == "[CLS] the film was not [SEP]"
    assert told.notes == [
        "train.tsv: 1 of 2 examples are longer than max_length 6 and were cut: 8 tokens are not read"
    ]


def test_batches_by_length_hold_each_index_once_the_longest_first() -> None:
    lengths = np.array([3, 9, 1, 9, 4, 7, 2, 5, 9, 1])
    batches = list(batches_by_length(lengths, 4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))
    assert batches[0].tolist() == [1, 3, 8, 5]
    assert [lengths[batch].tolist() for batch in batches[1:]] == [[5, 4, 3, 2], [1, 1]]
    assert list(batches_by_length(np.array([], dtype=np.int64), 4)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_sorted_batches_answer_as_one_text_at_a_time(tokenizer: Any, kind: str) -> None:
    objective = objective_for(tokenizer, kind, per_device_eval_batch_size=3)
    model = model_for(objective)
    features = objective.encode(examples_of(LABELS[kind]), progress=SILENT)
    together = objective.predict(model, features, with_odds=True)
    for index in range(len(features)):
        row = {name: torch.as_tensor(value)[None] for name, value in features[index].items()}
        del row["labels"]
        logits = model(**row).logits[0].detach()
        if kind == "regression":
            assert together.answers[index] == pytest.approx(logits.item(), abs=1e-6)
            continue
        assert together.odds is not None
        odds = logits.softmax(-1) if kind == "classification" else logits.sigmoid()
        np.testing.assert_allclose(together.odds[index], odds.numpy(), atol=1e-6)
        if kind == "classification":
            assert together.answers[index] == int(odds.argmax())
            assert together.confidence is not None
            assert together.confidence[index] == pytest.approx(odds.max().item(), abs=1e-6)
        else:
            assert together.answers[index].tolist() == (odds > 0.5).tolist()


def test_predicting_leaves_the_model_as_it_was_and_knows_no_loss_without_labels(tokenizer: Any) -> None:
    objective = objective_for(tokenizer)
    model = model_for(objective).train()
    features = objective.encode(examples_of(None), progress=SILENT)
    found = objective.predict(model, features)
    assert model.training
    assert features.labels is None
    assert found.loss is None
    assert found.odds is None
    assert len(found.answers) == len(TEXTS)


# Labels that do not fit


def test_an_unknown_label_is_told_with_its_place(tokenizer: Any) -> None:
    objective = objective_for(tokenizer)
    with pytest.raises(
        DataError, match=r"^dev.tsv:2: label 'good' is not among the 3 that are known: mixed, neg, pos$"
    ):
        objective.encode(examples_of(["pos", "good"], name="dev.tsv"), progress=SILENT)
    several = objective_for(tokenizer, "multilabel")
    with pytest.raises(DataError, match=r"^dev.tsv:1: label 'short'"):
        several.encode(examples_of([["neg", "short"]], name="dev.tsv"), progress=SILENT)


@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        ("classification", ["pos", "pos", "pos"], "all examples have one single label: 'pos'"),
        ("multilabel", [[], [], []], "train.tsv: no example has a label"),
    ],
)
def test_where_there_is_nothing_to_learn(tokenizer: Any, kind: str, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        objective_for(tokenizer, kind, examples_of(labels))


def test_a_label_of_the_validation_split_alone_is_refused(tokenizer: Any) -> None:
    validation = examples_of(["neg", "good"], name="dev.tsv")
    with pytest.raises(
        DataError, match=r"dev.tsv:2: label 'good' is not in the training split, which has mixed"
    ):
        objective_for(tokenizer, validation=validation)
    declared = examples_of(LABELS["classification"], label_names=("neg", "pos", "mixed", "good"))
    assert "good" in objective_for(tokenizer, train=declared, validation=validation).labels


def model_config(*names: str, problem_type: str | None = None) -> Any:
    return SimpleNamespace(id2label=dict(enumerate(names)), num_labels=len(names), problem_type=problem_type)


def for_model(tokenizer: Any, kind: str, config: Any) -> SequenceClassification:
    return SequenceClassification.for_model(find_task(kind), FinetuneConfig(max_length=32), tokenizer, config)


def test_a_trained_model_tells_its_labels(tokenizer: Any) -> None:
    assert for_model(tokenizer, "classification", model_config("neg", "pos")).labels == ("neg", "pos")
    assert for_model(tokenizer, "regression", model_config("LABEL_0")).labels == ("LABEL_0",)
    several = model_config("a", "b", problem_type="multi_label_classification")
    assert for_model(tokenizer, "multilabel", several).labels == ("a", "b")
    with pytest.raises(
        ModelError, match="trained for multi label classification, the task is classification"
    ):
        for_model(tokenizer, "classification", several)
    with pytest.raises(ModelError, match="trained for regression, the task is classification"):
        for_model(tokenizer, "classification", model_config("LABEL_0"))


@pytest.mark.parametrize(
    ("model_names", "data_names", "labels", "expected"),
    [
        # the library's own names mean nothing: the data's declared order, or its numbers
        (("LABEL_0", "LABEL_1"), ("neg", "pos"), ["pos", "neg"], ("neg", "pos")),
        (("LABEL_0", "LABEL_1"), None, ["1", "0"], ("0", "1")),
        (("LABEL_0", "LABEL_1", "LABEL_2"), None, ["2", "0"], ("0", "1", "2")),
        # numbered data for a model that names its classes
        (("neg", "pos"), None, ["0", "1", "1"], ("0", "1")),
        # the same names in another order, or in capitals
        (("neg", "pos"), ("pos", "neg"), ["pos", "neg"], ("neg", "pos")),
        (("NEGATIVE", "POSITIVE"), ("negative", "positive"), ["positive"], ("negative", "positive")),
        (("POSITIVE", "NEGATIVE"), ("negative", "positive"), ["positive"], ("positive", "negative")),
        # nothing tells which is which
        (("neg", "pos"), None, ["bad", "good"], ("neg", "pos")),
        (("LABEL_0", "LABEL_1"), None, ["bad", "good"], ("LABEL_0", "LABEL_1")),
        (("LABEL_0", "LABEL_1"), ("a", "b", "c"), ["a", "b"], ("LABEL_0", "LABEL_1")),
        (("neg", "pos"), None, ["1", "2"], ("neg", "pos")),
    ],
)
def test_classes_that_model_and_data_call_differently(
    tokenizer: Any,
    model_names: tuple[str, ...],
    data_names: tuple[str, ...] | None,
    labels: list[str],
    expected: tuple[str, ...],
) -> None:
    told = Told()
    objective = for_model(tokenizer, "classification", model_config(*model_names))
    found = objective.aligned(examples_of(labels, name="dev.tsv", label_names=data_names), told)
    assert found.labels == expected
    by_number = expected != model_names and "NEGATIVE" not in model_names
    assert bool(told.notes) == by_number


def test_the_names_are_told_one_for_the_other(tokenizer: Any) -> None:
    told = Told()
    objective = for_model(tokenizer, "classification", model_config("LABEL_0", "LABEL_1"))
    objective.aligned(examples_of(["0", "1"], name="dev.tsv"), told)
    assert told.notes == ["dev.tsv: the model's classes by their numbers: 0 for LABEL_0, 1 for LABEL_1"]


# What is told and written down


def test_the_account_says_how_often_each_label_occurs(tokenizer: Any) -> None:
    for kind, expected in {
        "classification": "mixed 1 (14.3%), neg 3 (42.9%), pos 3 (42.9%)",
        "multilabel": "long 2 (28.6%), neg 4 (57.1%), pos 2 (28.6%)",
        "regression": "-1 to 1, mean 0.05",
    }.items():
        told = Told()
        objective_for(tokenizer, kind).account({"train": examples_of(LABELS[kind])}, told)
        assert told.notes == [f"train.tsv: 7 examples: {expected}"]


def recorded(tokenizer: Any, kind: str, predictions: Predictions, examples: Examples) -> list[dict[str, Any]]:
    objective = objective_for(tokenizer, kind)
    features = objective.encode(examples, progress=SILENT)
    return [objective.record(features, predictions, index) for index in range(len(features))]


def test_a_line_of_a_class(tokenizer: Any) -> None:
    odds = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    predictions = Predictions([2, 0], odds.max(axis=1), None, odds)
    examples = examples_of(["pos", "neg"], pairs=["fine", "dull"])
    first, second = recorded(tokenizer, "classification", predictions, examples)
    assert first == {
        "text": "the film was good",
        "text_pair": "fine",
        "predicted": "pos",
        "probability": 0.7,
        "probabilities": {"mixed": 0.1, "neg": 0.2, "pos": 0.7},
        "gold": "pos",
        "correct": True,
    }
    assert (second["predicted"], second["gold"], second["correct"]) == ("mixed", "neg", False)


def test_a_line_of_several_labels(tokenizer: Any) -> None:
    """Gold labels may stand in any order; it is sure as the product of its single answers."""
    answers = [np.array([True, True, False]), np.array([False, False, False])]
    examples = examples_of([["neg", "long"], ["pos"]])
    lines = recorded(tokenizer, "multilabel", Predictions(answers, np.array([0.5, 0.9]), None), examples)
    assert [(line["predicted"], line["gold"], line["correct"]) for line in lines] == [
        (["long", "neg"], ["neg", "long"], True),
        ([], ["pos"], False),
    ]
    assert "probabilities" not in lines[0]


def test_sets_of_labels_are_as_sure_as_all_their_answers(tokenizer: Any) -> None:
    objective = objective_for(tokenizer, "multilabel")
    features = objective.encode(examples_of(None), progress=SILENT)
    found = objective.predict(model_for(objective), features, with_odds=True)
    assert found.odds is not None
    assert found.confidence is not None
    np.testing.assert_allclose(
        found.confidence, np.maximum(found.odds, 1 - found.odds).prod(axis=1), atol=1e-6
    )


def test_a_line_of_a_number(tokenizer: Any) -> None:
    (line,) = recorded(tokenizer, "regression", Predictions([0.1234567], None, None), examples_of([0.5]))
    assert line == {"text": "the film was good", "predicted": 0.123457, "gold": 0.5}


def test_a_line_without_a_label(tokenizer: Any) -> None:
    examples = examples_of(None, ["good"])
    (line,) = recorded(tokenizer, "classification", Predictions([1], np.array([0.6]), None), examples)
    assert line == {"text": "good", "predicted": "neg", "probability": 0.6}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_judged(tokenizer: Any, kind: str) -> None:
    """All right but the last."""
    objective = objective_for(tokenizer, kind)
    features = objective.encode(examples_of(LABELS[kind]), progress=SILENT)
    gold = objective.gold(features)
    wrong = {"classification": 0, "multilabel": np.array([True, True, True]), "regression": 1.5}[kind]
    answers = [*gold[:-1], wrong]
    metric = {"classification": "accuracy", "multilabel": "accuracy", "regression": "mse"}[kind]
    scores = objective.judge(
        features, Predictions(answers, None, None), metrics=(metric,), num_resamples=100, seed=0
    )
    score = scores.values[metric]
    assert score.value == pytest.approx(1 / 7 if kind == "regression" else 6 / 7)
    assert score.low is not None
    assert score.high is not None
    assert score.low <= score.value <= score.high
    if kind == "classification":
        assert scores.details["label_names"] == ["mixed", "neg", "pos"]
        assert scores.details["confusion_matrix"] == [[1, 0, 0], [0, 3, 0], [1, 0, 2]]


def test_evaluate_gives_the_loss_and_the_tasks_scores(tokenizer: Any) -> None:
    objective = objective_for(tokenizer)
    features = objective.encode(examples_of(LABELS["classification"]), progress=SILENT)
    model = model_for(objective)
    found = objective.evaluate(model, features, progress=SILENT)
    assert list(found) == ["loss", "accuracy", "f1_macro", "f1_micro", "f1_weighted"]
    asked = replace(objective.task, metrics=("matthews_correlation",), metric_for_best_model="recall_macro")
    found = replace(objective, task=asked).evaluate(model, features, progress=SILENT)
    assert list(found) == ["loss", "matthews_correlation", "recall_macro"]


def test_every_number_counts_as_a_target(tokenizer: Any) -> None:
    """Trainer counts none of -100."""
    train = examples_of([-100.0, 3.0, -100.0])
    objective = objective_for(tokenizer, "regression", train)
    features = objective.encode(train, progress=SILENT)
    labels = objective.collate([features[row] for row in range(3)])["labels"]
    assert labels.ne(-100).all()
    assert labels.tolist() == pytest.approx([-100.0, 3.0, -100.0], abs=1e-5)
    assert objective.gold(features).tolist() == [-100.0, 3.0, -100.0]
