"""The forms in which a secret may appear in text."""

import base64
import html
import json
import re
import shlex
from urllib.parse import quote, quote_plus

MIN_LINE = 8
"""The single lines of a multi-line secret, such as a private key, are masked too, from this length on."""
MIN_ENCODED = 8
"""The part that a secret has in a longer base64 text is masked from this length on."""
MIN_BYTES = 4
"""Hexadecimal and UTF-16 forms are masked from this number of bytes on: shorter ones stand in other text by chance."""
_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def spellings(secret: str) -> set[str]:
    """As it is, quoted for URLs (also twice, and with small letters), JSON (also twice), HTML, SQL, Python, shells.

    Also its bytes as hexadecimal digits and as UTF-16, and the lines of a longer one. `encoded` has base64.
    """
    raw = _bytes(secret)
    urls = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    urls |= {_ESCAPE.sub(lambda found: found[0].lower(), form) for form in urls}
    forms = {secret, *urls, *(quote(form, safe="") for form in urls), shlex.quote(secret), repr(secret)[1:-1]}
    for ascii_only in (True, False):
        text = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        forms |= {text, text.replace("/", "\\/"), json.dumps(text, ensure_ascii=ascii_only)[1:-1]}
    escaped = html.escape(secret)
    forms |= {escaped, html.escape(secret, quote=False), escaped.replace("&#x27;", "&#39;")}
    forms |= {escaped.replace("&#x27;", "&apos;"), secret.replace("'", "''"), secret.replace('"', '""')}
    if len(raw) >= MIN_BYTES:
        forms |= {raw.hex(), raw.hex().upper()}
        wide = secret.encode("utf-16-le", "surrogatepass")
        forms.add(wide.decode("utf-8", "surrogateescape"))
    if "\n" in secret:
        forms |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= MIN_LINE}
    return {form for form in forms if form}


def encoded(secret: str) -> set[str]:
    """It in base64, alone or inside of a longer text that is encoded as a whole, such as `user:password`."""
    forms: set[str] = set()
    for raw in (_bytes(secret), secret.encode("utf-16-le", "surrogatepass")):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(raw).decode()
            forms |= {text, text.rstrip("=")}
            for skip in range(3):
                text = encode(b"\0" * skip + raw).decode()
                inner = text[4 if skip else 0 : (skip + len(raw)) // 3 * 4]
                if len(inner) >= MIN_ENCODED:
                    forms.add(inner)
    return {form for form in forms if form}


def _bytes(secret: str) -> bytes:
    try:
        return secret.encode("utf-8", "surrogateescape")  # bytes of an environment that are not UTF-8
    except UnicodeEncodeError:
        return secret.encode("utf-8", "surrogatepass")
