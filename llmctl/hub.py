"""The Hugging Face Hub: whether it can be reached, and what its refusals mean."""

import os
import socket
import sys
from functools import cache
from urllib.parse import urlparse

from llmctl.errors import DataError, LlmctlError, ModelError

_TIMEOUT = 3.0  # seconds; the Hub's client itself retries for half a minute


@cache
def go_offline_if_unreachable() -> bool:
    """Switch the libraries to their offline mode when the Hub's address does not answer; tell whether it did.

    Cached files then load at once, and anything else fails at once instead of after many retries. Nothing is
    probed when a proxy stands between, as then the address need not resolve here.
    """
    if os.environ.get("HF_HUB_OFFLINE") or any(
        os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")
    ):
        return False
    endpoint = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    try:
        socket.create_connection((endpoint.hostname or "", port), timeout=_TIMEOUT).close()
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
        for name, flag in (
            ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
            ("datasets.config", "HF_HUB_OFFLINE"),
        ):
            if name in sys.modules:  # imported before the variable was set
                setattr(sys.modules[name], flag, True)
        return True
    return False


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, cut to 300 characters."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def explain(name: str, what: str, error: BaseException) -> LlmctlError:
    """Turn what the Hub's client raised for ``name`` into an error with a hint.

    Args:
        name: the Hub id.
        what: ``model``, ``tokenizer`` or ``data set``.
        error: what was raised; its causes are looked at too.
    """
    from huggingface_hub import errors, is_offline_mode

    kind = DataError if what == "data set" else ModelError
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)

    def raised(*types: type[BaseException]) -> bool:
        return any(isinstance(link, types) for link in chain)

    if raised(errors.GatedRepoError) or "gated" in str(error):
        return kind(f"gated: {name}", hint="ask for access on its page, then set HF_TOKEN")
    unreachable = (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError, TimeoutError)
    if raised(*unreachable) or (is_offline_mode() and isinstance(error, OSError)):
        local = {
            "data set": "files, folders, builtin:stories and builtin:reviews",
        }.get(what, "runs, directories, .gguf files, builtin:minilm and builtin:smollm2")
        return kind(f"offline and not in the cache: {name}", hint=f"what works offline: {local}")
    if raised(errors.RepositoryNotFoundError):
        return kind(f"no such {what} on the Hub: {name}", hint="check its name; a private one needs HF_TOKEN")
    return kind(f"{name}: {first_line(error)}")
