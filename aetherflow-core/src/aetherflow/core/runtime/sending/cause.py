"""What is notified once: two failures have one cause if code, step and message are equal but for numbers."""

import hashlib
import re

_IDS = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?=[a-f]*\d)[0-9a-f]{7,64}\b", re.IGNORECASE)
"""UUIDs, hashes, and what is made of them."""
_TIMES = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_PATHS = re.compile(r"(?<![\w.])/(?:[^\s/:'\"]+/)+")
"""Folders: those of a run hold its id, those of an attempt its number. The name of the file stays."""
_NUMBERS = re.compile(r"[-+]?\d+(?:[.,:]\d+)*")


def cause(event: str, code: str | None, job: str | None, step: str | None, message: str, *ids: str | None) -> str:
    """A hash of a cause; `ids` are those of the run, which a message may quote."""
    for each in sorted(filter(None, ids), key=len, reverse=True):
        message = re.sub(rf"(?<![\w-]){re.escape(each)}(?![\w-])", "", message)
    for pattern in (_IDS, _TIMES, _PATHS, _NUMBERS):
        message = pattern.sub("", message)
    parts = (event, code or "", job or "", step or "", " ".join(message.split()))
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
