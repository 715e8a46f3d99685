"""The child of a limited call; started by path with the memory and CPU limits as arguments, the call is its stdin.

The answer is lines of JSON on stdout: a `value`, of a generator each that it yields, then `ended`, or `error` with what
the parent needs to raise it again. What the called function and its libraries print goes to stderr.
"""

import contextlib
import json
import os
import resource
import sys
from typing import IO, Any


def limit(memory: int, seconds: int) -> None:
    """Lower the limits of this process; no lower limit of the system is raised."""
    # not RLIMIT_AS: libraries reserve and map far more than they use
    wanted = {resource.RLIMIT_DATA: (memory, memory), resource.RLIMIT_CPU: (seconds, seconds + 1)}
    for number, given in {**wanted, resource.RLIMIT_CORE: (0, 0)}.items():
        most = resource.getrlimit(number)[1]
        soft, hard = (value if most == resource.RLIM_INFINITY else min(value, most) for value in given)
        resource.setrlimit(number, (soft, hard))


def offer_to_the_system() -> None:
    """If the machine runs out of memory, the kernel ends this process, and not the runner."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("1000")


def answer(asked: dict[str, Any], out: IO[str]) -> None:
    """Make the call and write what it gives, each value as soon as it is there; every exception becomes an answer."""
    import importlib

    def say(**what: object) -> None:
        print(json.dumps(what), file=out, flush=True)

    module, _, name = asked["function"].partition(":")
    try:
        found = getattr(importlib.import_module(module), name)(**asked["arguments"])
        for value in found if hasattr(found, "__next__") else (found,):
            say(value=value)
        return say(ended=True)
    except MemoryError:
        told: dict[str, Any] = {"kind": "memory"}
    except BaseException as error:  # noqa: BLE001 a Rust library may raise any
        if isinstance(error, OSError) and error.errno is not None:
            told = {"kind": "os", "args": [error.errno, error.strerror, error.filename and str(error.filename)]}
        else:  # by its classes, the nearest first: the parent raises the first one that it knows
            classes = [(one.__module__, one.__qualname__) for one in type(error).__mro__]
            told = {"kind": "class", "classes": classes, "text": str(error), "fix": getattr(error, "fix", "")}
    return say(error=told)


def main() -> None:
    """Lower the limits, then read the call and answer it."""
    limit(int(sys.argv[1]), int(sys.argv[2]))
    offer_to_the_system()
    out = os.dup(1)
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    with os.fdopen(out, "w", encoding="utf-8") as file:
        answer(asked, file)
    os._exit(0)  # freeing a large result takes as long as making it


if __name__ == "__main__":
    main()
