"""Files as bytes and as text: decompressed, decoded, every complaint with file and line."""

import codecs
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from llmctl.data.sources import compression_of
from llmctl.errors import DataError

Tell = Callable[[str], None]

NEWLINE = "\n"
NUL = "\0"
_CHUNK = 1 << 20
_LONG_LINE = 10 << 20
MAX_VALUE = 128 << 20
"""Characters that a line, a cell or a JSON value may have: it is held in memory as a whole, several times over."""
# The marks of utf-32 first: one of them begins like one of utf-16.
_UNICODE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class SourceFile(NamedTuple):
    """A file as it was when it was first looked at: ``size`` in bytes, ``mtime_ns`` in nanoseconds."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path) -> "SourceFile":
        """Look at ``path`` now; DataError when that is not allowed."""
        try:
            status = path.stat()
        except OSError as exc:
            raise unreadable(path, exc) from exc
        return cls(path, status.st_size, status.st_mtime_ns)


def check_unchanged(file: SourceFile) -> None:
    if SourceFile.at(file.path) != file:
        raise DataError(
            f"{file.path}: changed while it was being read", hint="run the command again when it is complete"
        )


def unreadable(path: Path, exc: OSError) -> DataError:
    reason = (exc.strerror or str(exc)).lower()
    return DataError(f"{path}: {reason}", hint="check that the file is there and that you may read it")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed; DataError for what goes wrong in the body by the file's fault."""
    import bz2
    import gzip
    import lzma
    import zlib

    compression = compression_of(path)
    try:
        handle: Any
        if compression == ".zst":
            import pyarrow

            handle = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
        else:
            open_file: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(compression, open)
            handle = open_file(path, "rb")
        with handle:
            yield handle
    except (EOFError, zlib.error, lzma.LZMAError) as exc:
        raise damaged(path, compression, exc) from exc
    except OSError as exc:
        # The decompressors' own complaints carry no error number.
        raise (unreadable(path, exc) if exc.errno else damaged(path, compression, exc)) from exc


def damaged(path: Path, kind: str, exc: Exception) -> DataError:
    return DataError(
        f"{path}: truncated or damaged {kind} file ({exc})", hint="fetch or write the file again"
    )


def decoded(path: Path, encoding: str, tell: Tell) -> Iterator[str]:
    r"""The file's text in chunks of about a mebibyte, line ends as ``\n``, without a byte-order mark.

    Raises:
        DataError: not in this encoding, or a NUL, with the line's number.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line, long_line = 1, 0
    for number, chunk in enumerate(_chunks(path)):
        if number == 0:
            _refuse_other_unicode(path, chunk, encoding)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as exc:
            raise _not_encoded(path, line, exc, encoding) from exc
        if number == 0 and text.startswith("\ufeff"):
            tell(f"{path}: removed a byte-order mark")
            text = text[1:]
        if "\0" in text:
            raise nul(f"{path}:{line + text.count(NEWLINE, 0, text.index(NUL))}")
        lines = text.count(NEWLINE)
        long_line += text.find(NEWLINE) if lines else len(text)
        if lines and long_line > _LONG_LINE:
            tell(f"{path}: line {line:,} is {long_line / 1e6:.0f} MB long")
        long_line = len(text) - text.rfind(NEWLINE) - 1 if lines else long_line
        line += lines
        if text:
            yield text
    if long_line > _LONG_LINE:
        tell(f"{path}: line {line:,} is {long_line / 1e6:.0f} MB long")


def _chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes; an empty chunk ends them."""
    with opened(path) as handle:
        while chunk := handle.read(_CHUNK):
            yield chunk
    yield b""


def _refuse_other_unicode(path: Path, start: bytes, encoding: str) -> None:
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        return
    for mark, name in _UNICODE_MARKS:
        if start.startswith(mark):
            raise DataError(f"{path}: starts with the byte-order mark of {name}", hint=f"--encoding {name}")


def _not_encoded(path: Path, line: int, exc: UnicodeDecodeError, encoding: str) -> DataError:
    before = exc.object[: exc.start].decode(encoding, errors="replace")
    line += len(before.replace("\r\n", NEWLINE).replace("\r", NEWLINE).split(NEWLINE)) - 1
    other = "latin-1" if codecs.lookup(encoding).name.startswith("utf-8") else "utf-8"
    return DataError(
        f"{path}:{line}: byte 0x{exc.object[exc.start]:02X} is not {encoding.upper()}",
        hint=f"say what the file is in, e.g. --encoding {other}",
    )


def nul(where: str) -> DataError:
    return DataError(
        f"{where}: NUL character", hint="not plain text, damaged, or in another encoding: --encoding utf-16"
    )


def too_long(where: str, what: str) -> DataError:
    """The complaint about a line, cell or value of more than ``MAX_VALUE`` characters."""
    return DataError(
        f"{where}: a {what} of more than {MAX_VALUE >> 20} million characters",
        hint="is a quotation mark or line end missing? part it into several",
    )


def lines_of(chunks: Iterable[str], path: Path) -> Iterator[str]:
    r"""The lines of ``path`` without their ``\n``; a last line may lack one.

    Raises:
        DataError: a line is too long to be held in memory.
    """
    held: list[str] = []
    size = line = 0
    for chunk in chunks:
        first, *others = chunk.split(NEWLINE)
        held.append(first)
        size += len(first)
        if size > MAX_VALUE:
            raise too_long(f"{path}:{line + 1}", "line")
        if others:
            yield "".join(held)
            line += len(others)
            held = [others.pop()]
            size = len(held[0])
            yield from others
    if last := "".join(held):
        yield last
