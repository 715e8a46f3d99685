"""Escaping gives what Python's own functions give, whose module imports too much for the start of a limited child."""

from itertools import product
from xml.sax import saxutils

from aetherflow_builtins_reports.escaping import escape, quoteattr, unescape

PIECES = ["", "a", "ü", "&", "<", ">", '"', "'", "\n", "\r", "\t", "&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "amp;"]


def test_it_is_the_same_as_pythons() -> None:
    for pieces in product(PIECES, repeat=3):
        text = "".join(pieces)
        assert escape(text) == saxutils.escape(text)
        assert quoteattr(text) == saxutils.quoteattr(text)
        assert unescape(text) == saxutils.unescape(text, {"&quot;": '"', "&apos;": "'"})
