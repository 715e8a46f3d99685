"""A program that prints exactly what it is told to, and what a capture has to hold of it."""

import random
from pathlib import Path

WRITER = '''\
"""writer.py DATA OUT_START OUT_SIZE ERR_START ERR_SIZE STYLE: writes parts of a file that is repeated for ever."""
import os, sys, threading

data, style = open(sys.argv[1], "rb").read(), sys.argv[6]
step = {"whole": 1 << 20, "pages": 4096, "odd": 1021, "bytes": 1}[style]

def put(fd, start, size):
    done = 0
    while done < size:
        at = (start + done) % len(data)
        part = data[at : at + min(step, size - done)]
        while part:
            count = os.write(fd, part)
            part, done = part[count:], done + count

numbers = [int(text) for text in sys.argv[2:6]]
other = threading.Thread(target=put, args=(2, *numbers[2:]))
other.start()
put(1, *numbers[:2])
other.join()
'''
DATA_BYTES = 1 << 20


def make_data(path: Path, seed: int) -> bytes:
    """A mebibyte of text: lines of all lengths, characters of one to four bytes, control characters."""
    chance = random.Random(seed)
    alphabet = "abcdefghijklmnopqrstuvwxyz 0123456789{}$%\\\"'\t\r\u00e4\u20ac\U0001f600\x1b\x00"
    often = [*range(50, 50 * len(alphabet) + 1, 50), 51 * len(alphabet)]  # a line has fifty characters on average
    text = "".join(chance.choices([*alphabet, "\n"], cum_weights=often, k=DATA_BYTES))
    data = text.encode()[:DATA_BYTES]
    path.write_bytes(data)
    return data


def written(data: bytes, start: int, size: int) -> bytes:
    """What the writer puts on a stream; for sizes that fit into memory."""
    start %= len(data)
    whole = data[start:] + data * (size // len(data) + 1)
    return whole[:size]


def captured(data: bytes, start: int, size: int, limit: int) -> str:
    """What a capture of at most `limit` bytes holds of it."""
    rest = limit // 2
    first = limit - rest
    if size <= limit:
        return written(data, start, size).decode(errors="replace")
    note = f"\n[... {size - limit} bytes left out ...]\n".encode()
    tail = written(data, start + size - rest, rest)
    return (written(data, start, first) + note + tail).decode(errors="replace")


def log_uniform(chance: random.Random, most: int) -> int:
    """A size from 0 to `most`: every order of magnitude alike."""
    return min(int(most ** chance.random()) - 1 + chance.randrange(2), most)
