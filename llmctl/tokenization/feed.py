"""The way of a text into the library's trainer: bounded in memory, shown, and open to Ctrl-C."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from llmctl.data.documents import Documents
from llmctl.progress import Progress

# The library needs about 100 bytes of memory for each byte of each distinct word: this bounds it below 1 GiB.
MAX_DISTINCT_BYTES = 8_000_000
_PROBE_EVERY = 8  # pieces: words that occur often are found all the same
_FILTERED_TOGETHER = 8  # pieces: more would outgrow the processor's cache
_PIECE_CHARS = 4000  # the trainer is fastest on pieces of this size, and its threads share them evenly


class Feed:
    """The text on its way to the trainer: counted, sampled, and bounded in its distinct words.

    Args:
        documents: the text.
        share: the share of the pieces to use, drawn with a fixed seed.
    """

    def __init__(self, documents: Documents, share: float) -> None:
        from llmctl.tokenization.distinct import DistinctWords

        self.num_bytes = self.used_bytes = self.dropped_words = 0
        self.finished = self.stopped = False
        self._documents = documents
        self._share = share
        self._known = DistinctWords()
        self._distinct_bytes = 0

    def __iter__(self) -> Iterator[str]:
        together: list[str] = []
        for index, text in enumerate(self._drawn()):
            if self._distinct_bytes < MAX_DISTINCT_BYTES:
                if index % _PROBE_EVERY == 0:
                    self._distinct_bytes += _PROBE_EVERY * self._known.add(text)
                yield text
                continue
            together.append(text)
            if len(together) == _FILTERED_TOGETHER:
                yield from self._without_new(together)
                together.clear()
        if together:
            yield from self._without_new(together)
        self.finished = True

    def _drawn(self) -> Iterator[str]:
        """The pieces to learn from, until the training is stopped."""
        draw = random.Random(0).random
        for piece in self._documents.pieces(_PIECE_CHARS):
            if self.stopped:
                return
            size = num_bytes(piece.text)
            self.num_bytes += size
            if draw() < self._share:
                self.used_bytes += size
                yield piece.text

    def _without_new(self, pieces: list[str]) -> list[str]:
        """The pieces without the words that are not known yet; NUL, which no text holds, parts them meanwhile."""
        kept, dropped = self._known.keep_known("\0".join(pieces))
        self.dropped_words += dropped
        return kept.split("\0")


def learn(
    tokenizer: Any, trainer: Any, documents: Documents, progress: Progress, sample_bytes: int | None = None
) -> dict[str, Any]:
    """Train in place and return the model as ``tokenizer.json`` has it."""
    share = min(1.0, (sample_bytes or documents.num_bytes) / max(documents.num_bytes, 1))
    feed = Feed(documents, share)
    _wait_for(lambda: tokenizer.train_from_iterator(feed, trainer), feed, documents, progress)
    if share < 1:
        progress.note(
            f"learnt from {feed.used_bytes:,} of {documents.num_bytes:,} bytes, drawn with a fixed seed: "
            "Unigram training is slow"
        )
    if feed.dropped_words:
        progress.note(
            f"to bound the memory, {feed.dropped_words:,} rare words of the text were not learnt from"
        )
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


def _wait_for(job: Callable[[], None], feed: Feed, documents: Documents, progress: Progress) -> None:
    """Run the library's training in a thread, so that Ctrl-C and progress do not wait for its return."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        with progress.bar("reading text", documents.num_bytes, "bytes") as advance:
            shown = 0
            while worker.is_alive() and not feed.finished:
                worker.join(0.05)
                now = feed.num_bytes
                advance(now - shown)
                shown = now
            advance(feed.num_bytes - shown)
        with progress.bar("learning the vocabulary", None, "tokens"):
            worker.join()
    finally:
        feed.stopped = True
    if errors:
        raise errors[0]


def num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
