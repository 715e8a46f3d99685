"""The table of times and intervals in docs/reference/databases.md: each of its forms comes out of a real database."""

import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from aetherflow.core.runner import run_flow
from db_places import mysql_by_url, place_for
from db_project import Project

PAGE = Path(__file__).parents[3] / "docs/reference/databases.md"
VALUES = {
    "`interval` of PostgreSQL": ("postgres", "interval '1 year 2 mons 3 days -04:05:06.5'"),
    "`INTERVAL` of DuckDB": ("duckdb", "INTERVAL '1 year 2 months 3 days' - INTERVAL '04:05:06.5'"),
    "`TIME(1)` of MySQL and MariaDB": ("mysql", "CAST('-26:05:06.5' AS TIME(1))"),
    "`time` of PostgreSQL": ("postgres", "time '05:00:00.5'"),
    "`TIME` of DuckDB": ("duckdb", "TIME '05:00:00.5'"),
    "`timetz` of PostgreSQL": ("postgres", "timetz '05:00:00+02'"),
    "`TIMETZ` of DuckDB": ("duckdb", "TIMETZ '05:00:00+02'"),
}


def rows() -> dict[str, list[str]]:
    """The forms of the table by what stands in front: in CSV, in JSON, in Parquet, in a workbook."""
    text = PAGE.read_text().partition("### Times and intervals")[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {first: [cell.strip("`") for cell in others] for first, *others in cells}


def test_the_table_has_every_value() -> None:
    assert rows().keys() == VALUES.keys()


DRIVERS = {"postgres": ("own", "sqlalchemy"), "mysql": ("own", "sqlalchemy"), "duckdb": ("own",)}
CASES = [(name, driver) for name, (own, _) in VALUES.items() for driver in DRIVERS[own]]


@pytest.mark.parametrize(("name", "driver"), CASES)
def test_a_form_is_that_of_the_table(tmp_path: Path, request: pytest.FixtureRequest, name: str, driver: str) -> None:
    own, value = VALUES[name]
    if (own, driver) == ("mysql", "sqlalchemy"):
        place = mysql_by_url(request.getfixturevalue("mariadb"))
    else:
        place = place_for(request, own if driver == "own" else driver, "forms")
    project = Project(tmp_path, {"wh": place.resource}, place)

    def extracted(format_name: str) -> Path:
        made = project.one(type="db_extract", sql=f"SELECT 1 AS n, {value} AS v", output=f"o.{format_name}")
        return Path(made["output"])

    parquet = extracted("parquet")
    cell: Any = pq.read_table(parquet)["v"][0].as_py()
    kind = "TIME" if pq.read_schema(parquet).field("v").type == "time64[us]" else "STRING"
    sheet: Any = openpyxl.load_workbook(_converted(tmp_path, parquet)).active
    found = [
        extracted("csv").read_text().splitlines()[1].partition(",")[2],
        json.loads(extracted("jsonl").read_text())["v"],
        f"{kind} {cell}",
        sheet["B2"].value,
    ]
    assert found == [*rows()[name], rows()[name][0]]


def _converted(folder: Path, parquet: Path) -> Path:
    """The file as a workbook."""
    step = {"id": "s", "type": "file_convert", "inputs": {"path": str(parquet), "output": "o.xlsx"}}
    flow = {
        "version": 1,
        "flow": {"id": "t", "workspace": {"root": str(folder / "work"), "cleanup_policy": "never"}},
        "jobs": [{"id": "book", "steps": [step]}],
    }
    (folder / "book.yaml").write_text(json.dumps(flow))
    run_flow(folder / "book.yaml")
    (made,) = folder.rglob("o.xlsx")
    return made
