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
    "tasks": Command("Prepare", "tasks", "LIST", "list the tasks to fine-tune for"),
    "pretrain": Command("Train", "pretrain", "PRETRAIN", "train a language model, new or from another"),
    "finetune": Command(
        "Train",
        "finetune",
        "FINETUNE",
        "teach a model a task: labels, NER, QA, chat, ...",
    ),
    "launch slurm": Command("Train", "job", "SLURM", "a job file for SLURM that ends what it began"),
    "launch skypilot": Command("Train", "job", "SKYPILOT", "a task file for SkyPilot"),
    "eval": Command("Judge", "eval", "EVAL", "the scores of a model, each with its 95 % interval"),
    "runs list": Command("Judge", "runs", "LIST", "what was trained: state and best score of each run"),
    "runs verify": Command("Judge", "runs", "VERIFY", "whether a run's files are as they were written"),
    "predict": Command("Use", "predict", "PREDICT", "labels, entities, answers, gaps filled in"),
    "export": Command("Use", "export", "EXPORT", "write a plain model, with its adapter put into it"),
    "generate": Command("Use", "generate", "GENERATE", "let a model go on from your words"),
}
