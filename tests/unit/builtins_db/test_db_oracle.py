"""What can be said of the Oracle connector without a server; with one, see AETHERFLOW_TEST_ORACLE_URL below."""

import os
from pathlib import Path
from typing import Any

import oracledb
import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit
from aetherflow.core.testing import SqlSuite
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.oracledb.connector import OracleConnector, column_of
from svc import free_port

SERVER = os.environ.get("AETHERFLOW_TEST_ORACLE_URL")


def connector(options: dict[str, Any] | None = None, **config: Any) -> OracleConnector:
    given = {"user": "etl", "password": "pw-0f-etl", **config}
    return OracleConnector(ConnectorInit("erp", "db", "oracledb", given, options or {}))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"dsn": "db1:1521/sales"}, {"dsn": "db1:1521/sales"}),
        ({"host": "db1", "service_name": "sales"}, {"host": "db1", "port": 1521, "service_name": "sales"}),
        ({"host": "db1", "port": 1522, "sid": "S1"}, {"host": "db1", "port": 1522, "sid": "S1"}),
        (
            {"url": "oracle+oracledb://etl:pw-0f-etl@db1:1521/?service_name=sales"},
            {"host": "db1", "service_name": "sales"},
        ),
        ({"host": "db1", "database": "sales", "ssl": True}, {"protocol": "tcps", "ssl_server_dn_match": True}),
        ({"dsn": "x", "username": "etl", "user": "etl"}, {"user": "etl", "password": "pw-0f-etl"}),
    ],
)
def test_settings_become_arguments_of_the_driver(config: dict[str, Any], expected: dict[str, Any]) -> None:
    arguments = connector(**config).connect_arguments()
    assert {name: arguments.get(name) for name in expected} == expected
    oracledb.ConnectParams(**{k: v for k, v in arguments.items() if k != "dsn"})


def test_a_script_keeps_its_blocks_whole() -> None:
    script = """
    CREATE TABLE t (a NUMBER);
    CREATE OR REPLACE PROCEDURE p IS n NUMBER; BEGIN IF 1 = 1 THEN n := 1; END IF; END;
    /
    DECLARE x NUMBER; BEGIN x := CASE WHEN 1 = 1 THEN 1 END; END;
    /
    INSERT INTO t VALUES (:n); UPDATE t SET a = q'[it's; :x]'
    """
    found = connector(dsn="x").statements(script)
    assert [statement.split()[0] for statement in found] == ["CREATE", "CREATE", "DECLARE", "INSERT", "UPDATE"]
    assert found[1].endswith("END;")
    assert found[2].endswith("END;")
    assert connector(dsn="x").markers(found[4])[1] == []


def test_ddl_behind_a_change_is_refused() -> None:
    with pytest.raises(ConnectorError, match="statement 2 of 2 failed: CREATE would commit the changes before it"):
        connector(dsn="x").script("DELETE FROM t; CREATE TABLE u (a NUMBER)")


@pytest.mark.parametrize(
    ("kind", "precision", "scale", "expected"),
    [
        (oracledb.DB_TYPE_NUMBER, 10, 0, "int"),
        (oracledb.DB_TYPE_NUMBER, 38, 0, "decimal(38,0)"),
        (oracledb.DB_TYPE_NUMBER, 12, 2, "decimal(12,2)"),
        (oracledb.DB_TYPE_NUMBER, 0, -127, str(UNKNOWN)),
        (oracledb.DB_TYPE_VARCHAR, None, None, "string"),
        (oracledb.DB_TYPE_DATE, None, None, "datetime"),
        (oracledb.DB_TYPE_BLOB, None, None, "bytes"),
        (oracledb.DB_TYPE_BINARY_DOUBLE, None, None, "float"),
    ],
)
def test_types_by_the_drivers_description(kind: Any, precision: int | None, scale: int | None, expected: str) -> None:
    assert str(column_of(("A", kind, None, None, precision, scale, True)).type) == expected


if SERVER:

    class TestOracle(SqlSuite):
        """Collected only where a server is named: oracle://user:password@host:1521/?service_name=…"""

        connector = OracleConnector
        name = "db.oracledb"
        integer_type = "NUMBER(18)"
        text_type = "VARCHAR2(100)"
        sequence = "SELECT LEVEL AS n FROM dual CONNECT BY LEVEL <= {count}"
        endless = "SELECT count(*) FROM all_objects a, all_objects b, all_objects c, all_objects d"
        undoes_tables = False
        has_returning = False
        names_are_upper = True

        def config(self, place: Path) -> dict[str, Any]:
            return {"url": SERVER}

        def unreachable(self, place: Path) -> dict[str, Any]:
            return {"host": "127.0.0.1", "port": free_port(), "service_name": "none"}


@pytest.mark.parametrize("options", [{"pool": {"enabled": "false"}}, {"pool_enabled": False}, {"pool": {"size": 0}}])
def test_the_pool_can_be_switched_off(options: dict[str, Any]) -> None:
    pooling = connector(options, dsn="x").opts.pooling
    assert pooling.size == 0
    assert pooling.max_overflow >= 10, "as many connections as with it"
    assert connector({"pool": {"enabled": True}}, dsn="x").opts.pooling.size == 5
    with pytest.raises(ConnectorError, match=r"pool_enabled and pool\.enabled are both given and differ"):
        connector({"pool": {"enabled": True}, "pool_enabled": False}, dsn="x")
