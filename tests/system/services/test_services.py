"""Each real server, once there and back."""

import io
import os
from collections.abc import Iterator

import paramiko
import psycopg
import pymysql
import pytest
import smbclient

from services import Database, Smbd, Sshd
from svc import workdir


def test_sshd_takes_a_file_and_renames_it(sshd: Sshd) -> None:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(sshd.known_hosts))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            "127.0.0.1", sshd.port, sshd.user, key_filename=str(sshd.key), allow_agent=False, look_for_keys=False
        )
        with client.open_sftp() as sftp:
            sftp.putfo(io.BytesIO(b"x" * 100), f"{sshd.root}/a.part")
            sftp.posix_rename(f"{sshd.root}/a.part", f"{sshd.root}/a")
    assert (sshd.root / "a").read_bytes() == b"x" * 100


def test_smbd_takes_a_file_over_an_encrypted_session(smbd: Smbd) -> None:
    cache: dict[str, object] = {}
    where = {"port": smbd.port, "connection_cache": cache}
    session = smbclient.register_session(
        "127.0.0.1", smbd.user, smbd.password, encrypt=True, auth_protocol="ntlm", **where
    )
    try:
        assert session.encrypt_data
        with smbclient.open_file(smbd.share + r"\f.txt", "w", encoding="utf-8", **where) as file:
            file.write("hä")
    finally:
        smbclient.reset_connection_cache(connection_cache=cache)
    assert (smbd.root / "f.txt").read_text("utf-8") == "hä"


def test_postgres_keeps_rows(postgres: Database) -> None:
    with psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        dbname=postgres.name,
    ) as connection:
        connection.execute("create table smoke (a int primary key, b text)")
        connection.execute("insert into smoke select n, 'ä' from generate_series(1, 1000) n")
        assert connection.execute("select count(*), min(b) from smoke").fetchone() == (1000, "ä")
        connection.execute("drop table smoke")


@pytest.fixture
def mysql(mariadb: Database) -> Iterator["pymysql.Connection[pymysql.cursors.Cursor]"]:
    connection = pymysql.connect(
        host=mariadb.host,
        port=mariadb.port,
        user=mariadb.user,
        password=mariadb.password,
        database=mariadb.name,
        charset="utf8mb4",
    )
    yield connection
    connection.close()


def test_mariadb_keeps_rows(mysql: "pymysql.Connection[pymysql.cursors.Cursor]") -> None:
    with mysql.cursor() as cursor:
        cursor.execute("create table smoke (a int primary key, b varchar(20))")
        cursor.executemany("insert into smoke values (%s, %s)", [(n, "ä") for n in range(1000)])
        cursor.execute("select count(*), min(b) from smoke")
        assert cursor.fetchone() == (1000, "ä")
        cursor.execute("drop table smoke")


def test_a_servers_folder_can_be_entered_by_another_account_and_goes_away() -> None:
    with workdir("smoke") as folder:
        assert folder.stat().st_mode & 0o777 == 0o755
        assert folder.stat().st_uid == os.getuid()
    assert not folder.exists()
