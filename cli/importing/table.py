"""Reading a CSV file (plain or gzip) row by row, with the line number of everything that is wrong."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Final, cast

from cli.importing.errors import BadFile, BadRow

GZIP_MAGIC: Final = b"\x1f\x8b"
CELL_LIMIT: Final = 10_000_000
"""Characters in one cell. More is a quote that was never closed."""

Cells = list[str]
Row = tuple[int, Cells]
"""The number of the row's first line in the file, and its cells."""
OnBad = Callable[[BadRow, Cells], None]
"""Takes a row that is broken as such, and its cells as far as there are any."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is written. `quote` None: quotes have no meaning. `header` False: the columns
    are called "1", "2", "3" and so on."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    header: bool = True
    skip_lines: int = 0


class Table:
    """A CSV file. `columns` are the names of its columns, in order.

    Raises BadFile when the file cannot be opened, is empty, or names a column twice.
    """

    def __init__(self, path: Path, layout: Layout | None = None) -> None:
        self.path = path
        self.layout = layout or Layout()
        csv.field_size_limit(CELL_LIMIT)
        with self._rows() as (_, rows):
            first = next(iter(rows), None)
        if first is None:
            raise BadFile(f"{path}: the file has no rows")
        if self.layout.header:
            self.columns = tuple(name.strip() for name in first)
        else:
            self.columns = tuple(str(number) for number in range(1, len(first) + 1))
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1 and name})
        if twice:
            raise BadFile(f"{path}: these columns occur more than once: {', '.join(twice)}")

    def require(self, names: Iterator[str] | tuple[str, ...], hint: str = "") -> None:
        """Raises BadFile when a column is missing, naming all that are."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            found = ", ".join(self.columns[:60])
            if len(self.columns) == 1 and self.layout.delimiter not in found:
                hint = f"Is {self.layout.delimiter!r} really what separates the cells? {hint}"
            raise BadFile(
                f"{self.path}: no column {', '.join(map(repr, missing))}. "
                f"The file has: {found}. {hint}".rstrip()
            )

    def rows(self, on_bad: OnBad) -> Iterator[Row]:
        """Every row after the header. A broken one is given to `on_bad`, which may raise it."""
        width = len(self.columns)
        with self._rows() as (lines_read, rows):
            reader = iter(rows)
            if self.layout.header:
                next(reader, None)
            line = lines_read() + 1
            for cells in reader:
                wrong = _flaw(cells, width)
                if wrong is None:
                    yield line, cells
                elif cells:  # an empty line is no row
                    on_bad(BadRow(line, wrong), cells)
                line = lines_read() + 1

    @contextmanager
    def _rows(self) -> Iterator[tuple[Callable[[], int], Iterator[Cells]]]:
        """A counter of the lines read so far, and the rows; every low-level error as BadFile."""
        layout = self.layout
        try:
            with self._open() as file:
                skipped = sum(1 for _ in islice(file, layout.skip_lines))
                reader = csv.reader(
                    file,
                    delimiter=layout.delimiter,
                    quotechar=layout.quote,
                    quoting=csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE,
                    escapechar=layout.escape,
                )

                def rows() -> Iterator[Cells]:
                    try:
                        yield from reader
                    except csv.Error as error:
                        raise BadRow(
                            skipped + reader.line_num,
                            f"this is not CSV: {error}",
                            path=self.path,
                        ) from error

                yield lambda: skipped + reader.line_num, rows()
        except UnicodeError as error:
            raise BadFile(f"{self.path}: not text in {layout.encoding}: {error}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadFile(f"{self.path}: the gzip file is broken or cut off: {error}") from error
        except OSError as error:
            raise BadFile(f"{self.path}: {error.strerror or error}") from error

    def _open(self) -> TextIOWrapper:
        with self.path.open("rb") as probe:
            packed = probe.read(2) == GZIP_MAGIC
        raw = cast("IO[bytes]", gzip.open(self.path) if packed else self.path.open("rb"))  # noqa: SIM115 - closed with the text around it
        # A leading byte order mark is no part of the first column's name. Bytes that are not text
        # become lone surrogates here, so that the row they stand in can be named.
        utf8 = self.layout.encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
        encoding = "utf-8-sig" if utf8 else self.layout.encoding
        return TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="")


def _flaw(cells: Cells, width: int) -> str | None:
    """What is wrong with the row as such."""
    if len(cells) != width:
        return (
            f"{len(cells)} cells where the header has {width}; is a delimiter or a quote missing, "
            "or one too many?"
        )
    text = "".join(cells)
    if text.isascii():
        return "the row holds a zero byte" if "\0" in text else None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        return f"byte 0x{byte:02x} is not text in the file's encoding; name the right encoding"
    return "the row holds a zero byte" if "\0" in text else None
