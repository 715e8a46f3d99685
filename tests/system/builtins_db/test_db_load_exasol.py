"""`db_load` and `db_check` on the stand-in for Exasol's protocol: the way of drivers without one of their own."""

from collections.abc import Iterator
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit
from aetherflow_builtins_db.connectors.exasol.connector import ExasolConnector
from exasol_standin import ExasolStandIn


@pytest.fixture
def exa(lite: Any, exasol: ExasolStandIn) -> Iterator[Any]:
    place = {"host": exasol.host, "port": exasol.port, "user": exasol.user, "password": exasol.password}
    config = {**place, "schema": exasol.schema, "ssl": "disable"}
    lite.resources["wh"] = {"kind": "db", "driver": "exasol", "config": config}
    with ExasolConnector(ConnectorInit("wh", "db", "exasol", config, {})) as db:
        db.script("CREATE TABLE LOADED (A INTEGER, S VARCHAR(40), N DECIMAL(10, 2), LOAD_ID VARCHAR(600))")
        yield lite
        for table in ("LOADED", "AETHERFLOW_LOADS"):
            db.script(f"DROP TABLE IF EXISTS {table}")


def load(project: Any, text: str, **inputs: Any) -> dict[str, Any]:
    folder = project.root / "work" / "t" / "given"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.csv").write_text(text)
    return {"type": "db_load", "table": "loaded", "path": str(folder / "in.csv")} | inputs


def rows(project: Any) -> list[list[Any]]:
    found: list[list[Any]] = project.rows("SELECT A, S FROM LOADED ORDER BY A")
    return found


def test_modes(exa: Any) -> None:
    text = "a,s,n\n1,x,1.5\n2,y,\n"
    out = exa.one(**load(exa, text, load_id="one"))
    assert (out["rows"], out["already_loaded"]) == (2, False)
    assert exa.one(**load(exa, text, load_id="one"))["already_loaded"] is True
    assert rows(exa) == [[1, "x"], [2, "y"]]
    out = exa.one(**load(exa, "a,s\n2,new\n3,z\n", mode="merge", keys=["a"]))
    assert (out["updated"], out["inserted"]) == (1, 1)
    assert rows(exa) == [[1, "x"], [2, "new"], [3, "z"]]
    exa.one(**load(exa, "a,s\n7,only\n", mode="replace"))
    assert rows(exa) == [[7, "only"]]
    exa.one(**load(exa, "a,s\n8,b\n", load_id="day", load_id_column="load_id"))
    assert exa.one(**load(exa, "a,s\n9,c\n", load_id="day", load_id_column="load_id"))["deleted"] == 1
    assert rows(exa) == [[7, "only"], [9, "c"]]


def test_rejects_and_failures(exa: Any) -> None:
    out = exa.one(**load(exa, "a,n\n1,1\nx,2\n3,1.239\n", max_rejects=2))
    assert (out["rows"], out["rejected"]) == (1, 2)
    ran = exa.run(step=load(exa, "a,n\n4,1\nx,2\n"))
    assert "line 3, column A: the value 'x'" in ran.error.message
    assert rows(exa) == [[1, None]]


def test_checks(exa: Any) -> None:
    exa.one(**load(exa, "a,s\n1,x\n2,y\n"))
    checks = [{"row_count": 2}, {"unique": "a"}, {"accepted_values": {"column": "s", "values": ["x", "y"]}}]
    out = exa.one(type="db_check", table="loaded", checks=checks)
    assert out["passed"] == 3
