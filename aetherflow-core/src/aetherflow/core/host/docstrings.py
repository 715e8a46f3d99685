"""The docstring of a plugin, and the YAML examples in it."""

import inspect
import re
from textwrap import dedent
from typing import Any

_HEADING = re.compile(r"\s*\b[Ee]xamples?:{1,2}\Z")
_ITEM = re.compile(r"- (id|type|name):(\s|\Z)")
_KEY = re.compile(r"[a-z_]+:\Z")
_FENCE = re.compile(r"```(ya?ml)?\s*\Z")


def docstring_of(found: Any) -> str:
    """The own docstring of a class, a module or a function, without its indentation; empty if it has none."""
    return inspect.cleandoc(found.__doc__ or "")


def split_example(docstring: str) -> tuple[str, str]:
    """The text of a docstring without the YAML in it, and the YAML.

    YAML is what is indented by four blanks below a blank line or below `Example:`, what stands between fences of
    Markdown, and what begins at the margin with `- id:`, `- type:`, `- name:` or with a key that has a block below it.
    """
    lines, text, examples = docstring.split("\n"), [""], []
    at = 0
    while at < len(lines):
        end = _end_of_example(lines, at)
        if end == at:
            text.append(lines[at])
            at += 1
            continue
        block = lines[at:end]
        examples.append("\n".join(block[1:-1] if _FENCE.match(block[0]) else block))
        text = [_HEADING.sub("", "\n".join(text).rstrip()), ""]
        at = end
    return "\n".join(text).strip(), "\n\n".join(dedent(each).strip() for each in examples)


def _end_of_example(lines: list[str], start: int) -> int:
    """The number of the line after an example that begins at `start`; `start` if none does."""
    line, before = lines[start], lines[start - 1] if start else ""
    if _FENCE.match(line):
        return next((at + 1 for at in range(start + 1, len(lines)) if lines[at].rstrip() == "```"), start)
    if line.startswith("    ") and (not before.strip() or _HEADING.search(before)):
        belongs = re.compile("    ")
    elif _ITEM.match(line) and not (before.strip() and not _HEADING.search(before)):
        belongs = re.compile(" |- ")
    elif _KEY.match(line) and lines[start + 1 : start + 2] and lines[start + 1].startswith("  "):
        belongs = re.compile(" |- |[a-z_]+:")
    else:
        return start
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or belongs.match(lines[end])):
        end += 1
    return end
