"""The scheduler is killed at every lasting effect, and started again: no slot is lost, none runs twice."""

from pathlib import Path


def test_the_points_are_those_of_durable_only(root: Path) -> None:
    """What the scheduler leaves behind goes through the kernel's durable parts: else the kills above prove little."""
    import ast

    allowed = {
        ("loop.py", "os.open"), ("execution.py", "os.open"),
    }  # fmt: skip
    wrong = []
    sources = root / "aetherflow-scheduler/src/aetherflow/scheduler"
    for path in sorted(sources.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            name = f"{owner}.{node.func.attr}"
            forbidden = {
                "os.open", "os.rename", "os.replace", "os.remove", "os.unlink", "os.mkdir", "sqlite3.connect",
                "subprocess.Popen", "subprocess.run",
            }  # fmt: skip
            methods = {"write_text", "write_bytes", "unlink", "rmdir", "mkdir", "touch"}
            bad = name in forbidden or (node.func.attr in methods and owner != "durable")
            if bad and (path.name, name) not in allowed:
                wrong.append(f"{path.relative_to(sources)}:{node.lineno}: {name}")
    assert wrong == []
