"""Logical lines of every room of the core: no docstrings, no comments, no blank lines.

make size
"""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

from import_graph import by_kind, modules, room, tree
from rooms import ROWS

CORE = "aetherflow.core"
SILENT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def logical_lines(source: str, module: ast.Module) -> int:
    """How many lines of a module say something to Python; a docstring, also one below a field, does not."""
    silent: set[int] = set()
    for node in by_kind(module)[ast.Expr]:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    spoken: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            spoken.update(range(token.start[0], token.end[0] + 1))
    return len(spoken - silent)


def sizes() -> dict[str, int]:
    """Logical lines by room, bottom up."""
    found: Counter[str] = Counter()
    for name, path in modules().items():
        if name.startswith(f"{CORE}."):
            found[room(name, ROWS[CORE]) or name.removeprefix(f"{CORE}.").split(".")[0]] += _of_file(path)
    return {name: found[name] for name in [*ROWS[CORE], *sorted(found.keys() - set(ROWS[CORE]))] if found[name]}


def floor_size(floor: str) -> int:
    """Logical lines of a room that others stand on, with all that is in it."""
    return sum(_of_file(path) for name, path in modules().items() if f"{name}.".startswith(f"{CORE}.{floor}."))


def _of_file(path: Path) -> int:
    return logical_lines(path.read_text(), tree(path))


if __name__ == "__main__":
    for name, lines in sizes().items():
        print(f"{name:<24}{lines:>7,}")
    print("-" * 31)
    for name in ("kernel", "base", "contracts"):
        print(f"{name:<24}{floor_size(name):>7,}")
