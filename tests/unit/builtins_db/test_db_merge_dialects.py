"""Merges into SQL Server and Oracle: their statements are read by another parser, and executed by a stand-in."""

from typing import Any

import pytest
import sqlalchemy
import sqlglot
from db_loads import load, write
from sqlalchemy.dialects import mssql

from aetherflow.core.runner import run_flow
from db_project import Project
from sql_standins import Server, oracle, sql_server, translated

URL = "mssql+pyodbc://etl:pw-0f-etl@db.example.com/sales?driver=ODBC+Driver+18+for+SQL+Server"
ORACLE = {
    "kind": "db",
    "driver": "oracledb",
    "config": {"host": "db", "service_name": "erp", "user": "etl", "password": "pw-0f-etl"},
}
KNOWN = "k,My Name\n1,new\n3,it's\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return sql_server(monkeypatch)


@pytest.fixture
def sales(server: Server, tmp_path: Any) -> Project:
    server.db.execute('CREATE TABLE dbo."Order" (k INTEGER, "My Name" VARCHAR, kept INTEGER DEFAULT 7)')
    server.db.execute("""INSERT INTO dbo."Order" VALUES (1, 'old', 1), (2, NULL, 2)""")
    return Project(tmp_path, {"wh": {"kind": "db", "driver": "sqlalchemy", "config": {"url": URL}}})


def merged(project: Project, text: str = KNOWN, **inputs: Any) -> dict[str, Any]:
    return project.one(**load(write(project, text), table="Order", mode="merge", keys=["k"], **inputs))


def rows(server: Server, table: str = 'dbo."Order"') -> list[tuple[Any, ...]]:
    return server.db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def test_a_merge_into_sql_server_updates_and_inserts(sales: Project, server: Server) -> None:
    out = merged(sales)
    assert (out["rows"], out["updated"], out["inserted"]) == (2, 1, 1)
    assert rows(server) == [(1, "new", 1), (2, None, 2), (3, "it's", 7)]
    assert merged(sales)["updated"] == 2, "the temporary table is gone"


def test_its_statements_are_those_of_sql_server(sales: Project, server: Server) -> None:
    merged(sales)
    stage, columns = "[#aetherflow_stage]", "[k], [My Name]"
    empty = "FROM [Order] WHERE 1 = 0"
    there = "SELECT 1 FROM [Order] AS t WITH (UPDLOCK, HOLDLOCK) WHERE t.[k] = s.[k]"
    matched, columns_of_stage = "WHEN MATCHED THEN UPDATE SET [My Name] = s.[My Name]", "(s.[k], s.[My Name])"
    new = f"WHEN NOT MATCHED BY TARGET THEN INSERT ({columns}) VALUES {columns_of_stage}"
    expected = [
        f"SELECT {columns} INTO {stage} {empty} UNION ALL SELECT {columns} {empty}",
        f"INSERT INTO {stage} ({columns}) VALUES (?, ?)",
        f"SELECT count(*) AS n FROM {stage} AS s WHERE EXISTS ({there})",
        f"MERGE INTO [Order] WITH (HOLDLOCK) AS t USING {stage} AS s ON (t.[k] = s.[k]) {matched} {new};",
        f"DROP TABLE {stage}",
    ]
    of_merge = [each for each in dict.fromkeys(server.statements) if "aetherflow_stage" in each or "HOLDLOCK" in each]
    assert [each for each in of_merge if each in expected] == expected
    assert {each for each in of_merge if each not in expected and "count(*)" not in each} == set()


def test_names_and_hints_are_those_of_sqlalchemys_compiler(sales: Project, server: Server) -> None:
    merged(sales)
    quoted = [sqlalchemy.sql.quoted_name(name, quote=True) for name in ("Order", "#aetherflow_stage", "k", "My Name")]
    t, s = (
        sqlalchemy.table(each, *map(sqlalchemy.column, quoted[2:])).alias(alias)
        for each, alias in zip(quoted[:2], "ts", strict=True)
    )
    exists: Any = sqlalchemy.select(sqlalchemy.literal_column("1")).where(t.c.k == s.c.k).correlate(s)
    counted: Any = sqlalchemy.select(sqlalchemy.literal_column("count(*)").label("n")).select_from(s)
    query = counted.where(exists.with_hint(t, "WITH (UPDLOCK, HOLDLOCK)", "mssql").exists())
    compiled = " ".join(str(query.compile(dialect=mssql.dialect())).split())  # type: ignore[no-untyped-call]
    assert compiled in [" ".join(each.split()) for each in server.statements]


def test_the_merge_is_read_as_one_statement_with_its_lock(sales: Project, server: Server) -> None:
    merged(sales)
    (statement,) = {each for each in server.statements if each.startswith("MERGE")}
    (read,) = sqlglot.parse(statement, read="tsql")
    assert isinstance(read, sqlglot.exp.Merge)
    assert [each.sql(dialect="tsql") for each in read.args["whens"].expressions][1].startswith("WHEN NOT MATCHED")
    assert "HOLDLOCK" in read.this.sql(dialect="tsql")


def test_a_merge_of_keys_alone_inserts_what_is_new(sales: Project, server: Server) -> None:
    out = merged(sales, "k\n2\n9\n")
    assert (out["updated"], out["inserted"]) == (1, 1)
    assert rows(server)[1:] == [(2, None, 2), (9, None, 7)]


def test_a_merge_that_fails_changes_nothing(sales: Project, server: Server) -> None:
    before = rows(server)
    ran = sales.run(step=load(write(sales, "k,My Name\n1,a\n1,b\n"), table="Order", mode="merge", keys=["k"]))
    assert "keys occur more than once" in str(ran.error.message)
    server.fails_at = ("DROP TABLE",)
    ran = sales.run(step=load(write(sales, KNOWN), table="Order", mode="merge", keys=["k"]))
    assert ran.status["step"] == "FAILED"
    assert rows(server) == before


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMPORARY TABLE aetherflow_stage AS SELECT k FROM t WHERE 1 = 0",
        "DELETE FROM aetherflow_stage s WHERE EXISTS (SELECT 1 FROM t t WHERE t.k = s.k)",
        "MERGE INTO t t USING s s ON (t.k = s.k) WHEN MATCHED THEN UPDATE SET a = s.a",
    ],
)
def test_the_stand_in_refuses_what_sql_server_would(sql: str) -> None:
    with pytest.raises(ValueError, match="not part of the language"):
        translated(sql, "tsql")


# Oracle


@pytest.fixture
def erp(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> tuple[Project, Server]:
    server = oracle(monkeypatch)
    server.db.execute("CREATE TABLE dbo.orders (k INTEGER, s VARCHAR)")
    server.db.execute("INSERT INTO dbo.orders VALUES (1, 'old'), (2, NULL)")
    return Project(tmp_path, {"wh": ORACLE}), server


def stages(server: Server) -> list[str]:
    found = server.db.execute("SELECT lower(table_name) FROM duckdb_tables() WHERE table_name ILIKE 'aetherflow%'")
    return [name for (name,) in found.fetchall()]


def order(project: Project) -> dict[str, Any]:
    return load(write(project, "k,s\n1,new\n3,more\n"), table="orders", mode="merge", keys=["k"])


def test_a_merge_into_oracle_leaves_no_table(erp: tuple[Project, Server]) -> None:
    project, server = erp
    out = project.one(**order(project))
    assert (out["updated"], out["inserted"]) == (1, 1)
    assert rows(server, "dbo.orders") == [(1, "new"), (2, None), (3, "more")]
    assert stages(server) == []


def test_the_staging_table_of_a_killed_run_is_in_no_other_runs_way(erp: tuple[Project, Server]) -> None:
    project, server = erp
    server.fails_at = ("MERGE", "DROP TABLE")
    assert project.run(step=order(project)).status["step"] == "FAILED"
    (left,) = stages(server)
    assert len(left) <= 30
    server.fails_at = ()
    out = project.one(**order(project))
    assert (out["updated"], out["inserted"]) == (1, 1)
    assert stages(server) == [left], "of the run that was killed, which may be resumed"


def test_a_resumed_run_drops_the_staging_table_that_it_left(erp: tuple[Project, Server]) -> None:
    project, server = erp
    server.fails_at = ("MERGE", "DROP TABLE")
    failed = project.run(step=order(project))
    assert len(stages(server)) == 1
    server.fails_at = ()
    assert run_flow(project.root / "flow.yaml", run_id=failed.summary.run_id).status == "SUCCESS"
    assert rows(server, "dbo.orders") == [(1, "new"), (2, None), (3, "more")]
    assert stages(server) == []
