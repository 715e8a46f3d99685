"""Variables that look like secrets and are not masked, for `doctor`."""

import math
import re
from collections import Counter
from collections.abc import Iterator

from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.values import leaves, tokens_of
from aetherflow.core.runtime.environment.snapshot import Snapshot

LEAST = 20
"""Characters that a generated secret has at least."""
BITS = 3.5
"""Entropy of a character from which on a text looks random; English words have about 3, hexadecimal digits up to 4."""
_RANDOM = re.compile(r"[A-Za-z0-9+/=_.~-]+")


def suspects(checked: Checked, snapshot: Snapshot) -> Iterator[Problem]:
    """A warning for each variable of the env files, or that the flow reads, whose value looks like a secret."""
    read = _read(checked)
    ignored = set(snapshot.project.spec.secrets.ignore)
    for key in sorted(snapshot.env.keys() - snapshot.masked - ignored):
        origin = snapshot.origins.get(key)
        at = origin.location if origin is not None else None
        if (key in read or at is not None) and looks_random(snapshot.env[key]):
            message = f"the value of {key} looks like a secret, and it is not masked"
            fix = f"name it in the project file, under secrets: add: [{key}], or ignore: [{key}] if it is none"
            where = at or Location(checked.path)
            yield Problem("AF1705", message, where, code="secrets:suspect", fix=fix, severity="warning")


def looks_random(value: str) -> bool:
    """Whether a text could have been generated: long, of letters and digits mixed, and no path, URL or name."""
    if len(value) < LEAST or not _RANDOM.fullmatch(value) or value.startswith(("/", ".", "~")):
        return False
    if not re.search("[0-9]", value) or not re.search("[A-Za-z]", value):
        return False
    counts = Counter(value).values()
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return bits >= BITS and max(map(len, re.split(r"[-_./=~]", value))) >= LEAST // 2


def _read(checked: Checked) -> set[str]:
    if checked.merged is None:
        return set()
    found = (token.path for _, value in leaves(checked.merged.data) for token in tokens_of(value))
    return {path[1] for path in found if path[0] == "env" and len(path) == 2}
