"""Data sets of the Hugging Face Hub, with its complaints in our words."""

from typing import Any

from llmctl.data.sources import HubSource
from llmctl.errors import ConfigError, LlmctlError
from llmctl.hub import explain, go_offline_if_unreachable


def splits(source: HubSource) -> dict[str, Any]:
    """The splits of a data set as map-style ``datasets.Dataset``; downloaded, or from the cache.

    Raises:
        ConfigError: no such data set or subset.
        DataError: offline and not in the cache, gated, or not loadable.
    """
    go_offline_if_unreachable()
    import datasets

    try:
        return dict(datasets.load_dataset(source.name, source.subset))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as exc:
        raise _in_our_words(source, exc) from exc


def _in_our_words(source: HubSource, exc: Exception) -> LlmctlError:
    from datasets.exceptions import DatasetNotFoundError

    text = str(exc)
    if isinstance(exc, DatasetNotFoundError) and "gated" not in text:
        return ConfigError(
            f"no such file and no such Hub data set: {source.name}",
            hint="check the spelling; a private data set needs HF_TOKEN",
        )
    if subsets := _subsets(source.name, text):
        return ConfigError(
            f"{source.name}: no subset {source.subset!r}"
            if source.subset
            else f"{source.name}: has several subsets",
            hint=f"choose one: {', '.join(f'{source.name}:{name}' for name in subsets[:12])}",
        )
    return explain(source.name, "data set", exc)


def _subsets(name: str, complaint: str) -> list[str]:
    """The data set's subsets, where the complaint is about them."""
    import datasets

    if not complaint.startswith(("BuilderConfig", "Config name is missing")):
        return []
    return list(datasets.get_dataset_config_names(name))
