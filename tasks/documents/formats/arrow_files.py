"""Arrow files: IPC files (Feather) and IPC streams, as Hugging Face saves data sets -> one lazy table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from topicflow.tasks.documents.formats.streams import missing_package
from topicflow.tasks.documents.formats.unions import union
from topicflow.tasks.errors import DataError

_FILE_MARK = b"ARROW1"
_OLD_FEATHER = b"FEA1"


def scan_arrow_files(paths: Sequence[Path]) -> tuple[pl.LazyFrame, list[str]]:
    """Return the table of the rows of files, and which of them have other columns.

    Notes
    -----
    Both kinds are read batch by batch; a stream needs pyarrow.

    Raises
    ------
    DataError
        If a file has no column of the first one, or pyarrow is needed and not installed.
    """
    return union([str(path) for path in paths], [_scan(path) for path in paths])


def _scan(path: Path) -> pl.LazyFrame:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(_FILE_MARK):
        return pl.scan_ipc(path, glob=False)
    if head.startswith(_OLD_FEATHER):
        msg = f"load: {path}: Feather of version 1; write it again with a newer pandas or pyarrow"
        raise DataError(msg)
    return _scan_stream(path)


def _scan_stream(path: Path) -> pl.LazyFrame:
    try:
        import pyarrow as pa
        from pyarrow import ipc
    except ImportError:
        raise missing_package(path, "pyarrow") from None
    try:
        with pa.OSFile(str(path)) as file:
            schema = pl.from_arrow(ipc.open_stream(file).schema.empty_table())
    except pa.ArrowInvalid as error:
        msg = f"load: {path}: cannot be read ({str(error).splitlines()[0]}); expected an Arrow file or stream"
        raise DataError(msg) from None
    assert isinstance(schema, pl.DataFrame)
    return _streamed(path, schema.schema)


def _streamed(path: Path, schema: pl.Schema) -> pl.LazyFrame:
    """Return a lazy frame that reads the stream again each time it is collected."""
    from collections.abc import Iterator

    from polars.io.plugins import register_io_source

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        import pyarrow as pa
        from pyarrow import ipc

        left = n_rows
        with pa.memory_map(str(path)) as file:
            for batch in ipc.open_stream(file):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                frame = frame if columns is None else frame.select(columns)
                if left is not None:
                    frame = frame.head(left)
                    left -= frame.height
                yield frame if predicate is None else frame.filter(predicate)
                if left == 0:
                    return

    return register_io_source(io_source=batches, schema=schema, is_pure=True)
