"""What no tracked file may name: a package registry, a folder of somebody's machine."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


# Written so that this file does not contain what they look for.
REGISTRY = re.compile(r"(pypi|pythonhosted|npmjs|anaconda)\.(org|com)")
MACHINE = re.compile(r"(?<![\w.~$})-])/(?:work|root)/")


def test_no_tracked_file_names_a_registry_or_a_machine(tracked: list[str]) -> None:
    wrong = []
    for name in tracked:
        text = (ROOT / name).read_bytes().decode(errors="replace")
        wrong += [f"{name}: {match[0]}" for pattern in (REGISTRY, MACHINE) for match in pattern.finditer(text)]
    assert wrong == []
