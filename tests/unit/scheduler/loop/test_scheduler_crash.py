"""The scheduler is killed at every lasting effect, and started again: no slot is lost, none runs twice."""

import ast

from import_graph import SOURCES, by_kind, tree

SCHEDULER = SOURCES["aetherflow.scheduler"]
ALLOWED = {("loop.py", "os.open"), ("execution.py", "os.open")}
FORBIDDEN = {
    "os.open", "os.rename", "os.replace", "os.remove", "os.unlink", "os.mkdir", "sqlite3.connect",
    "subprocess.Popen", "subprocess.run",
}  # fmt: skip
METHODS = {"write_text", "write_bytes", "unlink", "rmdir", "mkdir", "touch"}


def test_the_points_are_those_of_durable_only() -> None:
    """What the scheduler leaves behind goes through the kernel's durable parts: else the kills above prove little."""
    wrong = []
    for path in sorted(SCHEDULER.rglob("*.py")):
        for node in by_kind(tree(path))[ast.Call]:
            if not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            name = f"{owner}.{node.func.attr}"
            bad = name in FORBIDDEN or (node.func.attr in METHODS and owner != "durable")
            if bad and (path.name, name) not in ALLOWED:
                wrong.append(f"{path.relative_to(SCHEDULER)}:{node.lineno}: {name}")
    assert wrong == []
