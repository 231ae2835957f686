"""The Hugging Face Hub: whether it can be reached, and what its refusals mean."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from llmctl.errors import DataError, LlmctlError, ModelError

_TIMEOUT = 5.0  # seconds; the Hub's client itself retries for a minute or more


class NotCachedError(DataError):
    """A data set would have to be downloaded, but the Hub cannot be asked."""


@cache
def go_offline_if_unreachable() -> bool:
    """Switch the libraries to their offline mode when the Hub does not answer; tell whether it did.

    Cached files then load at once, and anything else fails at once instead of after many retries. Nothing is
    probed when a proxy stands between, as then the address need not resolve here.
    """
    if is_offline() or _proxied(_endpoint()) or _answers(_endpoint()):
        return False
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name, flag in (
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_HUB_OFFLINE"),
    ):
        if name in sys.modules:  # imported before the variable was set
            setattr(sys.modules[name], flag, True)
    return True


def is_offline() -> bool:
    """Whether the Hub is not to be asked: ``HF_HUB_OFFLINE``, as the Hub's client reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def cached(name: str, file: str) -> Path | None:
    """Where a file of the model ``name`` is on this machine; ``None``: it was not downloaded yet."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(name, file)
    except HFValidationError:  # no name that the Hub could know
        return None
    return Path(path) if isinstance(path, str) else None


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def _proxied(endpoint: str) -> bool:
    """Whether the environment (``HTTPS_PROXY``, ``NO_PROXY``, ...) puts a proxy before ``endpoint``."""
    from urllib.request import getproxies, proxy_bypass  # slow to import

    url, proxies = urlparse(endpoint), getproxies()
    return any(proxies.get(name) for name in (url.scheme, "all")) and not proxy_bypass(url.hostname or "")


def _answers(endpoint: str) -> bool:
    """Whether a server listens there, says something within the time-out, and does not say that it is broken."""
    import ssl
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    url = urlparse(endpoint)
    host = url.hostname or ""
    if url.scheme == "http":
        connection = HTTPConnection(host, url.port, timeout=_TIMEOUT)
    else:
        # Only the status is looked at, and nothing is told: whether to trust the server is its client's matter.
        trusting = ssl._create_unverified_context()
        connection = HTTPSConnection(host, url.port, timeout=_TIMEOUT, context=trusting)
    try:
        connection.request("HEAD", url.path or "/")
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, cut to 300 characters; of its cause where it only introduces that."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return first_line(error.__cause__) if line.endswith(":") and error.__cause__ else line[:300]


def explain(name: str, what: str, error: BaseException) -> LlmctlError:
    """Turn what the Hub's client raised for ``name`` into an error with a hint.

    Args:
        name: the Hub id.
        what: ``model`` (or its ``tokenizer``) or ``data set``.
        error: what was raised; its causes are looked at too.
    """
    from huggingface_hub import errors, is_offline_mode

    is_data = what == "data set"
    kind: type[LlmctlError] = DataError if is_data else ModelError
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)

    def raised(*types: type[BaseException]) -> bool:
        return any(isinstance(link, types) for link in chain)

    if raised(errors.GatedRepoError) or "is a gated dataset" in str(error):
        url = urlparse(_endpoint())  # which may hold a password
        page = f"{url.scheme}://{url.netloc.rpartition('@')[2]}/{'datasets/' if is_data else ''}{name}"
        return kind(f"gated: {name}", hint=f"ask for access at {page}, then set HF_TOKEN")
    unreachable = (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError, TimeoutError)
    if raised(*unreachable) or (is_offline_mode() and isinstance(error, OSError)):
        return not_in_cache(name, is_data=is_data)
    if raised(errors.RepositoryNotFoundError):
        missing = (
            "no such data set"
            if is_data
            else "no such model"
            if "/" in name
            else "neither a run here nor a model"
        )
        return kind(
            f"{missing} on the Hub: {name}",
            hint="check its name; a private one needs HF_TOKEN",
        )
    if "Couldn't instantiate the backend tokenizer" in str(error):
        return no_tokenizer(name)
    if not is_data and (raised(errors.EntryNotFoundError) or "Unrecognized model in" in str(error)):
        return kind(
            f"no model in {name}: no config.json with a model_type, or no weights as .safetensors",
            hint="pickled weights (.bin) can run code, so they are not read; have them converted",
        )
    for link in chain:
        if isinstance(link, errors.HfHubHTTPError):
            return _refused(name, link, kind)
    return kind(f"{name}: {first_line(error)}")


def not_in_cache(name: str, *, is_data: bool, hint: str | None = None) -> LlmctlError:
    """The error for what would have to be downloaded, but cannot be.

    Args:
        hint: what the cache has instead, where that is known.
    """
    what = f"offline and not in the cache: {name}"
    if is_data:
        local = "files, folders, builtin:stories and builtin:reviews"
        return NotCachedError(what, hint=hint or f"what works offline: {local}")
    local = "runs, directories, .gguf files, builtin:minilm and builtin:smollm2"
    what = what if "/" in name else f"no run or directory, {what}"
    return ModelError(what, hint=hint or f"what works offline: {local}")


def no_tokenizer(name: str, *, local: bool = False) -> LlmctlError:
    """The error for a model that comes without tokenizer, or whose tokenizer is not in the cache."""
    from huggingface_hub import is_offline_mode

    where = " in the cache" if is_offline_mode() and not local else ""
    return ModelError(
        f"no tokenizer in {name}{where}", hint="name a model that comes with its tokenizer.json"
    )


def _refused(name: str, error: Any, kind: type[LlmctlError]) -> LlmctlError:
    """The error for an answer of the Hub that is about itself or the token, not about ``name``."""
    said = error.server_message or error.response.headers.get("X-Error-Message")
    message = f"{name}: the Hub answers {error.response.status_code}" + (f": {said}" if said else "")
    if error.response.status_code == 401:
        return kind(message, hint="HF_TOKEN may have expired: make a new one, or unset it")
    return kind(message, hint="try again later; HF_HUB_OFFLINE=1 takes what is in the cache")
