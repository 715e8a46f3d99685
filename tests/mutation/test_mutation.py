"""The mutation tests themselves: what is changed, what is swapped, and that the published table holds."""

import ast
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import mutation
import mutation_table
from mutants import mutants
from mutation_judge import swap

SOURCE = '''\
"""Not the docstring, nor its 1."""

LIMIT = 3


class Box:
    """A box."""

    size: int = 5

    def fits(self, number: "int | None" = None, /) -> bool:
        """Whether 1 fits."""
        if not number or number > LIMIT:
            raise ValueError(f"{number + 1}")
        self.size = number
        self.size += 1
        return any(
            each == number
            for each in [1, 2]
        )
'''


def keys() -> list[str]:
    return [mutant.key for mutant in mutants("box.py", SOURCE)]


def test_what_is_changed() -> None:
    assert keys() == [
        "<module>: LIMIT = 3: 3 -> 4",
        "Box: 5 -> 6",
        "Box.fits: not number or number > LIMIT -> not number and number > LIMIT",
        "Box.fits: not number -> number",
        "Box.fits: number > LIMIT -> number >= LIMIT",
        "Box.fits: raise ValueError(f'{number + 1}') -> pass",
        "Box.fits: self.size = number -> pass",
        "Box.fits: self.size += 1 -> pass",
        "Box.fits: self.size += 1 -> self.size -= 1",
        "Box.fits: self.size += 1: 1 -> 2",
        "Box.fits: return any((each == number for each in [1, 2])) -> return None",
        "Box.fits: any((each == number for each in [1, 2])) -> all((each == number for each in [1, 2]))",
        "Box.fits: each == number -> each != number",
        "Box.fits: [1, 2]: 1 -> 2",
        "Box.fits: [1, 2]: 2 -> 3",
    ]


def test_each_is_valid_and_moves_no_line() -> None:
    for mutant in mutants("box.py", SOURCE):
        changed = mutant.apply(SOURCE)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE))
        assert changed.count("\n") == SOURCE.count("\n")


def test_a_key_says_which_of_two_equal_places_is_meant() -> None:
    source = "def f(a, b):\n    return (a < b) + (a < b)\n"
    found = [mutant.key for mutant in mutants("f.py", source) if "<=" in mutant.change]
    assert found == ["f: a < b -> a <= b", "f: a < b -> a <= b #2"]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "mutated_box.py"
    path.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield path
    sys.modules.pop("mutated_box", None)


def test_the_code_of_a_function_is_swapped_where_it_is_in_use(box: Path) -> None:
    import mutated_box  # type: ignore[import-not-found]  # made by the fixture

    fits = mutated_box.Box().fits
    assert fits(1)
    (mutant,) = (mutant for mutant in mutants(str(box), SOURCE) if mutant.change == "each == number -> each != number")
    swap(str(box), mutant.apply(SOURCE))
    assert fits(1), "any other number does"
    swap(str(box), next(mutant for mutant in mutants(str(box), SOURCE) if "return None" in mutant.change).apply(SOURCE))
    assert fits(1) is None


def test_what_is_argued_about_exists_and_has_a_reason() -> None:
    files = {mutation.short(file): file for file in mutation.modules(())}
    for module, reasons in mutation.equivalent().items():
        source = (mutation.ROOT / files[module]).read_text(encoding="utf-8")
        assert reasons.keys() <= {mutant.key for mutant in mutants(files[module], source)}, f"look at {module} again"
        assert all(reasons.values())


def test_every_module_has_tests_of_its_own() -> None:
    for file in mutation.modules(()):
        assert mutation.own_tests(file), file


def test_the_published_numbers_add_up() -> None:
    rows = mutation_table.published(mutation_table.PAGE.read_text(encoding="utf-8"))
    assert rows
    for name, row in rows.items():
        counted = row["killed"] + row["timed_out"] + row["equivalent"] + row["survived"]
        assert counted == row["tried"] <= row["mutants"], name
    again = mutation_table.published(mutation_table.table(rows))
    assert again == rows


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(SystemExit, match=r"no module ends with nonsense\.py"):
        mutation.modules(["nonsense.py"])


@pytest.mark.slow
def test_what_runs_in_the_box_sees_the_copy_and_is_not_root() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        box = mutation.Box(Path(folder))
        code = f"""
import os, pathlib
import aetherflow.core.base.errors
assert aetherflow.core.base.errors.__file__.startswith({str(box.tree)!r}), aetherflow.core.base.errors.__file__
assert pathlib.Path.home() == pathlib.Path({str(box.folder / "home")!r})
assert os.getuid() != 0
if {box.as_root}:
    assert not list(pathlib.Path("/dev/shm").iterdir())
    assert [name for name in os.listdir("/proc") if name.isdigit()] == ["1"]
    try:
        pathlib.Path({str(mutation.ROOT / "README.md")!r}).unlink()
    except PermissionError:
        print("kept")
"""
        assert box.run(["-c", code], 60) == (0, "kept\n" if box.as_root else "")
        assert box.run(["-c", "import time; time.sleep(600)"], 0.5)[0] is None
