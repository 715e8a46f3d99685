"""The published table: one row per promise, each backed by a suite that exists or plainly called not yet built."""

import re
from pathlib import Path

import pytest

import matrix

PAGE = matrix.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(1, len(matrix.PROMISES) + 1))
def test_every_promise_has_a_row(number: int) -> None:
    (row,) = re.findall(rf"^\| {number} \| (.*) \| ([^|]*) \| ([\d,]*) ?\| (\d*) ?\|$", PAGE, re.MULTILINE)
    promise, tests, cases, violations = row
    assert promise == matrix.PROMISES[number - 1]
    if tests == matrix.NOT_BUILT:
        assert (cases, violations) == ("", "")
    else:
        assert int(cases.replace(",", "")) > 0
        assert violations == "0", "a promise that does not hold is not published"


def test_every_suite_named_exists(root: Path) -> None:
    named = re.findall(r"^\| ([A-Z]\d*) \| .* \| `([\w/.]+)::(\w+)` \|", PAGE, re.MULTILINE)
    assert {name for name, _, _ in named} == set(matrix.SUITES)
    for _, file, test in named:
        assert f"def {test}(" in (root / file).read_text(encoding="utf-8")


def test_the_table_says_what_the_results_say() -> None:
    part = {
        "test": "t",
        "promises": [1, 3],
        "seed": 7,
        "tier": "T1",
        "completed": True,
        "seconds": 1.4,
        "violations": 0,
    }
    results = [{**part, "suite": "A1 F1", "cases": 10}, {**part, "suite": "A1 F2", "cases": 5, "violations": 2}]
    text = matrix.tables(results)
    assert "| A1 | 15 | 2 |" in text
    assert "| T1 | 15 | 2 | 3 | 7 |" in text
    assert text.count(matrix.NOT_BUILT) == len(matrix.PROMISES) - 2
    assert matrix.write(f"head\n{matrix.BEGIN}old{matrix.END}\ntail", "new") == (
        f"head\n{matrix.BEGIN}\n\nnew\n\n{matrix.END}\ntail"
    )
    with pytest.raises(ValueError, match="lacks the lines"):
        matrix.write("nothing", "new")


def test_rows_of_other_suites_stay_as_they_are() -> None:
    again = matrix.write(PAGE, matrix.rows(matrix.published(PAGE)))
    platform = re.compile(r"^Python .*$", re.MULTILINE)
    assert platform.sub("", again) == platform.sub("", PAGE)
