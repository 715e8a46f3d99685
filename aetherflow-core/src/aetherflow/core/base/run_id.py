"""Run ids: the allowed form, and new ids."""

import re
import secrets

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def new_run_id() -> str:
    """A new run id: 12 hexadecimal characters."""
    return secrets.token_hex(6)
