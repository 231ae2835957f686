"""The metrics there are, by the kind of output they judge; only the standard library is imported here.

A metric yields one or more *scores* (``rouge`` yields ``rouge1``, ``rouge2``, ...). Either may be asked for by name.
A name with a slash is a metric of the Hub. It runs that repository's code, which is to be deliberate: the name says
which commit, ``ORG/NAME@COMMIT``.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from llmctl.errors import ConfigError
from llmctl.recipe import suggestion

Family = Literal["classification", "multilabel", "regression", "tags", "text", "likelihood"]


def _averages(metric: str, *averages: str) -> tuple[str, ...]:
    return tuple(f"{metric}_{average}" for average in averages)


_PER_CLASS = {
    metric: (metric, *_averages(metric, "macro", "micro", "weighted"))
    for metric in ("f1", "precision", "recall")
}
_PER_LABEL = {
    metric: _averages(metric, "micro", "macro", "weighted") for metric in ("f1", "precision", "recall")
}
_ANSWERS = ("exact_match", "f1")
_ANSWERS_BY_GROUP = ("HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1")

# family -> metric -> the scores it can yield, in the order in which they are shown
SCORES: Mapping[Family, Mapping[str, tuple[str, ...]]] = {
    "classification": {
        "accuracy": ("accuracy",),
        **_PER_CLASS,
        "matthews_correlation": ("matthews_correlation",),
    },
    "multilabel": {"accuracy": ("accuracy",), **_PER_LABEL},
    "regression": {name: (name,) for name in ("pearsonr", "spearmanr", "mse", "mae", "r2")},
    "tags": {"seqeval": ("f1", "precision", "recall", "accuracy")},
    "text": {
        "squad": _ANSWERS + _ANSWERS_BY_GROUP,
        "squad_v2": _ANSWERS + _ANSWERS_BY_GROUP,
        "bleu": ("bleu",),
        "chrf": ("chrf",),
        "rouge": ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    },
    "likelihood": {"perplexity": ("perplexity",), "loss": ("loss",)},
}

_FAMILIES: Mapping[str, Family] = {
    "classification": "classification",
    "multilabel": "multilabel",
    "regression": "regression",
    "ner": "tags",
    "qa": "text",
    "summarization": "text",
    "translation": "text",
    "chat": "likelihood",
}

_LESS_IS_BETTER = ("loss", "perplexity", "mse", "mae")


def greater_is_better(score: str) -> bool:
    """Whether a greater value of ``score`` is a better one."""
    return score not in _LESS_IS_BETTER


def family_of(kind: str) -> Family:
    """The family of metrics that judges a kind of problem (``ner`` -> ``tags``)."""
    return _FAMILIES[kind]


def on_hub(name: str) -> bool:
    """Whether ``name`` names a metric of the Hub."""
    return "/" in name


def check_pinned(name: str) -> None:
    """Refuse a metric of the Hub whose name does not say which commit's code is to run.

    Raises:
        ConfigError: the hint shows the form.
    """
    path, _, commit = name.partition("@")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ConfigError(
            f"metric {name} is code of the Hub that would run here: it needs a commit that you trust",
            hint=f"{path}@COMMIT, with the 40 characters that its page on the Hub shows under Files, History",
        )


def resolve(names: Iterable[str], family: Family) -> dict[str, tuple[str, ...] | None]:
    """Find the metrics that ``names`` ask for; metrics of the Hub are passed over.

    Returns:
        metric -> the scores asked for one by one, or ``None``: those that it shows by itself.

    Raises:
        ConfigError: a name that is neither a metric nor a score of this family; one of the Hub without a commit.
    """
    metrics = SCORES[family]
    wanted: dict[str, tuple[str, ...] | None] = {}
    for name in names:
        if on_hub(name):
            check_pinned(name)
            continue
        if name in metrics:
            wanted[name] = None
            continue
        # What was asked for already is asked for in more detail: "squad_v2, HasAns_f1" is one metric.
        owners = [metric for metric in (*wanted, *metrics) if name in metrics[metric]]
        if not owners:
            raise _unknown(name, family)
        chosen = wanted.get(owners[0], ())
        if chosen is not None and name not in chosen:
            wanted[owners[0]] = (*chosen, name)
    return wanted


def check_names(names: Iterable[str], kind: str) -> None:
    """Refuse names that no metric for this kind of problem has.

    Raises:
        ConfigError: naming the metrics there are.
    """
    resolve(names, family_of(kind))


def _unknown(name: str, family: Family) -> ConfigError:
    metrics = SCORES[family]
    known = [*metrics, *(score for scores in metrics.values() for score in scores)]
    there_are = f"there are {', '.join(metrics)}, and ORG/NAME@COMMIT from the Hub"
    near = suggestion(name, known)
    return ConfigError(
        f"no metric {name!r} for {_OUTPUTS[family]}", hint=f"{near} {there_are}" if near else there_are
    )


_OUTPUTS: Mapping[Family, str] = {
    "classification": "classes",
    "multilabel": "sets of labels",
    "regression": "numbers",
    "tags": "tagged words",
    "text": "text",
    "likelihood": "likelihoods",
}
