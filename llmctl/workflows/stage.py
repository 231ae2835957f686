"""What a training is made of, and what pretraining and fine-tuning do differently about it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from llmctl.config import FinetuneConfig, PretrainConfig
from llmctl.progress import Progress
from llmctl.runs import RunDir

if TYPE_CHECKING:
    from llmctl.training import ObjectiveTrainer, Plan

ConfigT = TypeVar("ConfigT", PretrainConfig, FinetuneConfig)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Prepared:
    """All that a training needs, checked.

    Attributes:
        sample: given the model, a text for a person to read at each evaluation.
        validation_by_source: where text comes from several sources.
        lost: what was said of each shard of the training data that was skipped.
    """

    tokenizer: Any
    objective: Any
    model: Any
    examples: Any
    validation: Any | None
    plan: "Plan"
    sample: Callable[[Any], str] | None = None
    validation_by_source: Mapping[str, Any] = field(default_factory=dict)
    lost: Collection[str] = ()


@dataclass(frozen=True)
class Kept:
    """Whose weights stand in ``model/``: the step's that was best by a validation score, else the last step's.

    Attributes:
        metric: the score that decided; ``None``: the last step's were kept, whatever they score.
        score: its value after that step.
    """

    step: int
    epoch: float
    metric: str | None = None
    score: float | None = None

    def __str__(self) -> str:
        place = f"step {self.step:,} (epoch {self.epoch:g})"
        if self.metric is None:
            return f"kept: the last model, of {place}"
        return f"kept: the model of {place}, the best by validation {self.metric} ({self.score:.4f})"


@dataclass(frozen=True)
class Trained:
    """What the training came to, when ``model/`` is in place."""

    run_dir: RunDir
    model: Any
    trainer: "ObjectiveTrainer"
    began: float

    @property
    def seconds(self) -> float:
        """What the run took in all its sessions, preparing and judging included."""
        return round(time.monotonic() - self.began, 1)

    @property
    def kept(self) -> Kept:
        state, arguments = self.trainer.state, self.trainer.args
        step = state.best_global_step if arguments.load_best_model_at_end else None
        if not step:
            return Kept(state.global_step, round(state.epoch or 0.0, 2))
        epoch = next(event["epoch"] for event in state.log_history if event["step"] == step)
        return Kept(step, round(epoch, 2), arguments.metric_for_best_model, state.best_metric)


class Stage(ABC, Generic[ConfigT, ResultT]):
    """What pretraining and fine-tuning do differently."""

    command: ClassVar[str]
    config_class: ClassVar[type]

    @abstractmethod
    def check_options(self, config: ConfigT) -> None:
        """Find what is wrong with the task or model that is asked for; imports nothing heavy."""

    @abstractmethod
    def check_data(self, config: ConfigT) -> None:
        """Find whether the data is there, and such as can be read; imports nothing heavy."""

    @abstractmethod
    def settle(self, config: ConfigT) -> ConfigT:
        """The config with what follows from its other fields filled in."""

    @abstractmethod
    def load(self, config: ConfigT, progress: Progress) -> Mapping[str, Any]:
        """The splits; each can ``describe()`` itself."""

    @abstractmethod
    def fitted(self, config: ConfigT, progress: Progress) -> ConfigT:
        """The config with what follows from the model filled in: its recipe is then complete."""

    @abstractmethod
    def name(self, config: ConfigT) -> tuple[str, ...]:
        """What a run is called where it is given no name: data or task, and model."""

    @abstractmethod
    def prepare(
        self, config: ConfigT, run_dir: RunDir, splits: Mapping[str, Any], progress: Progress
    ) -> Prepared:
        """Tokenizer, features and model, and what they come to, told."""

    @abstractmethod
    def finish(self, config: ConfigT, ready: Prepared, trained: Trained, progress: Progress) -> ResultT:
        """Read ``model/`` back from disk, judge that, and write the model card."""
