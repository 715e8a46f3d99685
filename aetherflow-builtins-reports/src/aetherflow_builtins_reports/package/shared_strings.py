"""Reads the shared strings, the texts that cells refer to by number."""

from collections.abc import Iterable, Iterator
from xml.parsers import expat

from aetherflow_builtins_reports.package.markup import MOST_HELD, MarkupError, new_parser


class _Texts:
    """Collects the text of each entry: joins rich text runs and leaves out phonetic text (`rPh`)."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._parts: list[str] | None = None
        self._inside = self._beside = 0
        self._size = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        match name.rpartition(":")[2]:
            case "si":
                self._parts = []
                self._size = 0
            case "t":
                self._inside += 1
            case "rPh":
                self._beside += 1

    def end(self, name: str) -> None:
        match name.rpartition(":")[2]:
            case "si":
                self.done.append("".join(self._parts or ()))
                self._parts = None
            case "t":
                self._inside -= 1
            case "rPh":
                self._beside -= 1

    def text(self, value: str) -> None:
        if self._parts is not None and self._inside and not self._beside:
            self._parts.append(value)
            self._size += len(value)
            refuse_large(self._size)


def read_shared_strings(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield the texts in their order; MarkupError if the part is no XML."""
    texts, parser = _Texts(), new_parser()
    parser.StartElementHandler, parser.EndElementHandler = texts.start, texts.end
    parser.CharacterDataHandler = texts.text
    fed = 0
    try:
        for block in blocks:
            fed += len(block)
            parser.Parse(block, False)
            refuse_large(fed - parser.CurrentByteIndex)
            yield from texts.done
            texts.done.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise MarkupError(f"it is no well-formed XML: {error}") from error
    yield from texts.done


def refuse_large(size: int) -> None:
    """MarkupError for a text, or a tag, that takes more than may be held."""
    if size > MOST_HELD:
        raise MarkupError(f"one of them takes more than {MOST_HELD >> 20} MiB")
