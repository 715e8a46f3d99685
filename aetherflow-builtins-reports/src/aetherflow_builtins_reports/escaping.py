"""Escapes text for XML. `xml.sax.saxutils` does it too, but imports an HTTP client and TLS: half of a limited child."""


def escape(text: str) -> str:
    """Text as an element holds it, without signs of markup."""
    return text.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;")


def unescape(text: str) -> str:
    """Text that was escaped by its five names."""
    for name, sign in (("lt", "<"), ("gt", ">"), ("quot", '"'), ("apos", "'"), ("amp", "&")):
        text = text.replace(f"&{name};", sign)
    return text


def quoteattr(text: str) -> str:
    """The value of an attribute, with its quotes."""
    text = escape(text).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    if '"' in text and "'" not in text:
        return f"'{text}'"
    return '"{}"'.format(text.replace('"', "&quot;"))
