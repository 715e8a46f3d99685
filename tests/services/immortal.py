"""Makes what this interpreter holds immortal (PEP 683): a fork then writes to none of it only because it uses it.

Each use of an object counts its references, and so writes to its page, which the kernel then copies for the fork.
"""

import ctypes
import gc
import sys
import sysconfig
import types

COUNT = 0xFFFF_FFFF
"""What an immortal object of CPython has there, as of 3.12."""
HOLES = 256 << 10
"""Bytes that are in holes of one size, at most: the most that was seen after all imports is two thirds of it."""
SMALL = range(48, 513, 16)
"""The sizes of small objects that bytes can have."""
HEADER = sys.getsizeof(b"")
_filling: list[bytes] = []


def immortalize() -> None:
    """Do it for all objects that the collector reaches, and for those that their code holds."""
    if sys.hexversion < 0x030C0000 or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return
    count_at = ctypes.c_uint32.from_address
    waiting = gc.get_objects()
    while waiting:
        new = []
        for one in waiting:
            if (count := count_at(id(one))).value != COUNT:
                count.value = COUNT  # which also says that it has been found
                new.append(one)
        waiting = gc.get_referents(*new)
        for code in new:
            if isinstance(code, types.CodeType):  # which the collector does not look into
                waiting += code.co_consts


def fill_holes() -> None:
    """Allocate, for good, what freed objects have left between others: what a fork allocates then lies in few pages."""
    _filling.extend(bytes(size - HEADER) for size in SMALL for _ in range(HOLES // size))
