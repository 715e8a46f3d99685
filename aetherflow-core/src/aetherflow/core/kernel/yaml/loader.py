"""Strict YAML: one pass over the parser's events gives plain data and the position of every key and value.

Refused with a located error: duplicate keys, keys that are not text, tags, merge keys, several documents, an alias
inside its own anchor, and documents beyond the limits. Limits are counted with aliases expanded, so a small file
cannot grow into a large one.
"""

import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml
from yaml import MappingEndEvent, ScalarEvent, SequenceEndEvent

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.contracts.written import value_at, with_texts
from aetherflow.core.kernel.yaml.scalars import plain_scalar
from aetherflow.core.kernel.yaml.source_map import SourceMap

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 300_000
MAX_DEPTH = 64
EMPTY_FIX = "start with `version: 1`, `flow:` and `jobs:`"

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


class RawString(str):
    """Text marked `!raw`: taken verbatim, never searched for templates."""

    __slots__ = ()


class Document(NamedTuple):
    """A parsed document: its plain data, the positions of its parts, and its text."""

    file: str
    data: Any
    source: SourceMap
    text: str

    def bound(self, wanted: Callable[[DocPath, Any], bool] = lambda _path, _value: True) -> "Document":
        """A copy with text in place of the numbers, booleans and nulls that models took as text, where `wanted`."""
        texts = {}
        for path, text in self.source.texts.items():
            value = value_at(self.data, path, "")  # a path without a value is that of a profile
            if not isinstance(value, str) and wanted(path, value):
                texts[path] = text
        return self._replace(data=with_texts(self.data, texts))


class Limits(NamedTuple):
    """How large a document may be: bytes of its text, values once its aliases are expanded."""

    size: int = MAX_BYTES
    nodes: int = MAX_NODES


DEFAULT_LIMITS = Limits()


def parse_document(text: str, file: str, limits: Limits = DEFAULT_LIMITS) -> Document:
    """Parse YAML text; `file` is the name that locations carry."""
    source = SourceMap(file)
    try:
        text.encode()
    except UnicodeEncodeError as error:  # an environment variable that is not UTF-8
        before = text[: error.start]
        at = Location(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise refused("AF1008", "is not UTF-8", at, "save it as UTF-8") from None
    try:
        loader = _Loader(text)
        collecting = gc.isenabled()
        gc.disable()  # nothing of a document becomes garbage while it is built: collections would only take time
        try:
            data = _Builder(source, limits.nodes).build(loader.get_event)
        finally:
            loader.dispose()
            if collecting:
                gc.enable()
    except yaml.YAMLError as error:
        raise _syntax_error(error, file, text) from None
    if not source.values:
        raise refused("AF1007", "is empty", Location(file), EMPTY_FIX)
    return Document(file, data, source, text)


def refused(af: str, message: str, at: Location, fix: str, loc: str = "<root>") -> SpecError:
    """The error for a document that cannot be read or parsed."""
    return SpecError([Problem(af, message, at, loc, code="document", fix=fix)])


def _syntax_error(error: yaml.YAMLError, file: str, text: str) -> SpecError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    at = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
    what = getattr(error, "problem", None) or "cannot be parsed"
    if not mark and isinstance(character := getattr(error, "character", None), int):  # its reader gives no mark
        what = f"control character U+{character:04X} is not allowed"
        before, _, _ = text.partition(chr(character))
        at = Location(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
    if context := getattr(error, "context", None):
        what = f"{what} ({context})"
    fix = "check indentation and quotes on this line and the one above"
    if mark and text[mark.index : mark.index + 1] in {"\t", "@", "`", "%"}:  # they start nothing
        fix = "indent with spaces, not tabs, and quote text that starts with @, ` or %"
    return refused("AF1004", f"is not valid YAML: {what}", at, fix)


class _Builder:
    def __init__(self, source: SourceMap, most: int) -> None:
        self.source = source
        self.values, self.keys = source.values, source.keys
        self.words: list[tuple[DocPath, str]] = []
        self.most = most
        self.nodes = 0
        self.anchors: dict[str, tuple[Any, int, list[tuple[DocPath, str]]]] = {}
        """Anchor to its value, the number of nodes below it, and the written words in it by relative path."""
        self.open_anchors: set[str] = set()

    def build(self, next_event: Callable[[], Any]) -> Any:
        data: Any = None
        documents = 0
        self.next_event = next_event
        while (event := next_event()) is not None:
            kind = type(event)
            if kind in (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentEndEvent):
                continue
            if kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self._error("AF1009", "holds more than one YAML document", event, (), "one document per file")
                continue
            data = self._node(event, (), 0)
            self.source.words.update(self.words)
        return data

    # classes of events are compared with `is`, which is faster than isinstance: this runs for every value
    def _node(self, event: Any, path: DocPath, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > self.most:
            raise self._too_many(event, path)
        if depth > MAX_DEPTH:
            raise self._error("AF1006", f"is nested deeper than {MAX_DEPTH} levels", event, path, "flatten the value")
        self.values[path] = event.start_mark
        kind = type(event)
        if kind is ScalarEvent and event.anchor is None:
            return self._scalar(event, path)
        if kind is yaml.AliasEvent:
            return self._alias(event, path)
        if event.anchor is None:
            return self._value(event, path, depth)
        before, first_word = self.nodes, len(self.words)
        self.open_anchors.add(event.anchor)
        value = self._value(event, path, depth)
        self.open_anchors.discard(event.anchor)
        words = [(at[len(path) :], word) for at, word in self.words[first_word:]]
        self.anchors[event.anchor] = (value, self.nodes - before, words)
        return value

    def _value(self, event: Any, path: DocPath, depth: int) -> Any:
        if type(event) is ScalarEvent:
            return self._scalar(event, path)
        if event.tag is not None:
            raise self._tag_error(event, path)
        if type(event) is yaml.SequenceStartEvent:
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _sequence(self, path: DocPath, depth: int) -> list[Any]:
        items: list[Any] = []
        next_event = self.next_event
        while type(event := next_event()) is not SequenceEndEvent:
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: DocPath, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        next_event = self.next_event
        while type(event := next_event()) is not MappingEndEvent:
            key = self._key(event, path)
            here = (*path, key)
            if key in mapping:
                first = self.source.key(here)
                raise self._error(
                    "AF1005", f"duplicate key {key!r}, first on line {first.line}", event, here, "remove one"
                )
            self.keys[here] = event.start_mark
            mapping[key] = self._node(next_event(), here, depth + 1)
        return mapping

    def _key(self, event: Any, path: DocPath) -> str:
        self.nodes += 1
        if self.nodes > self.most:
            raise self._too_many(event, path)
        if type(event) is not ScalarEvent:
            raise self._error("AF1010", "a key must be text", event, path, "write the key as plain text")
        if event.value == "<<" and event.implicit[0]:
            raise self._error("AF1011", "merge keys (<<) are not supported", event, path, "repeat the keys")
        value = self._scalar(event, path)
        if type(value) is not str:
            raise self._error(
                "AF1010",
                f"a key must be text, this one reads as {event.value!r}",
                event,
                path,
                f'quote it: "{event.value}"',
            )
        return value

    def _scalar(self, event: Any, path: DocPath) -> Any:
        text = event.value
        if (tag := event.tag) is not None:
            if tag not in ("!", "!raw"):
                raise self._tag_error(event, path)
            return text if tag == "!" else RawString(text)
        value = plain_scalar(text) if event.implicit[0] else text
        if value is None:
            # in a list a written `null` is deliberate, so it keeps its word; after a key it means no value
            if text and path and type(path[-1]) is int:
                self.words.append((path, text))
        elif type(value) is bool and text not in ("true", "false"):
            self.words.append((path, text))
        return value

    def _alias(self, event: Any, path: DocPath) -> Any:
        if event.anchor in self.open_anchors:
            raise self._error(
                "AF1006", f"*{event.anchor} stands inside its own anchor", event, path, "remove the alias"
            )
        if event.anchor not in self.anchors:
            raise self._error(
                "AF1004", f"is not valid YAML: unknown alias *{event.anchor}", event, path, "define the anchor first"
            )
        value, size, words = self.anchors[event.anchor]
        self.nodes += size
        if self.nodes > self.most:
            raise self._too_many(event, path)
        self.words += [((*path, *at), word) for at, word in words]
        return value

    def _too_many(self, event: Any, path: DocPath) -> SpecError:
        message = f"has more than {self.most:,} values once its aliases are expanded"
        return self._error("AF1006", message, event, path, "split the document, or use fewer aliases")

    def _tag_error(self, event: Any, path: DocPath) -> SpecError:
        return self._error(
            "AF1012", f"YAML tag {event.tag!r} is not supported", event, path, "remove the tag; only !raw is known"
        )

    def _error(self, af: str, message: str, event: Any, path: DocPath, fix: str) -> SpecError:
        mark = event.start_mark
        at = Location(self.source.file, mark.line + 1, mark.column + 1)
        return refused(af, message, at, fix, format_path(path))
