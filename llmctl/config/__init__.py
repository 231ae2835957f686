"""Every option of every command, defined once.

A config is a frozen dataclass: its fields are at once the keys of a recipe, the flags of a command and, where
Hugging Face's ``TrainingArguments`` has the same thing, its keyword. Types and bounds stand in the annotations
and are enforced by pydantic (see ``recipe.resolve``); help, unit and panel stand in the field's metadata.
Only the standard library and ``annotated_types`` are imported here, so that ``--help`` stays instant.

``None`` alone means "not given".
"""

from llmctl.config.commands import (
    EvalConfig,
    ExportConfig,
    FinetuneConfig,
    GenerateConfig,
    PredictConfig,
    PretrainConfig,
    RunsListConfig,
    RunsVerifyConfig,
    TasksConfig,
    TokenizerInspectConfig,
    TokenizerTrainConfig,
)
from llmctl.config.data import Corpus, DataSource, TaskData, TextData
from llmctl.config.fields import PANELS, default_of, option, options
from llmctl.config.jobs import Job, SkypilotConfig, SlurmConfig
from llmctl.config.launch import Launch
from llmctl.config.planning import Device
from llmctl.config.task import Judging, Method, TaskSettings
from llmctl.config.training import ModelShape, RunPlace, TokenizerTraining, Training

__all__ = [
    "PANELS",
    "Corpus",
    "DataSource",
    "Device",
    "EvalConfig",
    "ExportConfig",
    "FinetuneConfig",
    "GenerateConfig",
    "Job",
    "Judging",
    "Launch",
    "Method",
    "ModelShape",
    "PredictConfig",
    "PretrainConfig",
    "RunPlace",
    "RunsListConfig",
    "RunsVerifyConfig",
    "SkypilotConfig",
    "SlurmConfig",
    "TaskData",
    "TaskSettings",
    "TasksConfig",
    "TextData",
    "TokenizerInspectConfig",
    "TokenizerTrainConfig",
    "TokenizerTraining",
    "Training",
    "default_of",
    "option",
    "options",
]
