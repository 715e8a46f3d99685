"""Encodes text for cells: never as a formula, as valid XML, and no longer than Excel allows."""

import re
from collections import Counter
from collections.abc import Sequence

from aetherflow_builtins_reports.cells.rules import MAX_TEXT, Rule

_BREAK = "\0"
# Text that needs a rule, apart from & < >: control characters, text that looks like an escape `_x0007_`, lone
# surrogates, blanks at an edge. The values are joined by NUL; a NUL inside a value is found by counting.
_IRREGULAR = re.compile(
    "[\x01-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_x[0-9A-Fa-f]{4}_|(?:^|\0)[ \t\n]|[ \t\n](?:\0|$)"
)
_ESCAPED = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_HALVES = re.compile("[\ud800-\udfff]")
_EDGES = (" ", "\t", "\n")


def plain_texts(values: Sequence[str]) -> Sequence[str] | None:
    """The values as XML text; None if any of them needs a rule."""
    joined = _BREAK.join(values)
    if "".join(
        values
    ).isprintable():  # the usual case: only blanks at an edge and text like escapes remain to be checked
        edged = "\0 " in joined or " \0" in joined or joined[0] == " " or joined[-1] == " "
        if edged or "_x" in joined or (len(joined) > MAX_TEXT // 2 and max(map(len, values)) > MAX_TEXT // 2):
            return None
    elif (
        _IRREGULAR.search(joined)
        or joined.count(_BREAK) != len(values) - 1
        or (len(joined) > MAX_TEXT // 2 and max(map(len, values)) > MAX_TEXT // 2)
    ):
        return None
    if "&" in joined or "<" in joined or ">" in joined:
        return joined.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split(_BREAK)
    return values


def text_cell(value: str, counter: "Counter[Rule]") -> tuple[str, str]:
    """Kind and content of one text cell: kind `t`, or `p` if blanks at an edge must be preserved."""
    if _HALVES.search(value):
        value = _HALVES.sub("\ufffd", value)
        counter["replaced_characters"] += 1
    if len(value) > MAX_TEXT // 2 and len(units := value.encode("utf-16-le")) > 2 * MAX_TEXT:
        value = units[: 2 * MAX_TEXT].decode("utf-16-le", "ignore")
        counter["cut_texts"] += 1
    edged = value.startswith(_EDGES) or value.endswith(_EDGES)
    if found := _ESCAPED.search(value):
        if any(match.group() != "_" for match in _ESCAPED.finditer(value, found.start())):
            counter["control_characters"] += 1
        value = _ESCAPED.sub(lambda match: f"_x{ord(match.group()):04X}_", value)
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return ("p" if edged else "t"), value
