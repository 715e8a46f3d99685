"""Moves the memory of this process into huge pages, where Linux can: a fork then copies a tenth of the entries.

A worker that has collected all tests has seventy thousand pages. Each fork copied an entry for every one of them, and
each end of one undid it: that took longer than most of what is forked.
"""

import ctypes
from contextlib import suppress
from pathlib import Path

HUGE = 2 << 20
"""Bytes of a huge page; where it is another size, nothing happens."""
MADV_COLLAPSE = 25
"""Of <linux/mman.h>, as of Linux 6.1; older ones refuse it."""
WRITABLE = "rw-p"
HEAP = "[heap]"


def collapse() -> None:
    """Do it for what is allocated now."""
    with suppress(OSError, AttributeError):  # another system
        library = ctypes.CDLL(None)
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, access, *_, name = [*line.split(maxsplit=5), ""][:6]
            begin, end = (int(border, 16) for border in span.split("-"))
            begin, end = -(-begin // HUGE) * HUGE, end // HUGE * HUGE
            if access == WRITABLE and name in {"", HEAP} and begin < end:
                library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_COLLAPSE)
