"""Data sets of the Hugging Face Hub, with its complaints in our words."""

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from llmctl.data.sources import HubSource
from llmctl.errors import ConfigError, LlmctlError
from llmctl.hub import explain, go_offline_if_unreachable, not_in_cache
from llmctl.progress import Progress


def splits(source: HubSource, progress: Progress, *, streaming: bool = False) -> dict[str, Any]:
    """The splits of a data set as map-style ``datasets.Dataset``; downloaded, or from the cache, which is told.

    Args:
        streaming: give ``datasets.IterableDataset``, whose examples are fetched as they are read.

    Raises:
        ConfigError: no such data set or subset.
        DataError: offline and not in the cache, gated, or not loadable.
    """
    unreachable = go_offline_if_unreachable()
    import datasets
    from huggingface_hub import is_offline_mode

    if not sys.stderr.isatty():  # a bar is redrawn in place, which a file or pipe cannot do
        datasets.disable_progress_bars()
    subset = source.subset
    if subset is None and is_offline_mode():
        subset = _default_subset(source)
    try:
        settings: dict[str, Any] = {"revision": source.revision} if source.revision else {}
        if streaming:
            settings["streaming"] = True
        found = dict(datasets.load_dataset(source.name, subset, **settings))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as exc:
        raise _in_our_words(source, exc) from exc
    if unreachable and not streaming:
        written = (Path(file["filename"]) for dataset in found.values() for file in dataset.cache_files)
        dates = [datetime.fromtimestamp(path.stat().st_mtime).date() for path in written]
        of = f", of {max(dates)}" if dates else ""
        progress.note(f"{source.name}: the Hub does not answer: using the copy in the cache{of}")
    return found


def _default_subset(source: HubSource) -> str | None:
    """The subset that is meant when none is named, by the data set's card in the cache.

    Offline ``datasets`` itself would take whichever was used last. ``None``: there is no card, or it has no subsets.

    Raises:
        ConfigError: one must be chosen.
    """
    from huggingface_hub import DatasetCard, try_to_load_from_cache

    name = source.name
    path = try_to_load_from_cache(name, "README.md", repo_type="dataset", revision=source.revision)
    declared = (DatasetCard.load(path).data.get("configs") or []) if isinstance(path, str) else []
    subsets = [config["config_name"] for config in declared]
    for config in declared:
        if config.get("default") or config["config_name"] == "default" or len(declared) == 1:
            return str(config["config_name"])
    if not subsets:
        return None
    raise _choose_subset(f"{name}: has several subsets", name, subsets)


def _choose_subset(message: str, name: str, subsets: list[str]) -> ConfigError:
    return ConfigError(
        message, hint=f"choose one: {', '.join(f'{name}:{subset}' for subset in subsets[:12])}"
    )


def _in_our_words(source: HubSource, exc: Exception) -> LlmctlError:
    from datasets.exceptions import DatasetNotFoundError

    text = str(exc)
    if isinstance(exc, DatasetNotFoundError) and text.startswith("Revision"):
        return ConfigError(f"{source.name}: no revision {source.revision!r}", hint="see its page on the Hub")
    if isinstance(exc, DatasetNotFoundError) and "gated" not in text:
        return ConfigError(
            f"no such file and no such Hub data set: {source.name}",
            hint="check the spelling; a private data set needs HF_TOKEN",
        )
    if text.startswith("Couldn't find cache"):
        name = f"{source.name}:{source.subset}" if source.subset else source.name
        cached = re.findall("'(.*?)'", text.partition("Available configs in the cache:")[2])
        hint = (
            f"the cache has {', '.join(f'{source.name}:{subset}' for subset in cached)}" if cached else None
        )
        return not_in_cache(name, is_data=True, hint=hint)
    if subsets := _subsets(source.name, text):
        what = f"no subset {source.subset!r}" if source.subset else "has several subsets"
        return _choose_subset(f"{source.name}: {what}", source.name, subsets)
    return explain(source.name, "data set", exc)


def _subsets(name: str, complaint: str) -> list[str]:
    """The data set's subsets, where the complaint is about them."""
    import datasets

    if not complaint.startswith(("BuilderConfig", "Config name is missing")):
        return []
    return list(datasets.get_dataset_config_names(name))
