"""How a model is told what to write: T5's words before the input, the language codes of multilingual tokenizers."""

import difflib
from typing import Any

from llmctl.config import TaskData
from llmctl.errors import ConfigError
from llmctl.tasks import Task

# Codes that data sets use, and what T5 was told (Raffel et al., 2020, appendix D: German, French and Romanian).
_NAMES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fi": "Finnish", "fr": "French", "hi": "Hindi", "hu": "Hungarian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_SENTINEL = "<extra_id_0>"  # a token that T5's tokenizers alone have


def languages(task: Task, config: Any) -> tuple[str | None, str | None]:
    """The languages to translate from and to, as asked for, else the task's own."""
    if isinstance(config, TaskData):
        return config.source_lang or task.source_lang, config.target_lang or task.target_lang
    return task.source_lang, task.target_lang


def usual_prefix(task: Task, config: Any, tokenizer: Any) -> str:
    """What T5 was trained to be told before the input; empty for other families, or where languages are not known."""
    if _SENTINEL not in tokenizer.get_vocab():
        return ""
    if task.kind == "summarization":
        return "summarize: "
    source, target = languages(task, config)
    if source and target:
        return f"translate {_NAMES.get(source, source)} to {_NAMES.get(target, target)}: "
    return ""


def set_languages(tokenizer: Any, source: str | None, target: str | None) -> int | None:
    """Set the languages of a tokenizer that marks them (mBART, NLLB, M2M100).

    Args:
        tokenizer: is changed; any other is left alone.
        source, target: as the tokenizer calls them; ``None``: as it is set already.

    Returns:
        The id that a text in the target language is marked with; ``None`` where languages are not marked.

    Raises:
        ConfigError: no language is set, or the tokenizer does not know it.
    """
    if not hasattr(tokenizer, "set_tgt_lang_special_tokens"):
        return None
    source, target = source or tokenizer.src_lang, target or tokenizer.tgt_lang
    for option, code in (("source_lang", source), ("target_lang", target)):
        _check_code(tokenizer, option, code)
    tokenizer.src_lang, tokenizer.tgt_lang = source, target
    if hasattr(tokenizer, "get_lang_id"):  # M2M100 marks a language by another name
        return int(tokenizer.get_lang_id(target))
    return int(tokenizer.convert_tokens_to_ids(target))


def _check_code(tokenizer: Any, option: str, code: str | None) -> None:
    codes = list(getattr(tokenizer, "lang_code_to_token", None) or tokenizer.all_special_tokens)
    if code in codes:
        return
    flag = "--" + option.replace("_", "-")
    if code is None:
        raise ConfigError(f"{option}: this model writes in many languages", hint=f"{flag} CODE")
    near = [name for name in codes if name.startswith(code)] or difflib.get_close_matches(code, codes)
    raise ConfigError(
        f"{option}: the tokenizer has no language {code!r}",
        hint=f"{flag} {near[0]}" if near else f"it has, for example, {', '.join(sorted(codes)[-5:])}",
    )
