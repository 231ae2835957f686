"""What the architectures that ``transformers`` knows are made for.

Its tables say which architecture has which head. They are read off its source text: to import them takes seconds,
and a wrong word is to be answered at once.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from llmctl.errors import ConfigError
from llmctl.recipe import suggestion

# objective -> the Auto class of its models
MODEL_CLASSES = {
    "clm": "AutoModelForCausalLM",
    "rclm": "AutoModelForCausalLM",
    "mlm": "AutoModelForMaskedLM",
    "mlm+nsp": "AutoModelForPreTraining",
    "mlm+sop": "AutoModelForPreTraining",
    "chat": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
}
READS_BACKWARDS = "reads_backwards"
"""What ``config.json`` says of a model that was trained by objective ``rclm``: each text is to be reversed for it."""


def reads_backwards(model: Any) -> bool:
    """Whether a loaded model is given texts in reverse."""
    return bool(getattr(model.config, READS_BACKWARDS, False))


class _Purpose(NamedTuple):
    """What models of an Auto class do, and which architectures have such models.

    Attributes:
        table: names those that have the head.
        does: ends "it cannot ...".
        examples: names that would do.
        also: architectures that have the head beside those of the table.
        unlike: table -> why the architectures in it are no such models, although they have the head.
        alone: architecture -> why it is no such model.
    """

    table: str
    does: str
    examples: str
    also: tuple[str, ...] = ()
    unlike: Mapping[str, str] = {}
    alone: Mapping[str, str] = {}


_PURPOSES = {
    "AutoModelForCausalLM": _Purpose(
        "CAUSAL_LM",
        "predict a next token",
        "gpt2, llama, qwen2, mistral",
        unlike={"SEQ_TO_SEQ_CAUSAL_LM": "is an encoder with a decoder", "MASKED_LM": "reads text both ways"},
        alone={"xlnet": "learns tokens in permuted order, which is no objective here"},
    ),
    "AutoModelForMaskedLM": _Purpose(
        "MASKED_LM",
        "find hidden tokens",
        "bert, roberta, modernbert",
        unlike={"SEQ_TO_SEQ_CAUSAL_LM": "is an encoder with a decoder"},
    ),
    "AutoModelForPreTraining": _Purpose(
        "NEXT_SENTENCE_PREDICTION", "judge pairs of passages", "bert, albert, ernie", also=("albert",)
    ),
    "AutoModelForSeq2SeqLM": _Purpose("SEQ_TO_SEQ_CAUSAL_LM", "write a text for a text", "t5, bart, marian"),
    "AutoModelForSequenceClassification": _Purpose(
        "SEQUENCE_CLASSIFICATION", "classify a text", "bert, roberta, modernbert"
    ),
    "AutoModelForTokenClassification": _Purpose(
        "TOKEN_CLASSIFICATION", "tag words", "bert, roberta, modernbert"
    ),
    "AutoModelForQuestionAnswering": _Purpose(
        "QUESTION_ANSWERING", "find an answer in a text", "bert, roberta, modernbert"
    ),
}
_TABLE = re.compile(r"^MODEL_(?:FOR_)?(\w*?)_?MAPPING_NAMES = OrderedDict\((.*?)^\)", re.M | re.S)
_ENTRY = re.compile(r'^ {8}\(\s*"([^"]+)"', re.M)


def check_architecture(
    architecture: str, model_class: str = "AutoModelForCausalLM", *, objectives: Iterable[str] = ()
) -> None:
    """Refuse a name that the library does not know, or that has no models of ``model_class``.

    Args:
        objectives: keys of ``MODEL_CLASSES`` that could be chosen instead; those that would do are named.

    Raises:
        ConfigError: with names that would do.
    """
    purpose = _PURPOSES[model_class]
    if architecture not in set().union(*_tables().values()):
        near = suggestion(architecture, architectures_for(model_class))
        raise ConfigError(
            f"unknown architecture {architecture!r}", hint=near or f"for example: {purpose.examples}"
        )
    if why := _unfit(architecture, purpose):
        raise ConfigError(
            f"architecture {architecture!r} {why}", hint=_hint(architecture, purpose, objectives)
        )


def check_saved(
    name: str, config: Mapping[str, Any], model_class: str, *, objectives: Iterable[str] = ()
) -> None:
    """Refuse a saved model whose family has no head of ``model_class``.

    Args:
        name: of the model, for the message.
        config: its ``config.json``.
        objectives: as for :func:`check_architecture`.

    Raises:
        ConfigError: naming the family. One that the library does not know is left to its loader.
    """
    family, purpose = config.get("model_type"), _PURPOSES[model_class]
    if family not in set().union(*_tables().values()) or config.get("is_decoder"):
        return
    if why := _unfit(str(family), purpose):
        hint = _hint(str(family), purpose, objectives)
        raise ConfigError(f"{name} is a {family} model, which {why}", hint=hint)


def architectures_for(model_class: str) -> frozenset[str]:
    """The architectures whose models have the head of an Auto class."""
    purpose = _PURPOSES[model_class]
    return _tables()[purpose.table].union(purpose.also)


def ability(model_class: str) -> str:
    """What models of an Auto class do, to end "it cannot ..."."""
    return _PURPOSES[model_class].does


def _hint(architecture: str, purpose: _Purpose, objectives: Iterable[str]) -> str:
    able = [name for name in objectives if not _unfit(architecture, _PURPOSES[MODEL_CLASSES[name]])]
    examples = f"for example: {purpose.examples}"
    return f"--objective {' or '.join(able)}, or another model, {examples}" if able else examples


def _unfit(architecture: str, purpose: _Purpose) -> str | None:
    whys = [why for table, why in purpose.unlike.items() if architecture in _tables()[table]]
    if why := purpose.alone.get(architecture, next(iter(whys), None)):
        return f"{why}: it cannot {purpose.does}"
    able = _tables()[purpose.table].union(purpose.also)
    return None if architecture in able else f"cannot {purpose.does}"


@cache
def _tables() -> Mapping[str, frozenset[str]]:
    """Table -> architectures: ``CAUSAL_LM`` stands for ``MODEL_FOR_CAUSAL_LM_MAPPING_NAMES``."""
    library = find_spec("transformers")
    assert library
    assert library.submodule_search_locations
    source = Path(library.submodule_search_locations[0]) / "models" / "auto" / "modeling_auto.py"
    tables = _TABLE.findall(source.read_text(encoding="utf-8"))
    return {name: frozenset(_ENTRY.findall(body)) for name, body in tables}
