"""Comparing a recorded step definition with the current one: whether they are equivalent, and how they differ."""

import difflib
import json
from collections.abc import Mapping

from aetherflow.core.base.redact import MASK
from aetherflow.core.kernel.sequencing.definitions import FOLDER_PLUGIN, encode, storable


def change_text(old: str | None, new: str) -> str:
    """A unified diff of two definitions without its header; a note if the old text is not known."""
    if old is None:
        return "(what it was before is not recorded)"
    before, after = map(_lines, (old, new))
    lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
    return "\n".join(line for line in lines if not line.startswith("@@"))


def as_defined_today(recorded: str, same: Mapping[str, str], *, by_1_0: bool) -> str:
    """A recorded definition in today's form: without parts that no longer count, with current hashes of other steps.

    `by_1_0`: it was recorded by 1.0.0, which included the versions of installed distributions. `same`: recorded hash
    to current hash, of the earlier steps whose definitions are equivalent.
    """
    try:
        text = json.loads(recorded)
    except ValueError:  # a masked number left it invalid JSON
        return recorded
    for part in (text, *text.get("resources", {}).values()):
        if by_1_0 and not part.get("plugin", FOLDER_PLUGIN).startswith(FOLDER_PLUGIN):
            del part["plugin"]
    if "uses" in text:
        text["uses"] = {step: same.get(found, found) for step, found in text["uses"].items()}
    return storable(encode(text))


def equal_but_for_secrets(old: str, new: str) -> bool:
    """Whether two texts differ only where one of them is masked: the known secrets may have changed in between."""
    return any(_covers(masked, text) for masked, text in ((old, new), (new, old)))


def _covers(masked: str, text: str) -> bool:
    if MASK not in masked:
        return masked == text
    first, *parts = masked.split(MASK)
    at = len(first)
    if not text.startswith(first):
        return False
    for index, part in enumerate(parts):  # no regular expression: it would backtrack over many masks
        found = len(text) - len(part) if index == len(parts) - 1 else text.find(part, at)
        if found < at or not text.startswith(part, found) or '"' in text[at:found]:
            return False
        at = found + len(part)
    return True


def _lines(text: str) -> list[str]:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False).splitlines()
    except ValueError:  # a masked number left it invalid JSON
        return [text]
