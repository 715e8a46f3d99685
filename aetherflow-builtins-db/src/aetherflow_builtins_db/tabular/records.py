"""The records of a text file with their own text, for steps that keep it as it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aetherflow.core.api import LoadBatch
from aetherflow_builtins_db.formats.sink import Sink
from aetherflow_builtins_db.tabular.table import BATCH_ROWS, Table


@contextmanager
def recorded(table: Table) -> Iterator[tuple[str, Iterator[tuple[LoadBatch, list[str]]]]]:
    """The header's text, empty if there is none, and batches of rows with the text of each row, its line end included.

    StepError for a record that is damaged.
    """
    with table.source.records(keys=table.keys) as reader:

        def batches() -> Iterator[tuple[LoadBatch, list[str]]]:
            for batch in reader.batches(BATCH_ROWS, table.refusing(reader.unit)):
                texts, reader.texts = reader.texts, []
                yield batch, texts or []

        yield reader.header, batches()


def copy_json_lines(table: Table, sink: Sink, on_rows: Callable[[int], None]) -> None:
    """Write the lines of JSON as they are, in UTF-8; `on_rows` is called with the number of rows so far."""
    count = 0
    with recorded(table) as (_, batches):
        for batch, texts in batches:
            sink.write("".join([f"{text.rstrip()}\n" for text in texts]).encode())
            count += len(batch.rows)
            on_rows(count)
