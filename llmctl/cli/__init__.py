"""The command line: the only layer that prints, asks and exits.

``COMMANDS`` is the one list of commands. It is plain data, so that ``llmctl --help`` imports nothing else.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """One command: the module under ``llmctl.cli`` and the ``Verb`` there that carries it out."""

    group: str
    module: str
    verb: str
    summary: str


COMMANDS = {
    "tokenizer train": Command("Prepare", "tokenizer", "TRAIN", "train a tokenizer on your text"),
    "tokenizer inspect": Command(
        "Prepare", "tokenizer", "INSPECT", "see how tokenizers cut your text, side by side"
    ),
    "tasks": Command("Prepare", "tasks", "LIST", "list the tasks and kinds of problems to fine-tune for"),
    "pretrain": Command(
        "Train", "pretrain", "PRETRAIN", "train a language model, from scratch or from another"
    ),
    "finetune": Command(
        "Train",
        "finetune",
        "FINETUNE",
        "teach a model a task: classification, NER, QA, translation, chat, ...",
    ),
    "eval": Command("Judge", "eval", "EVAL", "the scores of a run or a model, each with its 95 % interval"),
    "predict": Command("Use", "predict", "PREDICT", "labels, entities, answers or texts for your own input"),
    "export": Command(
        "Use", "export", "EXPORT", "write a plain model: an adapter put into the model it belongs to"
    ),
    "generate": Command("Use", "generate", "GENERATE", "let a model go on from your words"),
}
