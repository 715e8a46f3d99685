"""N and A1 for mail: connections cut at every point, runs killed at every point; at most one delivery unless asked."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit, MailError, MailUnknownError
from aetherflow_builtins_transfer.connectors.mail.smtp import SmtpConnector
from aetherflow_builtins_transfer.mail.bodies import Body
from aetherflow_builtins_transfer.mail.message import Mail, build, envelope_of
from cutting import CuttingProxy, Direction
from mail_server import PASSWORD, USER, MailServer, Start
from torture_bench import Bench, warm_up
from torture_invariants import check_command, check_journal, observe
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
TIMEOUT = 5.0
TEXT = "".join(f"line {number}\n" for number in range(200))
_MADE = Mail("r@x.test", ["a@x.test", "nobody@x.test"], "Cut", Body(TEXT), key="cut")
MAIL = build(_MADE), envelope_of(_MADE)


@contextlib.contextmanager
def connector(server: MailServer, port: int, tls: str, attempts: int) -> Iterator[SmtpConnector]:
    config: dict[str, Any] = {"host": "localhost", "port": port, "tls": tls, "ca_file": str(server.ca_file)}
    if tls != "none":
        config |= {"username": USER, "password": PASSWORD}
    options = {"timeout": TIMEOUT, "retry": {"max_attempts": attempts, "backoff_seconds": 0}}
    found = SmtpConnector(ConnectorInit("post", "mail", "smtp", config, options))
    try:
        yield found
    finally:
        found.close()


def send(server: MailServer, port: int, tls: str, attempts: int) -> str:
    """What becomes of one mail: sent, failed or unknown; the errors are what they should be."""
    try:
        with connector(server, port, tls, attempts) as found:
            found.send(*MAIL)
    except MailUnknownError as error:
        told, outcome = error.message, "unknown"
    except MailError as error:
        told, outcome = error.message, "failed"
    else:
        return "sent"
    assert outcome == "failed" or "it may have taken the mail <" in told, told
    assert "resource post (mail:smtp): localhost:" in told, told
    assert "a@x.test" in told, told
    assert PASSWORD not in told, told
    return outcome


def length(server: MailServer, tls: str, direction: Direction) -> int:
    """Bytes that a whole conversation has in one direction."""
    with CuttingProxy(server.port, direction, 1 << 40) as proxy:
        assert send(server, proxy.port, tls, 1) == "sent"
        time.sleep(0.05)
    server.box.mails.clear()
    return proxy.passed[direction]


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_cut_at_every_point(start_mail_server: Start, tls: str) -> None:
    server = start_mail_server(tls)
    cases: list[tuple[Direction, int, bool, int]] = []
    directions: tuple[Direction, ...] = ("up", "down")
    for direction in directions:
        total = length(server, tls, direction)
        points = list(range(0, total + 64, 64 if total > 1000 else 16)) + list(range(max(total - 40, 1), total + 2))
        cases += [(direction, point, reset, attempts) for point in points for reset in (True, False)
                  for attempts in (1, 3)]  # fmt: skip
    with suite(f"N smtp {tls}", 7, 8) as counted:
        for direction, point, reset, attempts in sample(cases, sized(30, len(cases)), f"N-smtp-{tls}"):
            with counted.case(f"{direction} cut after {point}, reset={reset}, {attempts} tries"):
                server.box.mails.clear()
                started = time.monotonic()
                with CuttingProxy(server.port, direction, point, reset=reset) as proxy:
                    outcome = send(server, proxy.port, tls, attempts)
                    assert time.monotonic() - started < (TIMEOUT + 1) * attempts + 2, "it hung"
                    connections = proxy.connections
                settle(server)
                got = len(server.box.mails)
                assert got <= 1, f"{got} deliveries, {outcome}"
                assert got == 1 or outcome != "sent", "sent, and nobody got it"
                assert got == 0 or outcome != "failed", "failed, and somebody got it"
                assert connections <= attempts
                if outcome == "failed":
                    assert attempts == 1, "one cut and more tries: it should have gone through"
                if outcome == "unknown":
                    assert send(server, server.port, tls, 1) == "sent"
                    assert len({mail.message["Message-ID"] for mail in server.box.mails}) == 1


def settle(server: MailServer) -> None:
    """The server may still be busy with what it got before the cut."""
    end = time.monotonic() + 2
    while server.box.sessions and time.monotonic() < end:
        time.sleep(0.005)


# F11: a run that mails, killed

FLOW = """\
version: 1
flow: {{id: f, workspace: {{cleanup_policy: never}}}}
resources:
  post:
    kind: mail
    driver: smtp
    config: {{host: localhost, port: {port}, tls: none, from_addr: r@x.test}}
jobs:
  - id: a
    steps:
      - {{id: one, type: torture_effect, inputs: {{size: 3000}}}}
      - id: mail
        type: mail_send
        inputs: {{resource: post, to: a@x.test, subject: Report, body: Done., attachments: ["{{{{steps.one.path}}}}"]}}
      - {{id: two, type: torture_effect, inputs: {{sent: "{{{{steps.mail.accepted}}}}"}}}}
"""


@pytest.fixture
def mailing(bench: Bench, start_mail_server: Start) -> tuple[Bench, MailServer]:
    server = start_mail_server("none")
    bench.write(FLOW.format(port=server.port))
    warm_up(bench)
    server.box.mails.clear()
    return bench, server


def finish(bench: Bench, server: MailServer, decide: str) -> None:
    """Resume, answer the question if there is one, and look at what was delivered."""
    before = observe(bench)
    code = bench.attempt()
    delivered = len(server.box.mails)
    assert delivered <= 1, f"{delivered} deliveries without a decision"
    status = bench.rows("SELECT status FROM runs")[0][0]
    interrupted = before.attempts.get(("a", "mail", 1)) == "RUNNING"
    if interrupted:
        assert (code, status) == (1, "UNKNOWN"), (code, status, bench.error_text())
        code = bench.run("resume", "r", "--decide", f"a.mail={decide}")
        if decide == "done":  # its outputs were never stored, so what needs them cannot go on
            assert len(server.box.mails) == delivered
            return
    assert code == 0, bench.error_text()
    assert len({mail.message["Message-ID"] for mail in server.box.mails}) == 1
    assert len(server.box.mails) == (delivered + 1 if interrupted else 1)
    (outputs,) = bench.rows("SELECT outputs FROM step_runs WHERE step_id = 'mail' AND status = 'SUCCESS'")
    assert json.loads(outputs[0])["accepted"] == ["a@x.test"]
    assert bench.ran()[-1] == "two"
    check_journal(bench)
    check_command(bench)


def test_kill_at_every_point(mailing: tuple[Bench, MailServer]) -> None:
    bench, server = mailing
    names = bench.points()
    bench.forget()
    points = sample(list(range(1, len(names) + 1)), sized(15, len(names)), "A1-F11")
    with suite("A1 F11 mail", 1, 3, 8) as counted:
        for number, point in enumerate(points):
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                server.box.mails.clear()
                assert bench.attempt(f"{point}") == KILLED
                finish(bench, server, "again" if number % 2 or full() else "done")
            bench.forget()


def kill_first(child: list[int]) -> None:
    os.kill(child[0], signal.SIGKILL)


def test_kill_in_the_middle_of_the_conversation(mailing: tuple[Bench, MailServer]) -> None:
    bench, server = mailing
    with suite("A1 F11 conversation", 3, 8) as counted:
        for number in range(sized(4, 40)):
            with counted.case(f"killed at the data, {number}"):
                server.box.mails.clear()
                child: list[int] = []
                server.box.on_data = partial(kill_first, child)
                child.append(bench.fork())
                assert os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]) == KILLED
                server.box.on_data = lambda: None
                end = time.monotonic() + 2
                while not server.box.mails and time.monotonic() < end:
                    time.sleep(0.01)
                assert len(server.box.mails) == 1, "the server took it, and nobody was told"
                finish(bench, server, "again")
            bench.forget()
