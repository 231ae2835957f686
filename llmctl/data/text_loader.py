"""The splits of a source of text: counted, and made documents of."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from llmctl.config import TextData
from llmctl.data.documents import (
    Count,
    Documents,
    Read,
    Stream,
    between,
    counted,
    first,
    part,
    place_to_cut,
    without_blank,
)
from llmctl.data.files import SourceFile
from llmctl.data.generated import builtin_texts, code_digest
from llmctl.data.readers import Piece, dataset_documents, read_documents
from llmctl.data.shards import Met, Shard, Shards
from llmctl.data.sources import BuiltinSource, compression_of, kind_of, resolve
from llmctl.data.splits import (
    Openers,
    Split,
    key_of,
    number_held_out,
    open_splits,
    parts_of,
    percent,
    tell_held_out,
    tell_lost,
    tell_notes,
)
from llmctl.errors import DataError
from llmctl.progress import Progress, many


@dataclass(frozen=True)
class TextLoader:
    """Counts splits and makes documents of them, telling what was met on the way."""

    config: TextData
    progress: Progress
    cache_dir: Path

    def splits(self, source: str) -> dict[str, Split[Shards]]:
        openers = Openers(self._of_files, self._of_dataset, self._of_builtin)
        return open_splits(source, resolve(source, self.config), openers, self.progress)

    def _of_files(self, name: str, paths: list[Path]) -> Split[Shards]:
        files = tuple(SourceFile.at(path) for path in paths)
        config = self.config
        settings = [config.encoding, config.sample_by, config.text_column, config.on_bad_shard]
        shards = (Shard(str(file.path), file.size, partial(read_documents, file, config)) for file in files)
        return Split(name, [*key_of(files), settings], self._shards(*shards), files)

    def _of_dataset(self, name: str, dataset: Any) -> Split[Shards]:
        # `datasets` makes the fingerprint from repository, revision, configuration and split.
        key = ["hub", name, dataset._fingerprint, len(dataset), self.config.text_column]
        read = partial(dataset_documents, dataset, name, self.config)
        return Split(name, key, self._shards(Shard(name, 0, read)))

    def _of_builtin(self, name: str, found: BuiltinSource) -> Split[Shards]:
        def read(_: Any) -> Iterator[Piece]:
            return (Piece(text, True) for text in builtin_texts(found, self.cache_dir))

        key = ["builtin", found.name, found.size, code_digest()]
        return Split(name, key, self._shards(Shard(name, 0, read)))

    def _shards(self, *shards: Shard) -> Shards:
        return Shards(shards, skip=self.config.on_bad_shard == "skip")

    def load(self, split: Split[Shards], *, optional: bool = False) -> Documents:
        """The split's documents; DataError when there are none."""
        return self._load(split)[0]

    def learn(self, split: Split[Shards]) -> Any:
        """What is learnt from of a split that nothing is held out of."""
        return self.load(split)

    def _load(self, split: Split[Shards]) -> tuple[Documents, Count]:
        limit = self.config.max_documents
        plain = all(kind_of(file.path) == "text" and not compression_of(file.path) for file in split.files)
        total = sum(file.size for file in split.files) if plain and split.files else None
        key = split.key and [split.key, limit]
        count = self._count(split, key, split.read, limit, total)
        tell_notes(self.progress, split.name, count.notes)
        tell_lost(self.progress, split.name, count.lost, len(split.read.shards))
        if not count.num_documents:
            raise _no_text(split, count)
        if count.num_blank:
            self.progress.note(f"{split.name}: skipped {many(count.num_blank, 'empty document')}")

        def stream() -> Iterator[Piece]:
            return first(without_blank(split.read(Met())), limit)

        return _documents(split, split.name, stream, count), count

    def hold_out(self, split: Split[Shards]) -> dict[str, Any]:
        """Training and validation documents of a split that has no other to be judged by."""
        documents, count = self._load(split)
        split_up = self._cut_in_two if count.num_documents == 1 else self._draw
        learn, judge = split_up(documents, count)
        config = self.config
        key = [split.key, config.max_documents, config.validation_fraction, config.split_seed]
        judged = self._count(split, key, judge, None, documents.num_bytes)
        if not judged.num_documents or next(without_blank(learn(Met())), None) is None:
            raise DataError(
                f"{split.name}: too short to hold out a part of it",
                hint="--validation-data FILE, or --validation-fraction 0 to do without",
            )
        learnt_name, judged_name = parts_of(split.name)
        digest = hashlib.sha256(f"{count.fingerprint} without {judged.fingerprint}".encode()).hexdigest()
        learnt = replace(
            count,
            num_documents=max(1, count.num_documents - judged.num_documents),
            num_bytes=count.num_bytes - judged.num_bytes,
            fingerprint=digest[:32],
        )
        return {
            "train": _documents(split, learnt_name, partial(learn, Met()), learnt),
            "validation": _documents(split, judged_name, partial(judge, Met()), judged),
        }

    def _draw(self, documents: Documents, count: Count) -> tuple[Read, Read]:
        """The documents without a share drawn by seed, and that share."""
        seed, all_of_them = self.config.split_seed, count.num_documents
        held_out = number_held_out(self.config.validation_fraction, all_of_them)
        tell_held_out(self.progress, self.config, held_out, all_of_them, "document")

        def read(chosen: bool, _: Met) -> Iterator[Piece]:
            return part(documents.stream(), all_of_them, held_out, seed, chosen)

        return partial(read, False), partial(read, True)

    def _cut_in_two(self, documents: Documents, count: Count) -> tuple[Read, Read]:
        """The beginning and the end of a text that is a single document, cut at a line end."""
        total = count.num_chars
        place = place_to_cut(documents.stream(), int((1 - self.config.validation_fraction) * total))
        self.progress.note(
            f"held out the last {total - place:,} of {many(total, 'character')} for validation "
            f"({percent(total - place, total)}): it is one document"
        )
        return (
            lambda _: between(documents.stream(), 0, place),
            lambda _: between(documents.stream(), place, None),
        )

    def _count(
        self, split: Split[Shards], key: Any, read: Read, limit: int | None, total: int | None
    ) -> Count:
        return counted(
            read,
            key,
            name=split.name,
            limit=limit,
            total=total,
            cache_dir=self.cache_dir,
            progress=self.progress,
        )


def _documents(split: Split[Shards], name: str, stream: Stream, count: Count) -> Documents:
    lost = tuple(count.lost)
    return Documents(
        name, count.num_documents, count.num_bytes, count.fingerprint, split.files, stream, lost=lost
    )


def _no_text(split: Split[Shards], count: Count) -> DataError:
    if count.lost:
        return DataError(
            f"{split.name}: no text is left when bad shards are skipped; {count.lost[0]}",
            hint="mend the shards, or leave --on-bad-shard out to see what is wrong with the first",
        )
    if split.files and not any(file.size for file in split.files):
        what = "empty file" if len(split.files) == 1 else f"{len(split.files):,} files, all empty"
        return DataError(f"{split.name}: {what}", hint="give a file with text in it")
    return DataError(f"{split.name}: no text in it, only white space", hint="give a file with text in it")
