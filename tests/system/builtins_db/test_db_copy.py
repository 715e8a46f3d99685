"""`db_copy` between all databases: every type, every mode, once."""

from pathlib import Path
from typing import Any

import pytest
from db_loads import load, write
from db_types import BYTES, DATA, back, write_parquet

from db_places import Place, file_place, mysql_place, postgres_place

DRIVERS = ["sqlite3", "duckdb", "postgres", "mysql"]
CREATE = {"create": "if_missing"}
VALUES = DATA | BYTES


def place_of(driver: str, name: str, request: pytest.FixtureRequest) -> Place:
    match driver:
        case "postgres":
            return postgres_place(request.getfixturevalue("postgres"), name)
        case "mysql":
            return mysql_place(request.getfixturevalue("mariadb"))
    place = file_place(driver)
    place.resource["config"]["path"] = f"{name}.{driver}"
    return place


@pytest.fixture(params=DRIVERS)
def place(request: pytest.FixtureRequest) -> Place:
    return place_of(request.param, "copy_from", request)


@pytest.fixture
def two(anywhere: Any, request: pytest.FixtureRequest) -> Any:
    """A project with a second database, `there`, of the test's parameter `to`."""
    to = request.getfixturevalue("to")
    anywhere.resources["there"] = place_of(to, "copy_to", request).resource
    return anywhere


def copy(**inputs: Any) -> dict[str, Any]:
    step = {"type": "db_copy", "target": "there", "table": "u"} | inputs
    return step if "sql" in step else {"from_table": "t"} | step


def there(sql: str) -> dict[str, Any]:
    return {"type": "db_fetch_small", "resource": "there", "sql": sql}


@pytest.mark.parametrize("to", DRIVERS)
def test_every_type_comes_over(two: Any, to: str) -> None:
    path = Path(write(two, "", "all.parquet"))
    write_parquet(path, VALUES)
    ran = two.run(
        load=load(str(path), **CREATE),
        copy=copy(**CREATE, keys=["k"]),
        read=there("SELECT * FROM u ORDER BY k"),
        again=copy(mode="merge", keys=["k"]),
        still=there("SELECT * FROM u ORDER BY k"),
        other=copy(table="v", **CREATE, mode="replace", max_rejects=1),  # rows, where COPY would take all at once
        rest=there("SELECT * FROM v ORDER BY k"),
    )
    assert set(ran.status.values()) == {"SUCCESS"}, ran.error
    assert (ran.outputs["copy"]["created"], ran.outputs["again"]["updated"]) == (True, 3)
    for step in ("read", "still", "rest"):
        assert back(ran.outputs[step]["rows"], VALUES) == VALUES
