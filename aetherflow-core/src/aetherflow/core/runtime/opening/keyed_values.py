"""Hashes of the variables that a flow reads, under a key of the state root: equal if the values are, and no more.

The key is a file in the state root; where that names a server it stands there, the same for all hosts.
"""

import hashlib
import hmac
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.kernel.sequencing.definitions import References
from aetherflow.core.records.registry_file import shared_text
from aetherflow.core.runtime.opening.flow_facts import PLACES
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.workspace.store_places import state_root

KEY_FILE = "compare.key"
_KEY_BYTES = 32


def values_of(flow: PreparedFlow) -> dict[str, list[str]]:
    """Variable to its origin and its keyed hash, "" for one that is not set; empty without a key."""
    references = References()
    references.add(flow.document.data)
    for spec in flow.spec.resources.values():
        references.add(spec.model_dump())
    read = {path[1] for path in references.paths if path[0] == "env" and len(path) > 1}
    origins = flow.snapshot.origins
    given = {name for name, origin in origins.items() if origin.kind not in ("os", "engine")}
    names = sorted((read | given) - PLACES)
    if not names or (key := _key(state_root(flow.snapshot))) is None:
        return {}
    return {name: [origins[name].kind if name in origins else "", keyed(key, flow.env.get(name))] for name in names}


def keyed(key: bytes, value: str | None) -> str:
    """The keyed hash of a value; "" for none."""
    if value is None:
        return ""
    return hmac.new(key, value.encode(errors="backslashreplace"), hashlib.sha256).hexdigest()[:16]


def _key(root: Path) -> bytes | None:
    """The key of a state root, which is made with its first run; None where it cannot be."""
    try:
        if durable.server_at(root) is not None:
            return bytes.fromhex(shared_text(root, KEY_FILE, secrets.token_hex(_KEY_BYTES)))
        path = root / KEY_FILE
        if not path.exists():
            with suppress(FileNotFoundError):  # another first run of this state root does the same at this moment
                durable.remove_parts_of(path)  # of one that was killed
                with durable.AtomicFile(path) as file:
                    file.write(secrets.token_bytes(_KEY_BYTES))
        return path.read_bytes()
    except (OSError, sqlite3.Error, StateError):
        return None
