"""The story of ``llmctl export``: a run or model as a plain directory, an adapter put into its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl import adapters, disk, runs
from llmctl.config import ExportConfig
from llmctl.errors import ConfigError, ModelError
from llmctl.progress import Progress

if TYPE_CHECKING:
    from llmctl.models import Source

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        merged: whether an adapter was put into its model.
        difference: the largest between an output of the model as it was and as it was read back from disk.
    """

    model: str
    output_dir: str
    merged: bool
    num_parameters: int
    difference: float

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def check(config: ExportConfig) -> None:
    """Find what is wrong without importing the heavy libraries.

    Raises:
        ConfigError, RunError: naming the option or path.
        ModelError: the adapter is damaged.
    """
    found = _source(config)
    adapter = adapters.read(found.location)
    if adapter and not adapter.merges:
        raise ConfigError(
            f"{found.name} holds a {adapter.method.lower().replace('_', ' ')}: it has no place in a plain model",
            hint="use it as it is, with peft; adapters of --method lora can be merged",
        )
    if adapter and not config.merge:
        raise ConfigError(
            f"{found.name} holds an adapter, not a plain model", hint=f"llmctl export {found.name} --merge"
        )
    _output(config, found)


def run(config: ExportConfig, *, progress: Progress) -> ExportResult:
    """Write a plain Hugging Face directory, and read it back before it stands there.

    Raises:
        ConfigError, RunError, ModelError: as :func:`check`; or the model cannot be read or written, or answers
            otherwise when it is read back.
    """
    check(config)
    from llmctl import models

    found = _source(config)
    output = _output(config, found)
    progress.note(f"model: {found.name}" + ("" if config.model else " (the newest run)"))
    loader = _loader(found)
    adapter = adapters.read(found.location)
    if adapter:
        model = models.load_adapted(found, adapter, loader)
        expected = adapters.probe(model)
        model = adapters.merged(model)
        progress.note(f"put the adapter into {adapter.base}")
    else:
        if config.merge:
            progress.note("it has no adapter: there is nothing to merge")
        model, info = models.load_weights(found, loader)
        if info["missing_keys"]:
            raise ModelError(f"{found.name}: {sorted(info['missing_keys'])[0]} is not in the checkpoint")
        expected = adapters.probe(model)
    tokenizer = models.load_tokenizer(
        found.location if found.run else found.name, runs_dir=_root(config), slow=True
    )
    difference = _write(model, tokenizer, output, expected)
    progress.note(f"read back from disk, its outputs differ by at most {difference:.1g}")
    return ExportResult(found.name, str(output), adapter is not None, model.num_parameters(), difference)


def _write(model: Any, tokenizer: Any, output: Path, expected: Any) -> float:
    """Write the model; return the largest difference of its outputs, once read back, from ``expected``."""
    from llmctl import models

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with disk.staged_directory(output) as staging:
            model.save_pretrained(staging)
            tokenizer.save_pretrained(staging)
            written, _ = models.load_weights(models.Source(str(output), str(staging)), type(model).__name__)
            difference = float((adapters.probe(written.eval()) - expected).abs().max())
            if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
                raise ModelError(
                    f"{output}: read back from disk, an output differs by {difference:.3g}; nothing is kept"
                )
    except OSError as error:
        raise ModelError(f"cannot write {output}: {error.strerror or error}") from error
    return difference


def _loader(found: "Source") -> str:
    """Name of the ``transformers`` class that has all of the model's weights."""
    import transformers

    from llmctl import models

    for name in models.load_config(found).architectures or []:
        known = getattr(transformers, name, None)
        if isinstance(known, type) and issubclass(known, transformers.PreTrainedModel):
            return str(name)
    return "AutoModelForCausalLM"


def _root(config: ExportConfig) -> Path:
    return runs.runs_dir(config.runs_dir)


def _source(config: ExportConfig) -> "Source":
    from llmctl.models import find_source

    root = _root(config)
    return find_source(config.model or str(runs.latest_finished(root).path), root)


def _output(config: ExportConfig, found: "Source") -> Path:
    """Where to write to.

    Raises:
        ConfigError: no place is named for what is no adapter of a run, or the place is in use.
    """
    if config.output_dir:
        output = Path(config.output_dir)
    elif found.run and adapters.read(found.location):
        output = found.run.path / "merged"
    else:
        plain = f": it is a plain model already, in {found.location}" if found.run else ""
        raise ConfigError(f"where to write {found.name}?{plain}", hint="--output-dir DIRECTORY")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"output directory in use: {output}", hint="name a new one: --output-dir")
    above = next(folder for folder in output.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ConfigError(f"cannot write {output}: {above} is a file", hint="name another --output-dir")
    return output
