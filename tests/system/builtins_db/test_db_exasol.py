"""The Exasol connector against the stand-in for its protocol, through the unmodified pyexasol."""

import datetime
from decimal import Decimal
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow_builtins_db.connectors.exasol.connector import ExasolConnector
from exasol_standin import INLINE_ROWS, ExasolStandIn
from services import Tls

DAY = datetime.date(2026, 1, 1)


def connector(node: ExasolStandIn, options: dict[str, Any] | None = None, **config: Any) -> ExasolConnector:
    given = {"host": node.host, "port": node.port, "user": node.user, "password": node.password, "schema": node.schema}
    return ExasolConnector(ConnectorInit("dwh", "db", "exasol", {**given, "ssl": "disable", **config}, options or {}))


def test_tls_with_the_right_authority(exasol: ExasolStandIn, tls: Tls) -> None:
    with connector(exasol, ssl={"ca_file": str(tls.ca)}) as db:
        assert db.read("SELECT 1 AS one") == (["ONE"], [(1,)])


def test_tls_without_it_is_refused(exasol: ExasolStandIn) -> None:
    with connector(exasol, {"connect_attempts": 1}, ssl=True) as db, pytest.raises(ConnectorError) as caught:
        db.probe()
    assert "certificate" in str(caught.value).lower()
    assert "ca_file" in caught.value.fix


def test_telemetry_is_off(exasol: ExasolStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from exasol.telemetry.client import config

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("EXASOL_TELEMETRY_DISABLE", raising=False)
    with connector(exasol) as db:
        db.probe()
    assert config.was_setup()
    assert not config.was_enabled()


def test_a_wrong_password_is_one_line(exasol: ExasolStandIn) -> None:
    with connector(exasol, password="wr0ng-one") as db, pytest.raises(ConnectorError) as caught:
        db.probe()
    assert "authentication failed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "wr0ng-one" not in str(caught.value)
    assert caught.value.fix == "check config.user and config.password"


def test_a_lost_connection_is_opened_anew(exasol: ExasolStandIn) -> None:
    with connector(exasol) as db:
        assert db.ping()
        exasol.cut()
        assert db.read("SELECT 2 AS two")[1] == [(2,)]


def test_a_connection_lost_in_the_middle_is_told(exasol: ExasolStandIn) -> None:
    with connector(exasol) as db:
        with db.stream(f"SELECT i FROM range({3 * INLINE_ROWS}) r(i)", fetch_size=10) as rows:
            batches = rows.batches()
            next(batches)
            exasol.cut()
            with pytest.raises(ConnectorError, match="fetching rows failed"):
                list(batches)
        assert db.ping()


def test_types_and_large_results(exasol: ExasolStandIn) -> None:
    sql = (
        "SELECT i AS id, CAST(i AS DECIMAL(20, 3)) AS amount, 'n' || i AS name, DATE '2026-03-29' AS d, "
        "TIMESTAMP '2026-03-29 02:30:00.25' AS t, i % 2 = 0 AS even, CAST(i AS DOUBLE) / 4 AS f, "
        f"TIMESTAMPTZ '2026-03-29 02:30:00+02' AS z FROM range({3 * INLINE_ROWS}) r(i) ORDER BY i"
    )
    with connector(exasol) as db, db.stream(sql, fetch_size=100) as rows:
        assert [str(column.type) for column in rows.columns] == [
            "int", "decimal(20,3)", "string", "date", "datetime", "bool", "float", "datetime(utc)",
        ]  # fmt: skip
        found = [row for batch in rows.batches() for row in batch]
    assert len(found) == 3 * INLINE_ROWS
    assert found[5] == (
        5, Decimal("5.000"), "n5", datetime.date(2026, 3, 29),
        datetime.datetime.fromisoformat("2026-03-29T02:30:00.25"), False, 1.25,
        datetime.datetime(2026, 3, 29, 0, 30, tzinfo=datetime.UTC),
    )  # fmt: skip


def test_two_columns_of_one_name_are_an_error_of_ours(exasol: ExasolStandIn) -> None:
    with connector(exasol) as db, pytest.raises(ConnectorError, match="Duplicate") as caught:
        db.read("SELECT 1 AS a, 2 AS a")
    assert "apart" in caught.value.fix


def test_many_rows_are_written_by_a_prepared_statement(exasol: ExasolStandIn) -> None:
    with connector(exasol) as db:
        db.execute("CREATE TABLE many (id DECIMAL(18, 0), name VARCHAR(10), amount DECIMAL(10, 2), d DATE)")
        try:
            rows = [{"id": i, "name": None, "amount": Decimal("0.10"), "d": DAY} for i in range(50)]
            exasol.commands.clear()
            assert db.executemany("INSERT INTO many VALUES (:id, :name, :amount, :d)", rows) == 50
            assert exasol.commands.count("executePreparedStatement") == 1
            assert db.read("SELECT count(*) AS n, sum(amount) AS s FROM many")[1] == [(50, Decimal("5.00"))]
        finally:
            db.execute("DROP TABLE many")
