"""Records into files: Parquet and Arrow IPC, in batches as they arrive."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from mainstem.cli.output import note
from mainstem.errors import Invalid


@contextmanager
def open_sink(shape: str, output: str | None) -> Iterator[Any]:
    """What writes batches when called; a file is there when it has records, and whole at the end.

    Raises ``BadParameter`` for bytes on a terminal, ``Invalid`` when columns change on the way.
    """
    if output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{shape} is not for a terminal: give --output FILE")
    sink = Sink(shape, output)
    try:
        yield sink
    except BaseException:
        sink.finish()
        raise
    sink.finish()
    if not sink.begun and output is not None:
        note(f"no records: {output} was not written")


class Sink:
    """``whole`` where what was written can be read, even if nothing comes behind it."""

    def __init__(self, shape: str, output: str | None) -> None:
        self._shape = shape
        self._output = output
        self._stream: Any = None
        self._writer: Any = None
        self._schema: Any = None
        self.begun = False
        self.whole = shape == "arrow"  # Parquet's footer comes last

    def __call__(self, batch: Any) -> None:
        """Write a batch, to the operating system where it is whole with that."""
        batch = _named(batch)
        if self._writer is None:
            self._open(batch.schema)
        if not batch.schema.equals(self._schema):
            batch = self._fitted(batch)
        if self._shape == "parquet":
            self._writer.write_table(pa.Table.from_batches([batch]))
        else:
            self._writer.write_batch(batch)
            self._stream.flush()

    def _open(self, schema: Any) -> None:
        self._schema = schema
        self.begun = True
        path = self._output
        self._stream = sys.stdout.buffer if path is None else Path(path).open("wb")  # noqa: SIM115 - until close
        sink = pa.PythonFile(self._stream, mode="w")
        try:
            if self._shape == "parquet":
                from pyarrow import parquet

                self._writer = parquet.ParquetWriter(sink, schema)
            else:
                self._writer = pa.ipc.new_stream(sink, schema)
        except pa.ArrowException as error:
            raise Invalid(f"{self._shape} cannot hold these columns: {error}") from error

    def _fitted(self, batch: Any) -> Any:
        """A later batch in the columns of the first: fewer are null, others do not fit."""
        wanted, columns = self._schema, []
        extra = set(batch.schema.names) - set(wanted.names)
        try:
            for field in wanted:
                there = field.name in batch.schema.names
                columns.append(
                    batch.column(field.name).cast(field.type)
                    if there
                    else pa.nulls(batch.num_rows, field.type)
                )
        except (pa.ArrowException, KeyError) as error:
            raise self._changed(str(error)) from error
        if extra:
            raise self._changed(f"column {min(extra)!r} came later")
        return pa.RecordBatch.from_arrays(columns, schema=wanted)

    def _changed(self, reason: str) -> Invalid:
        return Invalid(
            f"the records' columns changed on the way, which {self._shape} does not allow: "
            f"{reason}: use --format json"
        )

    def finish(self) -> None:
        """The end of the file; nothing may be written any more. May be called twice."""
        writer, self._writer = self._writer, None
        stream, self._stream = self._stream, None
        try:
            if writer is not None:
                writer.close()
        finally:
            if stream is not None and self._output is not None:
                stream.close()
            elif stream is not None:
                stream.flush()


def _named(batch: Any) -> Any:
    """The topic as plain text: its dictionary would change from batch to batch."""
    names = batch.schema.names
    columns = list(batch.columns)
    if "_topic" in names:
        at = names.index("_topic")
        columns[at] = columns[at].dictionary_decode()
    return pa.RecordBatch.from_arrays(columns, names)
