"""The Hub's refusals, in our words."""

import os
import socket

import huggingface_hub.constants
import pytest
from huggingface_hub import errors

from llmctl import hub
from llmctl.errors import DataError, ModelError
from tests.loopback_hub import LoopbackHub


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh probe, with nothing in the environment that forestalls it."""
    proxies = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")]
    for name in ("HF_HUB_OFFLINE", *proxies, *map(str.upper, proxies)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    hub.go_offline_if_unreachable.cache_clear()


@pytest.mark.usefixtures("probe")
def test_an_unreachable_hub_switches_to_offline_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    assert hub.go_offline_if_unreachable()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    hub.go_offline_if_unreachable.cache_clear()


@pytest.mark.usefixtures("probe")
def test_nothing_is_probed_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    assert not hub.go_offline_if_unreachable()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # no proxy stands there
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    hub.go_offline_if_unreachable.cache_clear()
    assert hub.go_offline_if_unreachable()
    hub.go_offline_if_unreachable.cache_clear()


@pytest.mark.usefixtures("probe")
def test_a_hub_that_is_broken_or_says_nothing_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, loopback_hub: LoopbackHub
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", loopback_hub.url)
    assert not hub.go_offline_if_unreachable()
    loopback_hub.failing = 503
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    hub.go_offline_if_unreachable.cache_clear()
    assert hub.go_offline_if_unreachable()
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        monkeypatch.setattr(hub, "_TIMEOUT", 0.2)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "")
        hub.go_offline_if_unreachable.cache_clear()
        assert hub.go_offline_if_unreachable()
    hub.go_offline_if_unreachable.cache_clear()


def caused_by(cause: Exception) -> Exception:
    error = OSError("could not load")
    error.__cause__ = cause
    return error


def test_causes_are_looked_at() -> None:
    missing = errors.LocalEntryNotFoundError("not in the cache")
    found = hub.explain("a/b", "model", caused_by(missing))
    assert isinstance(found, ModelError)
    assert found.message == "offline and not in the cache: a/b"
    assert "builtin:smollm2" in str(found.hint)
    found = hub.explain("a/b", "data set", caused_by(ConnectionError("down")))
    assert isinstance(found, DataError)
    assert "builtin:stories" in str(found.hint)


def test_what_is_not_known_is_passed_on_in_one_line() -> None:
    assert hub.explain("a/b", "model", ValueError("odd\nvery odd")).message == "a/b: odd"
    assert hub.first_line(ValueError()) == "ValueError"
