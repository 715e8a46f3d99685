"""Reads lines whose columns have fixed widths. Blanks around a value are no part of it; blanks alone are null."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise

from aetherflow.core.api import LoadBatch
from aetherflow_builtins_db.loading import meter as limits
from aetherflow_builtins_db.loading.batch import OnReject, Reject


class FixedReader:
    """The records of a text of fixed width: one for each line that is not empty.

    :param widths: name of each column to its characters, in the order of the line
    """

    unit = "line"
    texts: list[str] | None = None
    """If a list: gets the text of each record of a batch, with its line end."""
    header = ""

    def __init__(self, lines: Iterable[str], widths: Mapping[str, int], meter: limits.Meter | None = None) -> None:
        self.names = list(widths)
        self._lines = lines
        self._cuts = [slice(*ends) for ends in pairwise(accumulate(widths.values(), initial=0))]
        self._length = sum(widths.values())
        self._meter = meter or limits.Meter()

    def batches(self, size: int, on_reject: OnReject) -> Iterator[LoadBatch]:
        """Yield the records in batches; `on_reject` is called for lines of another length."""
        cuts, length, meter, number = self._cuts, self._length, self._meter, 0
        meter.lines = lambda: number
        batch, most = LoadBatch(), meter.count + limits.MOST_BYTES
        for number, line in enumerate(self._lines, 1):
            meter.mark = meter.count
            if number == 1:
                line = line.removeprefix("\ufeff")
            text = line.rstrip("\r\n")
            if not text:
                continue
            if len(text) != length:
                on_reject(Reject(number, f"has {len(text)} characters, not {length}", record=text))
                continue
            batch.rows.append(tuple([text[cut].strip(" ") or None for cut in cuts]))
            batch.numbers.append(number)
            if self.texts is not None:
                self.texts.append(line)
            if len(batch.rows) >= size or meter.count > most:
                yield batch
                batch, most = LoadBatch(), meter.count + limits.MOST_BYTES
        if batch.rows:
            yield batch
