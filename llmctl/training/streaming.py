"""Training examples of a stream: made of one buffer of text while the one before is learnt from."""

import contextlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import IterableDataset
from transformers import TrainerCallback

from llmctl import disk, ranks
from llmctl.data.blocks import TokenizedDocuments
from llmctl.data.stream import Buffer, Place
from llmctl.errors import DataError
from llmctl.runs import RunDir
from llmctl.training.mixture import Mixture
from llmctl.training.sampling import order_of

Buffers = Callable[[Place], Generator[Buffer, None, None]]


STATE = "stream.json"
"""The file of a checkpoint that says where in a stream it was written; beside checkpoints, what was counted of it."""


class Pass(NamedTuple):
    """All of a stream's text, once: examples, batches of ``batch_size`` and tokens."""

    examples: int
    batches: int
    batch_size: int
    tokens: int


@dataclass(frozen=True)
class Start:
    """Where a chunk of examples begins, and how much of it an earlier session has learnt from.

    Attributes:
        chunk: its number, which is also the round in which its examples are as they are.
        examples: before it.
        passes: how often all of the stream was read before.
        seen: tokens before it, by source.
        place: where its buffer of text begins.
        batch_size: examples of a batch when its order was decided, which depends on that.
        learnt: of its examples, from the first in its order on.
    """

    chunk: int
    examples: int
    passes: int
    seen: dict[str, int]
    place: Place
    batch_size: int
    learnt: int = 0

    def to_json(self, learnt: int) -> dict[str, Any]:
        positions, drawn = self.place
        return {**vars(self), "learnt": learnt, "place": {"positions": positions, "drawn": drawn}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Start":
        return cls(**{**content, "place": Place.read(**content["place"])})


@dataclass(frozen=True)
class Chunk:
    """The examples of one buffer, in their order.

    Attributes:
        mixture: the examples, by source.
        order: (N,) their places.
        behind: where the next chunk begins.
    """

    start: Start
    mixture: Mixture
    order: np.ndarray
    behind: Start
    ends_pass: bool

    def num_batches(self, size: int) -> int:
        """How many there are to learn from."""
        return -((self.start.learnt - len(self.order)) // size)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """The places (B,) of those batches; the last may have fewer."""
        for begin in range(self.start.learnt, len(self.order), size):
            yield self.order[begin : begin + size]

    def learnt(self, batches: int, size: int) -> int:
        """The examples learnt from when so many of those batches were."""
        return min(self.start.learnt + batches * size, len(self.order))

    def examples(self, places: np.ndarray) -> list[Any]:
        """The examples of a batch."""
        return [self.mixture[self.start.chunk, int(place)] for place in places]

    def tokens(self, count: int) -> dict[str, int]:
        """Tokens of the first ``count`` examples, by source."""
        found = self.mixture.tokens_in(self.start.chunk, self.order[:count])
        return dict(zip(self.mixture.sources, found.tolist(), strict=True))


class Stream(IterableDataset[Any]):
    """Batches of examples of a stream, without end, from any batch on.

    What they hold follows from the text, the settings and the seed: a resumed training sees what it would have seen.
    The examples of a buffer are learnt from in random order, or in batches of like length, as those of a whole text.

    Args:
        buffers: the text from a place on.
        learn: makes training examples of documents.
        start: where the stream begins.
        batch_size: examples of a batch; the last of each buffer may have fewer.
        seed: of the order.
        fingerprint: of what the stream is read from.
        lost: shard -> what was said of it when it was skipped; it is filled as the text is read.

    Attributes:
        a_pass: what all of the text is, where that was counted.
        seen: tokens that the training has seen, by source; as far as it was told by :meth:`reach`.
        passes: how often it has seen all of the text.
        told: shards whose loss was told.
    """

    def __init__(
        self,
        buffers: Buffers,
        learn: Callable[[TokenizedDocuments], Any],
        start: Place,
        *,
        batch_size: int,
        seed: int,
        fingerprint: str,
        lost: dict[str, str],
    ) -> None:
        self.buffers = buffers
        self.learn = learn
        self.batch_size = batch_size
        self.seed = seed
        self.fingerprint = fingerprint
        self.lost = lost
        self.told: set[str] = set()
        self.a_pass: Pass | None = None
        self.seen = dict.fromkeys(start.drawn, 0)
        self.passes = 0.0
        self._start = Start(0, 0, 0, dict(self.seen), start, batch_size)
        self._log: deque[Chunk] = deque()
        self._before = self._reached = (
            0  # batches of this session: before the first chunk of the log, and in all
        )

    def passes_of(self, source: str) -> int:
        """How often the training has read all of one source."""
        start = self._log[0].start if self._log else self._start
        return start.place.positions[source].passes

    @property
    def num_tokens(self) -> int:
        """Tokens that the training has seen."""
        return sum(self.seen.values())

    def chunks(self) -> Generator[Chunk, None, None]:
        """The chunks from the start on, without end.

        Raises:
            DataError: a shard is broken, or a whole pass holds nothing to learn from.
        """
        start, found, reason = self._start, False, None
        for buffer in self.buffers(start.place):
            try:
                chunk = self._chunk(start, buffer)
            except DataError as exc:  # too little text by itself, such as the end of a pass
                reason = reason or exc
                if buffer.ends_pass and not found:
                    raise reason from None
                start = self._behind(start, buffer, 0, start.seen)
                continue
            yield chunk
            start, found = chunk.behind, True

    def _chunk(self, start: Start, buffer: Buffer) -> Chunk:
        mixture = Mixture(
            {name: self.learn(part) for name, part in buffer.documents.items()}, None, self.seed
        )
        if not len(mixture):
            raise DataError("the stream holds nothing to learn from", hint="give more text")
        order = order_of(mixture, start.batch_size, self.seed)
        order.set_epoch(start.chunk)
        tokens = mixture.tokens_in(start.chunk)
        seen = {**start.seen}
        for name, count in zip(mixture.sources, tokens.tolist(), strict=True):
            seen[name] += count
        behind = self._behind(start, buffer, len(mixture), seen)
        return Chunk(start, mixture, np.fromiter(order, dtype=np.int64), behind, buffer.ends_pass)

    def _behind(self, start: Start, buffer: Buffer, examples: int, seen: dict[str, int]) -> Start:
        """Where the next chunk begins; an earlier session's batches were perhaps of another size than its will be."""
        return Start(
            start.chunk + 1,
            start.examples + examples,
            start.passes + buffer.ends_pass,
            seen,
            buffer.behind,
            self.batch_size,
        )

    def __iter__(self) -> Iterator[list[Any]]:
        """The batches of this rank, every N-th of all: lists of examples; one chunk is made while another is used."""
        batches = self._batches()
        while step := list(islice(batches, ranks.count())):
            chunk, places = step[ranks.index()]
            yield chunk.examples(places)

    def _batches(self) -> Iterator[tuple[Chunk, np.ndarray]]:
        chunks = self.chunks()
        with ranks.beside() as maker:
            ahead = maker.submit(next, chunks)
            while True:
                chunk = ahead.result()
                ahead = maker.submit(next, chunks)
                self._log.append(chunk)
                yield from ((chunk, places) for places in chunk.batches(self.batch_size))

    def reach(self, batches: int) -> None:
        """The training has learnt from so many batches in this session, on all ranks."""
        self._reached = batches
        while len(self._log) > 1 and (behind := self._before + self._num_batches()) <= batches:
            self._log.popleft()
            self._before = behind
        if not self._log:
            return
        start, learnt = self._log[0].start, self._learnt()
        within = self._log[0].tokens(learnt)
        self.seen = {name: count + within.get(name, 0) for name, count in start.seen.items()}
        self.passes = (start.examples + learnt) / self.a_pass.examples if self.a_pass else float(start.passes)

    def _num_batches(self) -> int:
        return self._log[0].num_batches(self.batch_size)

    def _learnt(self) -> int:
        """Of the examples of the log's first chunk."""
        return self._log[0].learnt(self._reached - self._before, self.batch_size)

    def newly_lost(self) -> list[str]:
        """What is to be said of shards that were skipped since this was last asked."""
        names = [name for name in list(self.lost) if name not in self.told]
        self.told.update(names)
        return [self.lost[name] for name in names]

    def save(self, file: Path) -> None:
        """Keep where the training is, so that it goes on from there without reading what went before."""
        content = {
            "fingerprint": self.fingerprint,
            "seen": self.seen,
            "passes": self.passes,
            "lost": self.lost,
            "start": self._log[0].start.to_json(self._learnt()),
        }
        file.write_text(json.dumps(content))

    def go_to(self, file: Path) -> None:
        """Begin where ``file`` was kept, with whatever size of batches and number of ranks that was.

        Raises:
            DataError: the stream is read from other shards than when the file was written.
        """
        content = json.loads(file.read_text())
        if content["fingerprint"] != self.fingerprint:
            raise DataError(
                "the shards of the stream are not those that the run has read so far: names, sizes or order differ",
                hint="put them back, or begin another run (--model RUN goes on with its weights)",
            )
        self._start, self.seen, self.passes = (
            Start.from_json(content["start"]),
            content["seen"],
            content["passes"],
        )
        self.lost.update(content["lost"])
        self.told.update(content["lost"])


def counted(run: RunDir, stream: Stream, count: Callable[[], Pass]) -> Pass:
    """What a pass of a run's stream is: counted once, by whichever rank or session comes first."""
    file = run.checkpoints / STATE
    key = [stream.fingerprint, stream.batch_size]
    with contextlib.suppress(OSError, ValueError, TypeError):
        of, found = json.loads(file.read_text())
        if of == key:
            return Pass(*found)
    made = count()
    run.checkpoints.mkdir(exist_ok=True)
    disk.write_file(file, json.dumps([key, made]))
    return made


class Reached(TrainerCallback):
    """Tells the stream how far the training is, which begins behind ``step``, and a person what it has lost."""

    def __init__(self, stream: Stream, step: int, lost: Callable[[list[str]], None]) -> None:
        self.stream = stream
        self.step = step
        self.lost = lost

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        steps = state.global_step - self.step
        self.stream.reach(steps * args.gradient_accumulation_steps * args.world_size)
        if newly := self.stream.newly_lost():
            self.lost(newly)
        state.epoch = self.stream.passes  # Trainer knows no end of a stream: it would count shares of the run
