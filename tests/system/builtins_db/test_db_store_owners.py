"""States in a server with further users: which rights the account needs, and what others have in its schemas."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from aetherflow.core.api import UntrustedError
from aetherflow.core.base import durable
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_db.stores.sending import Line
from core_project import Project, Result
from db_places import new_database, settings
from server_project import keep_states_in
from server_stores import SERVERS, place_of
from services import Database

PASSWORD = "pw-of-a-user"
FLOW = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - {id: done, type: assert, inputs: {condition: "1 == 1"}}
      - {id: marked, type: external.process, inputs: {command: [test, -e, "{{env.MARK}}"]}}
"""
TRIGGER = "CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW {call}"


class Users(ABC):
    """A database with `etl`, whose states it keeps and who alone reads `private`, and `mallory`; an administrator."""

    rights: Sequence[str]
    """All that `etl` is granted, for its states."""

    def __init__(self, server: Database) -> None:
        self.server = server
        self.etl = replace(server, user="etl", password=PASSWORD)
        self.place = place_of(self.etl)
        self.state = self.place.schema("state")

    @abstractmethod
    def grant(self, *rights: str) -> None:
        """Give etl some of its rights."""

    @abstractmethod
    def revoke(self, right: str) -> None:
        """Take one from it."""

    @abstractmethod
    def does(self, user: str, *statements: str) -> list[tuple[Any, ...]]:
        """What the last of some statements finds, over a new connection of a user."""

    @abstractmethod
    def plant(self, store: str = "state") -> None:
        """Let mallory make the schema of a store, with code that copies `private` to `loot` in a session of etl."""

    def loot(self) -> list[tuple[Any, ...]]:
        return self.does("admin", "SELECT t FROM traps.loot")


class PostgresUsers(Users):
    rights = ("CREATE ON DATABASE owned", "CONNECT ON DATABASE owned")

    def __init__(self, server: Database) -> None:
        super().__init__(server)
        self.does("admin", "REVOKE ALL ON DATABASE owned FROM PUBLIC")
        for user in ("etl", "mallory"):
            with closing(self._connected("admin")) as admin:
                if admin.execute(f"SELECT 1 FROM pg_roles WHERE rolname='{user}'").fetchone():
                    admin.execute(f"DROP OWNED BY {user} CASCADE")
                    admin.execute(f"DROP ROLE {user}")
                admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
        self.grant(*self.rights)
        self.does(
            "admin", "GRANT CONNECT, CREATE ON DATABASE owned TO mallory", "CREATE SCHEMA traps AUTHORIZATION mallory"
        )
        self.does("admin", "CREATE SCHEMA private AUTHORIZATION etl")
        self.does("etl", "CREATE TABLE private.secrets (t text)", "INSERT INTO private.secrets VALUES ('s3cret')")
        self.does("mallory", "CREATE TABLE traps.loot (t text)", "GRANT ALL ON SCHEMA traps TO PUBLIC",
                  "GRANT ALL ON traps.loot TO PUBLIC",
                  "CREATE FUNCTION traps.spy() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN INSERT INTO traps.loot SELECT t FROM private.secrets; RETURN NEW; END $$")  # fmt: skip

    def grant(self, *rights: str) -> None:
        self.does("admin", *(f"GRANT {right} TO etl" for right in rights))

    def revoke(self, right: str) -> None:
        self.does("admin", f"REVOKE {right} FROM etl")

    def _connected(self, user: str) -> "psycopg.Connection[Any]":
        own = self.server if user == "admin" else replace(self.server, user=user, password=PASSWORD)
        given = {"dbname" if name == "database" else name: value for name, value in settings(own).items()}
        return psycopg.connect(**given, autocommit=True)

    def does(self, user: str, *statements: str) -> list[tuple[Any, ...]]:
        with closing(self._connected(user)) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def plant(self, store: str = "state") -> None:
        schema = self.place.schema(store)
        sessions = f"{schema}.sessions"
        self.does("mallory", f"CREATE SCHEMA {schema}", f"GRANT ALL ON SCHEMA {schema} TO etl",
                  f"CREATE TABLE {sessions} (name TEXT PRIMARY KEY, link BIGINT, number BIGINT, seen BIGINT)",
                  f"CREATE TABLE {schema}.schema_version (one BIGINT PRIMARY KEY, version BIGINT)",
                  f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO etl",
                  TRIGGER.format(name="spy", table=sessions, call="EXECUTE FUNCTION traps.spy()"))  # fmt: skip


class MariadbUsers(Users):
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "INDEX", "TRIGGER")

    def __init__(self, server: Database) -> None:
        super().__init__(server)
        self.pattern = f"{server.name}_aetherflow_%".replace("_", r"\_")
        drop = [f"DROP USER IF EXISTS {user}@'127.0.0.1'" for user in ("etl", "mallory")]
        make = [f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'" for user in ("etl", "mallory")]
        bases = [
            f"{kind} {name}" for name in ("traps", "private") for kind in ("DROP DATABASE IF EXISTS", "CREATE DATABASE")
        ]
        self.does("admin", *drop, *make, *bases,
                  "CREATE TABLE private.secrets (t text)", "INSERT INTO private.secrets VALUES ('s3cret')",
                  "CREATE TABLE traps.loot (t text)", "GRANT SELECT ON private.* TO etl@'127.0.0.1'",
                  "GRANT ALL ON traps.* TO etl@'127.0.0.1'", "GRANT ALL ON traps.* TO mallory@'127.0.0.1'",
                  f"GRANT ALL ON `{self.pattern}`.* TO mallory@'127.0.0.1'")  # fmt: skip
        self.does("mallory", "CREATE FUNCTION traps.spy() RETURNS INT SQL SECURITY INVOKER MODIFIES SQL DATA "
                  "BEGIN INSERT INTO traps.loot SELECT t FROM private.secrets; RETURN 1; END")  # fmt: skip
        self.grant(*self.rights)

    def grant(self, *rights: str) -> None:
        self.does("admin", f"GRANT {', '.join(rights)} ON `{self.pattern}`.* TO etl@'127.0.0.1'")

    def revoke(self, right: str) -> None:
        self.does("admin", f"REVOKE {right} ON `{self.pattern}`.* FROM etl@'127.0.0.1'")

    def does(self, user: str, *statements: str) -> list[tuple[Any, ...]]:
        own = replace(self.server, user=user, password=PASSWORD)
        if user == "admin":
            own = replace(self.server, user="root", password="")
        given = settings(own) | {"database": None}
        with closing(pymysql.connect(**given, ssl_disabled=True, autocommit=True)) as raw, raw.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def plant(self, store: str = "state") -> None:
        schema = self.place.schema(store)
        columns = "name CHAR(32) CHARACTER SET ascii PRIMARY KEY, link BIGINT, number BIGINT, seen BIGINT"
        self.does("mallory", f"CREATE DATABASE {schema}", f"CREATE TABLE {schema}.bait ({columns})",
                  f"CREATE TABLE {schema}.schema_version (one BIGINT PRIMARY KEY, version BIGINT)",
                  f"CREATE SQL SECURITY INVOKER VIEW {schema}.sessions AS SELECT * FROM {schema}.bait "
                  "WHERE traps.spy() = 1 WITH CHECK OPTION")  # fmt: skip


@pytest.fixture(params=SERVERS)
def users(request: pytest.FixtureRequest) -> Users:
    server = new_database(request.getfixturevalue(request.param), "owned")
    return MariadbUsers(server) if server.driver == "mysql" else PostgresUsers(server)


@pytest.fixture
def project(users: Users, tmp_path: Path) -> Project:
    found = Project(tmp_path)
    keep_states_in(found, users.etl)
    found.write(FLOW)
    found.env["MARK"] = str(tmp_path / "mark")
    (tmp_path / "mark").touch()
    return found


def fixes(refused: Result) -> list[str]:
    """The statements of a fix, the alternatives one after the other."""
    (fix,) = re.findall(r"^  fix: as an administrator[^:]*: (.*)$", refused.err, re.MULTILINE)
    return [re.sub(r"^or, if .*?: ", "", each) for each in fix.split("; ")]


def require_refused(done: Result, *texts: str) -> None:
    assert (done.code, "Traceback" in done.err) == (4, False), done.err
    assert "AF4004" in done.err, done.err
    for text in texts:
        assert text in done.err, done.err


def test_a_schema_that_another_user_made_runs_nothing_with_our_rights(users: Users, project: Project) -> None:
    users.plant()
    words = (["run", "flow.yaml"], ["status"], ["runs", "list"], ["state", "check", "flow.yaml"])
    done = [project.command(*each) for each in words]
    assert users.loot() == []
    for each in done:
        require_refused(each, "mallory", users.state)
    users.does("admin", fixes(project.command("run", "flow.yaml"))[0])
    assert project.command("run", "flow.yaml").code == 0
    assert users.loot() == []


@pytest.mark.parametrize("store", ["state", "locks", "registry", "notify", "ledger_night_1"])
def test_every_store_is_looked_at(users: Users, tmp_path: Path, store: str) -> None:
    path = users.place.use(tmp_path)
    users.plant(store)
    for reading in (True, False):
        with pytest.raises(UntrustedError, match="mallory"):
            durable.servers[str(path)].database(store, busy_seconds=5, reading=reading)
    assert users.loot() == []


POSTGRES_CASES = {
    "function": (
        ["admin: GRANT USAGE, CREATE ON SCHEMA {state} TO mallory",
         "mallory: CREATE FUNCTION {state}.max(bigint, text) RETURNS bigint LANGUAGE sql AS 'SELECT 1'"],
        "the function {state}.max(bigint,pg_catalog.text) belongs to the role mallory (and 1 more)",
    ),
    "table": (
        ["admin: CREATE TABLE {state}.further (n int)", "admin: ALTER TABLE {state}.further OWNER TO mallory"],
        "the table {state}.further belongs to the role mallory",
    ),
    "trigger": (
        ["admin: GRANT USAGE ON SCHEMA {state} TO mallory", "admin: GRANT TRIGGER ON {state}.runs TO mallory",
         "mallory: " + TRIGGER.format(name="spy", table="{state}.runs", call="EXECUTE FUNCTION traps.spy()")],
        "the trigger spy on {state}.runs calls a function of the role mallory (and 1 more)",
    ),
    "right of all": (["admin: GRANT CREATE ON SCHEMA {state} TO PUBLIC"], "PUBLIC may create functions in it"),
    "right of one": (["etl: GRANT ALL ON {state}.journal TO mallory"], "mallory may create triggers for its tables"),
    "event trigger": (
        ["mallory: CREATE FUNCTION traps.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1; END'",
         "admin: CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION traps.e()"],
        "the event trigger spy calls a function of the role mallory",
    ),
}  # fmt: skip
MARIADB_CASES = {
    "view": (
        ["mallory: CREATE VIEW {state}.further AS SELECT 1"],
        "the view further belongs to the user mallory@127.0.0.1",
    ),
    "trigger": (
        ["mallory: " + TRIGGER.format(name="{state}.spy", table="{state}.runs", call="SET @@session.sql_mode = ''")],
        "the trigger spy belongs to the user mallory@127.0.0.1",
    ),
    "engine": (
        ["mallory: CREATE TABLE {state}.further (n INT) ENGINE=MyISAM"],
        "the table further is kept by the engine MyISAM, not by InnoDB",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("users", "statements", "told"),
    [pytest.param(server, *case, id=f"{server}-{name}")
     for server, cases in (("postgres", POSTGRES_CASES), ("mariadb", MARIADB_CASES))
     for name, case in cases.items()],
    indirect=["users"],
)  # fmt: skip
def test_what_others_have_in_a_schema_is_named_with_what_removes_it(
    users: Users, project: Project, statements: list[str], told: str
) -> None:
    assert project.command("run", "flow.yaml").code == 0
    for statement in statements:
        user, _, sql = statement.format(state=users.state).partition(": ")
        users.does(user, sql)
    require_refused(project.command("run", "flow.yaml"), told.format(state=users.state))
    for _ in range(int(told.endswith("(and 1 more)")) + 1):
        refused = project.command("run", "flow.yaml")
        require_refused(refused)
        users.does("admin", fixes(refused)[0])
    assert project.command("run", "flow.yaml").code == 0
    assert users.loot() == []


@pytest.mark.parametrize("users", ["postgres"], indirect=True)
def test_owners_that_have_the_rights_of_the_account_anyway(users: Users, project: Project) -> None:
    assert project.command("run", "flow.yaml").code == 0
    users.does("admin", f"ALTER SCHEMA {users.state} OWNER TO app", f"GRANT ALL ON SCHEMA {users.state} TO etl")
    assert project.command("run", "flow.yaml").code == 0
    users.does("admin", f"ALTER SCHEMA {users.state} OWNER TO mallory")
    require_refused(project.command("run", "flow.yaml"), "it belongs to the role mallory")
    users.does("admin", "GRANT mallory TO etl")  # others may have that role, too
    require_refused(project.command("run", "flow.yaml"), "it belongs to the role mallory")
    users.does("admin", "REVOKE mallory FROM etl", "GRANT etl TO mallory")
    assert project.command("run", "flow.yaml").code == 0
    users.does("admin", "REVOKE etl FROM mallory")
    users.does("admin", fixes(project.command("run", "flow.yaml"))[1])
    assert project.command("run", "flow.yaml").code == 0


@pytest.mark.parametrize("users", ["postgres"], indirect=True)
def test_accounts_that_log_in_with_one_role_share_states(users: Users, project: Project) -> None:
    assert project.command("run", "flow.yaml", "--run-id", "r1").code == 0
    users.does("admin", "GRANT etl TO mallory")
    keep_states_in(project, replace(users.etl, user="mallory"))
    require_refused(project.command("run", "flow.yaml"), "it belongs to the role etl")
    users.does("admin", "ALTER ROLE mallory SET role = etl")
    assert project.command("run", "flow.yaml").code == 0


def test_a_schema_that_another_user_makes_in_between_is_refused(
    users: Users, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = users.place.kind.make

    def made(line: Line) -> None:
        users.plant()
        make(line)

    path = users.place.use(tmp_path)
    monkeypatch.setattr(users.place.kind, "make", made)
    with pytest.raises(UntrustedError, match="mallory"):
        durable.open_store(path, "state", busy_seconds=5)
    assert users.loot() == []


def test_a_process_asks_once_for_each_schema(users: Users, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, asked = users.place.use(tmp_path / "here"), list[str]()
    of_others = users.place.kind.of_others

    def counted(line: Line) -> Any:
        asked.append(line.schema)
        return of_others(line)

    monkeypatch.setattr(users.place.kind, "of_others", counted)
    project = FlowProject(tmp_path / "project")
    project.env["AETHERFLOW_LOCK_STORE"] = str(state)
    project.write(f"""\
version: 1
flow: {{id: f, state: {{path: "{state}"}}, locks: {{scope: flow}}}}
jobs: [{{id: a, steps: [{{id: s, type: assert, inputs: {{condition: "1 == 1"}}}}]}}]
""")
    for run_id in "xyz":
        project.run(run_id=run_id)
    made = {users.place.schema(store) for store in ("state", "locks")}
    assert made <= {*asked}
    assert len(asked) <= 2 * len({*asked}), "before and after it is made"


GOOD = [1, 0, 0, 0, 0, 0]


def life_of_runs(project: Project) -> Iterator[int]:
    """Exit codes of a run that fails, its resumption, a second run, the removal of the first one, two looks."""
    mark = Path(project.env["MARK"])
    mark.unlink()
    yield project.command("run", "flow.yaml", "--run-id", "r1").code
    mark.touch()
    for words in (
        "resume flow.yaml", "run flow.yaml --run-id r2", "runs prune --keep-last 1 --yes", "status",
        "state check flow.yaml",
    ):  # fmt: skip
        yield project.command(*words.split()).code


def test_the_rights_of_the_docs_are_enough(users: Users, project: Project) -> None:
    assert [*life_of_runs(project)] == GOOD


@pytest.mark.parametrize(
    ("users", "right"),
    [pytest.param(server, right, id=right.split()[0])
     for server, kind in (("postgres", PostgresUsers), ("mariadb", MariadbUsers)) for right in kind.rights],
    indirect=["users"],
)  # fmt: skip
def test_each_right_of_the_docs_is_needed(users: Users, project: Project, right: str) -> None:
    users.revoke(right)
    assert next(code for code, good in zip(life_of_runs(project), GOOD, strict=True) if code != good) in {1, 4}
    users.grant(right)
    Path(project.env["MARK"]).touch()
    assert project.command("run", "flow.yaml", "--run-id", "r3").code == 0


@pytest.mark.parametrize("users", ["mariadb"], indirect=True)
def test_an_account_that_sees_no_triggers_is_refused(users: Users, project: Project) -> None:
    users.revoke("TRIGGER")
    refused = project.command("run", "flow.yaml")
    require_refused(refused, "the account lacks the right TRIGGER")
    users.does("admin", fixes(refused)[0])
    assert [*life_of_runs(project)] == GOOD


@pytest.mark.parametrize("users", ["postgres"], indirect=True)
def test_schemas_that_an_administrator_made_need_no_right_to_create_some(users: Users, project: Project) -> None:
    users.revoke(users.rights[0])
    stores = [users.place.schema(store) for store in ("state", "locks", "registry", "notify")]
    users.does("admin", *(f"CREATE SCHEMA {store} AUTHORIZATION etl" for store in stores))
    assert [*life_of_runs(project)] == GOOD
