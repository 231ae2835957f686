"""Which two languages a translation is between."""

import re

from llmctl.config import TaskData
from llmctl.errors import DataError
from llmctl.tasks import Task

_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?")


def is_language(name: str) -> bool:
    """Whether a column's name or a file's suffix may be a language: ``en``, ``pt-BR``, ``zh_Hans``."""
    return _LANGUAGE.fullmatch(name) is not None


def choose_languages(where: str, found: list[str], config: TaskData, task: Task) -> tuple[str, str]:
    """The language to translate from and that to translate to.

    Raises:
        DataError: one that was asked for is not there, or there are more than two to choose from.
    """
    source = config.source_lang or task.source_lang
    target = config.target_lang or task.target_lang
    for asked, flag in ((source, "--source-lang"), (target, "--target-lang")):
        if asked is not None and asked not in found:
            raise DataError(
                f"{where}: no language {asked!r}; found: {', '.join(found)}", hint=f"name one of them: {flag}"
            )
    left = sorted(set(found) - {source, target})
    if len(left) > (source is None) + (target is None) and not (source and target):
        raise DataError(
            f"{where}: several languages: {', '.join(sorted(found))}",
            hint="choose: --source-lang and --target-lang",
        )
    if (source == target and source is not None) or len(found) < 2:
        raise DataError(f"{where}: a translation needs two languages", hint="--source-lang and --target-lang")
    source = source or left.pop(0)
    return source, target or left.pop(0)
