"""SQLAlchemy loads what the own connectors load: names with a percent sign, booleans, decimals, times."""

from pathlib import Path

import pytest

from db_places import mysql_by_url, sqlalchemy_place
from db_project import Project
from services import Database


def test_names_with_a_percent_sign(tmp_path: Path, postgres: Database) -> None:
    project = Project(tmp_path, {"wh": sqlalchemy_place(postgres, "percent").resource})
    project.sql('CREATE TABLE t ("100%" integer)')
    (tmp_path / "in.csv").write_text("100%\n7\n")
    project.one(type="db_load", path=str(tmp_path / "in.csv"), table="t")
    assert project.rows("SELECT * FROM t") == [[7]]


@pytest.mark.parametrize("name", ["a", "a`b"])
def test_words_into_a_boolean_of_mariadb(tmp_path: Path, mariadb: Database, name: str) -> None:
    project = Project(tmp_path, {"wh": mysql_by_url(mariadb).resource})
    quoted = "`" + name.replace("`", "``") + "`"
    project.sql(f"CREATE TABLE t ({quoted} tinyint(1))")
    (tmp_path / "in.csv").write_text(f"{name}\ntrue\nfalse\n")
    project.one(type="db_load", path=str(tmp_path / "in.csv"), table="t")
    assert project.rows(f"SELECT {quoted} FROM t ORDER BY 1") == [[0], [1]]


@pytest.fixture
def lite_by_url(tmp_path: Path) -> Project:
    url = f"sqlite:///{tmp_path / 'wh.db'}"
    return Project(tmp_path, {"wh": {"kind": "db", "driver": "sqlalchemy", "config": {"url": url}}})


def test_decimals_and_times_into_sqlite(lite_by_url: Project, tmp_path: Path) -> None:
    lite_by_url.sql("CREATE TABLE t (a DECIMAL(5,2), b TIME)")
    (tmp_path / "in.csv").write_text("a,b\n1.50,05:00:00\n")
    lite_by_url.one(type="db_load", path=str(tmp_path / "in.csv"), table="t")
    assert lite_by_url.rows("SELECT a * 2, '' || b FROM t") == [[3, "05:00:00"]]


def test_nan_is_refused_by_sqlite(lite_by_url: Project, tmp_path: Path) -> None:
    lite_by_url.sql("CREATE TABLE t (a REAL)")
    (tmp_path / "in.csv").write_text("a\nnan\n")
    ran = lite_by_url.run(one={"type": "db_load", "path": str(tmp_path / "in.csv"), "table": "t"})
    assert "column a: SQLite keeps no nan" in ran.error.message


def test_bits_that_mariadb_computes(tmp_path: Path, mariadb: Database) -> None:
    """It sends those of expressions as digits, and those of tables and of UNION as bytes."""
    own = {"host": mariadb.host, "port": mariadb.port, "user": mariadb.user, "password": mariadb.password}
    config = own | {"database": mariadb.name}
    for resource in ({"kind": "db", "driver": "mysql", "config": config}, mysql_by_url(mariadb).resource):
        project = Project(tmp_path, {"wh": resource})
        project.sql(
            "CREATE OR REPLACE TABLE bits (one BIT, eight BIT(8), nine BIT(9), all_of_them BIT(64))",
            "INSERT INTO bits VALUES (1, 5, 257, 18446744073709551615), (0, 53, 49, 0)",
        )
        assert project.rows("SELECT * FROM bits") == [[1, 5, 257, 2**64 - 1], [0, 53, 49, 0]]
        assert project.rows("SELECT nine FROM bits UNION ALL SELECT nine FROM bits") == [[257], [49]] * 2
        computed = "SELECT max(one), max(eight), max(nine), (SELECT max(all_of_them) FROM bits) FROM bits"
        assert project.rows(computed) == [[1, 53, 257, 2**64 - 1]]
        assert project.rows("SELECT min(nine) FROM bits WHERE nine < 50") == [[49]]
        ran = project.run(step={"type": "db_extract", "sql": "SELECT min(eight) FROM bits", "output": "bits.csv"})
        assert "sends min(eight) as b'5' for 53 and for 5: write `min(eight) + 0`" in ran.error.message
        assert project.rows("SELECT min(eight) + 0 FROM bits") == [[5]]
