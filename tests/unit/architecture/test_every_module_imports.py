"""Every module of every distribution can be imported, also those that a flow hardly ever needs."""

import importlib
from pathlib import Path


def modules(root: Path) -> list[str]:
    """The names of all modules of the distributions, without programs, which run when they are imported."""
    found = []
    for source in sorted(root.glob("aetherflow-*/src")):
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            if parts[-1] != "__main__":
                found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def test_every_module_imports(root: Path) -> None:
    names = modules(root)
    assert {
        "aetherflow.core.api",
        "aetherflow.scheduler.document.kind",
        "aetherflow_builtins_db.connectors.duckdb",
    } <= {*names}
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 all of them are told at once
            failed[name] = repr(error)
    assert failed == {}
