"""Documents with one word misspelt: the word is changed in the text, and the rest is not written again."""

from typing import Any

import yaml

from aetherflow.core.base.location import Location
from aetherflow.core.kernel.yaml.loader import Document, parse_document


def in_block_style(data: Any) -> Document:
    """The document of these data, with each key and each item on a line of its own."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return parse_document(str(yaml.dump(data, Dumper=dumper, sort_keys=False, width=10_000)), "x.yaml")


def misspelt(document: Document, at: Location, word: str, wrong: str) -> str:
    """The document's text with `wrong` in place of the `word` that stands at or behind a place, on its line."""
    lines = document.text.splitlines(keepends=True)
    line = lines[at.line - 1]
    before = line[: at.column - 1]
    lines[at.line - 1] = before + line[len(before) :].replace(word, wrong, 1)
    return "".join(lines)
