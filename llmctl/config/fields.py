"""What a config field is: its type with bounds, its help, its place in ``--help``."""

import re
from dataclasses import MISSING, Field, dataclass, field, fields
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen, Predicate

Count = Annotated[int, Gt(0)]
CountOrZero = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Layers = Annotated[int, Gt(0), Le(1_000)]  # each is Python objects, even before it has weights
VocabularySize = Annotated[
    int, Gt(0), Le(1_000_000)
]  # what trains a tokenizer takes memory for all of them at once
Fraction = Annotated[float, Ge(0), Lt(1)]
Share = Annotated[float, Ge(0), Le(1)]
Words = Annotated[str, MinLen(1)]


def _fits_a_file_system(name: str) -> bool:
    return max(len(part.encode(errors="replace")) for part in name.split("/")) <= 255 and len(name) < 4096


Name = Annotated[Words, Predicate(_fits_a_file_system)]


@dataclass(frozen=True)
class Units:
    """How a number may be written beside digits alone: parts with units, which are summed.

    Attributes:
        kind: what a message calls such a number, with examples.
        worth: each unit, and how much it is worth; they are read in either case.
    """

    kind: str
    worth: tuple[tuple[str, int], ...]

    def read(self, text: str) -> float | None:
        """``1h30m`` -> 5400.0; ``None`` where it is not written so."""
        units = dict(self.worth)
        part = rf"(\d+(?:\.\d+)?)\s*([{''.join(units)}])"
        if not re.fullmatch(rf"(?:{part}\s*)+", text.lower()):
            return None
        return float(sum(Decimal(number) * units[unit] for number, unit in re.findall(part, text.lower())))


Seconds = Annotated[
    float,
    Gt(0),
    Units("a time such as 90s, 30m or 1h30m", (("s", 1), ("m", 60), ("h", 3600), ("d", 86400))),
]
Tokens = Annotated[
    int,
    Gt(0),
    Units("a number such as 2e6, 300M or 1.5B", (("k", 10**3), ("m", 10**6), ("b", 10**9), ("t", 10**12))),
]


def option(
    default: Any,
    help: str,
    *,
    panel: str,
    unit: str | None = None,
    default_text: str | None = None,
    argument: bool = False,
    path: bool = False,
) -> Any:
    """A config field that documents itself.

    Args:
        default: the value when neither the recipe nor a flag gives one.
        help: one line, shown by ``--help`` and in the resolved recipe's schema.
        panel: the heading under which ``--help`` lists it.
        unit: what a number counts, e.g. ``tokens``; ``--help`` says it where ``help`` does not.
        default_text: said instead of the default where the default is decided at run time.
        argument: also given by position on the command line.
        path: completed as a path by the shell.
    """
    metadata = {
        "help": help,
        "panel": panel,
        "unit": unit,
        "default_text": default_text,
        "argument": argument,
        "path": path,
    }
    return field(default=default, metadata=metadata)


# In the order in which they matter to a person who meets a command for the first time.
PANELS = (
    "Task",
    "Data",
    "Model",
    "Method",
    "Examples and answers",
    "Tokenizer",
    "Training",
    "Run",
    "Generation",
    "Input and output",
    "Evaluation",
    "Evaluation, checkpoints and logging",
    "Optimiser",
    "Hardware",
    "Processes",
    "Job",
    "With --dry-run",
)

data_option = partial(option, panel="Data")
tokenizer_option = partial(option, panel="Tokenizer")
model_option = partial(option, panel="Model")
training_option = partial(option, panel="Training")
optimiser_option = partial(option, panel="Optimiser")
logging_option = partial(option, panel="Evaluation, checkpoints and logging")
hardware_option = partial(option, panel="Hardware")
launch_option = partial(option, panel="Processes")
planning_option = partial(option, panel="With --dry-run")
run_option = partial(option, panel="Run")
job_option = partial(option, panel="Job")
evaluation_option = partial(option, panel="Evaluation")
generation_option = partial(option, panel="Generation")
io_option = partial(option, panel="Input and output")
method_option = partial(option, panel="Method")
task_option = partial(option, panel="Task")
examples_option = partial(option, panel="Examples and answers")

# what several commands ask for in the same words
Optimiser = Literal[
    "adamw_torch_fused",
    "adamw_torch",
    "muon",
    "lion",
    "schedule_free_adamw",
    "adafactor",
    "sgd",
    "rmsprop",
    "adagrad",
    "adamw_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "lion_8bit",
    "lion_32bit",
    "paged_lion_8bit",
    "paged_lion_32bit",
]
Schedule = Literal[
    "linear",
    "cosine",
    "cosine_with_min_lr",
    "warmup_stable_decay",
    "polynomial",
    "inverse_sqrt",
    "constant",
    "constant_with_warmup",
]
schedule_option = partial(optimiser_option, default=None, help="how the learning rate decays after its peak")
optim_option = partial(
    optimiser_option,
    help="optimiser; muon makes updates of matrices orthogonal; those of 8 and 32 bits are bitsandbytes's",
)
runs_dir_option = partial(
    run_option, None, "where runs are kept", default_text="LLMCTL_RUNS_DIR, else ./runs", path=True
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A config that stands beside another, of a run: what was asked for overrides what is there.

    Attributes:
        typed: names of the options that were typed, perhaps with their defaults.
    """

    typed: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def asks_for(self, name: str) -> bool:
        """Whether an option was typed, or is off its default."""
        return name in self.typed or getattr(self, name) != default_of(self.__dataclass_fields__[name])


def options(config_class: type) -> list[Field[Any]]:
    """The config's options in the order in which ``--help`` and a recipe list them: by panel."""
    found = [item for item in fields(config_class) if item.metadata]
    return sorted(found, key=lambda item: PANELS.index(item.metadata["panel"]))


def default_of(item: Field[Any]) -> Any:
    """The field's default; every field has one."""
    assert item.default is not MISSING
    return item.default
