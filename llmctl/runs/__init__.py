"""A run: one directory that holds everything a training left behind.

::

    runs/<name>/
      recipe.yaml         resolved and complete
      environment.json    versions, hardware, data fingerprints
      metrics.jsonl       one line an event, appended
      checkpoints/        what --resume goes on from; gone when the run is finished, unless asked for
      model/              plain Hugging Face; stands there only when the training has ended
      eval/<split>.json   scores
      README.md           the model card
      manifest.json       size and SHA-256 of recipe, environment, metrics, tokenizer and model; the last to be written
"""

from llmctl.runs.directory import CHECKPOINT, RunDir
from llmctl.runs.finding import also_there, find, latest_finished, list_runs, open_run, suggestion_for
from llmctl.runs.making import check_idle, check_new, create, default_name, locked
from llmctl.runs.places import cache_dir, runs_dir

__all__ = [
    "CHECKPOINT",
    "RunDir",
    "also_there",
    "cache_dir",
    "check_idle",
    "check_new",
    "create",
    "default_name",
    "find",
    "latest_finished",
    "list_runs",
    "locked",
    "open_run",
    "runs_dir",
    "suggestion_for",
]
