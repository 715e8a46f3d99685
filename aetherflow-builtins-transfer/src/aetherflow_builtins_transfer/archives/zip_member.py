"""All that we need of zipfile's private parts: a member's compressor is exchanged for a faster one.

Why: zipfile, and pyzipper after it, have no door for a compressor; an open member keeps the one that it made. Where a
version keeps it elsewhere, the member is written by zipfile's own: the same content, slower. Tried with
Python 3.11 to 3.14 and pyzipper 0.3.6 to 0.4.
"""

from typing import Any


def replace_compressor(member: Any, deflater: Any) -> None:
    """Have an open member compressed by `deflater`, an object with the methods of `zlib.compressobj()`."""
    if hasattr(member, "_compressor"):
        member._compressor = deflater
