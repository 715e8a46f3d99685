"""A stand-in for an Exasol node: the WebSocket protocol (version 3), so that the unmodified pyexasol talks to it.

It executes SQL with DuckDB. It tests the use of the protocol: login, attributes, results by handle, prepared
statements, transactions, aborts, lost connections. It does not test Exasol's own SQL, types, locks or versions.
"""

import base64
import contextlib
import datetime
import decimal
import itertools
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

INLINE_ROWS = 1000
"""Rows of a result that are sent inline; a larger result is fetched by its handle."""
_TLS_HELLO = b"\x16"
_QUERIES = {"SELECT", "WITH", "VALUES", "DESC", "DESCRIBE"}
_WHOLE = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 18, "UINTEGER": 10, "UBIGINT": 20, "HUGEINT": 36}


def data_type(kind: str) -> dict[str, Any]:
    """The protocol's description of a DuckDB type."""
    if found := re.match(r"DECIMAL\((\d+),\s*(\d+)\)", kind):
        return {"type": "DECIMAL", "precision": int(found[1]), "scale": int(found[2])}
    if kind in _WHOLE:
        return {"type": "DECIMAL", "precision": _WHOLE[kind], "scale": 0}
    if kind in {"DOUBLE", "FLOAT"}:
        return {"type": "DOUBLE"}
    if kind in {"BOOLEAN", "DATE"}:
        return {"type": kind}
    if kind.startswith("TIMESTAMP"):
        zoned = "ZONE" in kind
        return {"type": "TIMESTAMP", "withLocalTimeZone": zoned, "precision": 6}
    return {"type": "VARCHAR", "size": 2_000_000, "characterSet": "UTF8"}


def wire(value: Any) -> Any:
    """The JSON value for a Python value: exact numbers and dates are text."""
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**18:
        return str(value)
    return value


class WebSocket:
    """The server's side of a WebSocket over a blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._protocol = ServerProtocol(max_size=None)
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[bytes]:
        whole = b""
        while data := self._socket.recv(65536):
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if isinstance(event, Request):
                    self._protocol.send_response(self._protocol.accept(event))
                elif isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                    whole += event.data
                    if event.fin:
                        yield whole
                        whole = b""
            self._flush()

    def send(self, message: str) -> None:
        with self._lock:
            self._protocol.send_text(message.encode())
            self._flush()

    def close(self) -> None:
        with self._lock:
            self._protocol.send_close(1000)
            self._flush()
        self._socket.close()

    def _flush(self) -> None:
        with self._lock:
            for data in self._protocol.data_to_send():
                if data:
                    self._socket.sendall(data)


class Session:
    """The server's state of one connection."""

    numbers = itertools.count(1_700_000_000_000)

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self.number = next(self.numbers)
        self.attributes: dict[str, Any] = {"autocommit": True, "currentSchema": ""}
        self.db = database.cursor()
        self.db.execute("SET TimeZone = 'UTC'")
        self._handles = itertools.count(1)
        self._results: dict[int, list[tuple[Any, ...]]] = {}
        self._prepared: dict[int, str] = {}
        self._in_transaction = False

    def answer(self, request: dict[str, Any]) -> dict[str, Any] | None:
        match request["command"]:
            case "getAttributes" | "disconnect":
                return None
            case "setAttributes":
                self._set(request["attributes"])
            case "execute":
                return {"numResults": 1, "results": [self._run(request["sqlText"])]}
            case "createPreparedStatement":
                return self._prepare(request["sqlText"])
            case "executePreparedStatement":
                rows = list(zip(*request["data"], strict=True)) or [()]
                return {"numResults": 1, "results": [self._run(self._prepared[request["statementHandle"]], rows)]}
            case "closePreparedStatement":
                self._prepared.pop(request["statementHandle"], None)
            case "fetch":
                start, count = request["startPosition"], max(1, request["numBytes"] // 1024)
                part = self._results[request["resultSetHandle"]][start : start + count]
                return {"numRows": len(part), "data": columns_of(part)}
            case "closeResultSet":
                for handle in request["resultSetHandles"]:
                    self._results.pop(handle, None)
            case command:
                raise NotImplementedError(command)
        return None

    def _set(self, attributes: dict[str, Any]) -> None:
        if attributes.get("currentSchema"):
            self.open_schema(attributes["currentSchema"])
        if attributes.get("autocommit"):
            self._end("COMMIT")
        self.attributes |= attributes

    def open_schema(self, name: str) -> None:
        self.db.execute(f'USE "{name}"')
        self.attributes["currentSchema"] = name

    def _prepare(self, sql: str) -> dict[str, Any]:
        handle = next(self._handles)
        self._prepared[handle] = sql
        count = re.sub(r"'(?:[^']|'')*'", "", sql).count("?")
        columns = [{"name": "", "dataType": {"type": "VARCHAR", "size": 2000}}] * count
        result = {"resultType": "rowCount", "rowCount": 0}
        parameters = {"numColumns": count, "columns": columns}
        return {"statementHandle": handle, "numResults": 1, "results": [result], "parameterData": parameters}

    def _end(self, word: str) -> None:
        if self._in_transaction:
            self.db.execute(word)
            self._in_transaction = False

    def _run(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> dict[str, Any]:
        words = re.sub(r"--.*\n|/\*.*?\*/", " ", sql, flags=re.DOTALL).upper().split()
        word = words[0] if words else ""
        if word in {"COMMIT", "ROLLBACK"}:
            self._end(word)
            return {"resultType": "rowCount", "rowCount": 0}
        if words[:2] == ["ALTER", "SESSION"]:
            return {"resultType": "rowCount", "rowCount": 0}
        if not self.attributes["autocommit"] and not self._in_transaction:
            self.db.execute("BEGIN")
            self._in_transaction = True
        for row in rows or [()]:
            self.db.execute(sql, row)
        described = self.db.description or []
        if word in _QUERIES:
            return self._result_set(described, self.db.fetchall())
        counted = self.db.fetchone() if [column[0] for column in described] == ["Count"] else None
        count = len(rows) if rows and len(rows) > 1 else counted[0] if counted else 0
        return {"resultType": "rowCount", "rowCount": count}

    def _result_set(self, described: list[Any], rows: list[tuple[Any, ...]]) -> dict[str, Any]:
        columns = [{"name": folded(column[0]), "dataType": data_type(str(column[1]))} for column in described]
        result = {"numColumns": len(columns), "numRows": len(rows), "columns": columns, "numRowsInMessage": len(rows)}
        if len(rows) > INLINE_ROWS:
            handle = next(self._handles)
            self._results[handle] = rows
            result |= {"resultSetHandle": handle, "numRowsInMessage": 0}
        elif rows:
            result["data"] = columns_of(rows)
        return {"resultType": "resultSet", "resultSet": result}


def folded(name: str) -> str:
    """A lower-case name in upper case, as Exasol stores unquoted names; any other name is taken as quoted."""
    return name.upper() if name.islower() else name


def columns_of(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Transpose rows to columns, as the protocol sends them."""
    return [[wire(value) for value in column] for column in zip(*rows, strict=True)]


class ExasolStandIn:
    """Listens on a free port; the first byte distinguishes plain connections and TLS, as on the real server."""

    host, user, password, schema = "127.0.0.1", "sys", "3xa-s3cret", "s1"

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.commands: list[str] = []
        self._tls = tls
        self._key = rsa.generate_private_key(65537, 2048)
        self.db = duckdb.connect()
        self.db.execute(f"CREATE SCHEMA {self.schema}")
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends accept(); closing alone does not
        self._listener.close()
        self.cut()
        self.db.close()

    def cut(self) -> None:
        """Break all connections, as a network fault does."""
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            if sock.recv(1, socket.MSG_PEEK) == _TLS_HELLO:
                if self._tls is None:
                    sock.close()
                    return
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._sockets.add(sock)
            try:
                with self._lock:
                    session = Session(self.db)
                self._talk(WebSocket(sock), session)
            finally:
                self._sockets.discard(sock)
                sock.close()

    def _talk(self, peer: WebSocket, session: Session) -> None:
        with ThreadPoolExecutor(1) as pool:
            try:
                for message in peer:
                    request = json.loads(message)
                    command = request.get("command")
                    self.commands.append(command or "auth")
                    if command == "abortQuery":
                        session.db.interrupt()  # answered by the running statement's own error
                    else:
                        pool.submit(self._respond, peer, session, request)
            finally:
                with contextlib.suppress(duckdb.Error):
                    session.db.interrupt()
        session.db.close()

    def _respond(self, peer: WebSocket, session: Session, request: dict[str, Any]) -> None:
        try:
            answers: dict[str | None, Callable[[], dict[str, Any] | None]] = {
                "login": self._public_key,
                None: lambda: self._authenticate(session, request),
            }
            data = answers.get(request.get("command"), lambda: session.answer(request))()
            message: dict[str, Any] = {"status": "ok", "attributes": session.attributes}
            message |= {} if data is None else {"responseData": data}
        except Exception as error:  # noqa: BLE001 - whatever it is, the client hears of it
            code = "08004" if isinstance(error, PermissionError) else "42000"
            code = "R0003" if isinstance(error, duckdb.InterruptException) else code
            text = f"{error} (Session: {session.number})"
            message = {"status": "error", "exception": {"sqlCode": code, "text": text}}
        with contextlib.suppress(OSError):
            peer.send(json.dumps(message))
            if request.get("command") == "disconnect":
                peer.close()

    def _public_key(self) -> dict[str, Any]:
        public = self._key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
        numbers = public.public_numbers()
        return {"publicKeyPem": pem, "publicKeyModulus": f"{numbers.n:X}", "publicKeyExponent": f"{numbers.e:X}"}

    def _authenticate(self, session: Session, request: dict[str, Any]) -> dict[str, Any]:
        password = self._key.decrypt(base64.b64decode(request["password"]), padding.PKCS1v15()).decode()
        if (request["username"].lower(), password) != (self.user, self.password):
            raise PermissionError("Connection exception - authentication failed.")
        session.attributes |= request.get("attributes", {})
        if schema := session.attributes.get("currentSchema"):
            session.open_schema(schema)
        return {
            "sessionId": session.number, "protocolVersion": 3, "releaseVersion": "8.29.1", "databaseName": "STANDIN",
            "productName": "EXASolution", "maxDataMessageSize": 67108864, "maxIdentifierLength": 128,
            "maxVarcharLength": 2000000, "identifierQuoteString": '"', "timeZone": "UTC",
            "timeZoneBehavior": "INVALID SHIFT AMBIGUOUS ST",
        }  # fmt: skip
