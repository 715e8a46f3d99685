"""Messages reach real servers: SMTP, HTTP, programs; by any connector of the kinds, under the rules of the project."""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from canaries import FORMS, USUAL

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot
from aetherflow.core.runtime.environment.spec.notify import Shape
from aetherflow.core.runtime.notify import deliver
from aetherflow.core.runtime.notify.deliver import Delivery, Message, NotSentError, due, send
from aetherflow.core.runtime.notify.rules import document_rules, project_rules
from http_server import Authority, Running, peer, running
from mail_server import PASSWORD, USER, MailServer, Start
from notifications import START, notification
from svc import free_port

NOW = START.replace(hour=12)
RECIPIENTS = ["oncall@example.com", "team@example.com"]


class Sending:
    """A project in a folder, and what its rules send."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ambient = {"PATH": os.environ["PATH"], "HOME": str(folder), "AETHERFLOW_WORK_ROOT": str(folder / "work")}

    def write(self, resources: Mapping[str, Any], *rules: Mapping[str, Any], **more: Any) -> None:
        document = {"version": 1, "resources": dict(resources), "notify": list(rules), **more}
        (self.folder / "aetherflow.yaml").write_text(yaml.safe_dump(document))

    @property
    def snapshot(self) -> Snapshot:
        return build_snapshot(self.folder, ambient=self.ambient, run_hooks=True)  # as runs do

    def messages(self, *told: Notification) -> list[Message]:
        return [each for rule in project_rules(self.snapshot) for each in due(told, [], rule, NOW)]

    def send(self, *told: Notification) -> None:
        for each in self.messages(*told):
            send(each, self.snapshot)

    def failing(self, *told: Notification) -> NotSentError:
        with pytest.raises(NotSentError) as caught:
            self.send(*told)
        return caught.value


@pytest.fixture
def sending(tmp_path: Path) -> Sending:
    return Sending(tmp_path)


# Mails


def smtp(server: MailServer, **config: Any) -> dict[str, Any]:
    account = {"username": USER, "password": PASSWORD, "ca_file": str(server.ca_file), "tls": "starttls"}
    place = {"host": "localhost", "port": server.port, "from_addr": "AetherFlow <nightly@example.com>"}
    return {"post": {"kind": "mail", "driver": "smtp", "config": {**place, **account, **config}}}


def test_a_mail_arrives_with_its_id_text_page_and_log(sending: Sending, start_mail_server: Start) -> None:
    server = start_mail_server()
    sending.write(smtp(server), {"to": "post", "recipients": RECIPIENTS, "attach": "log"})
    log = sending.folder / "run.log"
    log.write_text("psql: could not connect\n")
    told = notification(1, log=str(log))
    (message,) = sending.messages(told)
    for _ in range(2):  # a repeated one is the same for the receiver
        send(message, sending.snapshot)
    first, second = server.box.mails
    assert first.recipients == RECIPIENTS
    assert first.message["Message-ID"] == second.message["Message-ID"] == f"<{message.id}@example.com>"
    assert first.message["Subject"] == "FAILED nightly in load.fetch"
    plain, page = (first.message.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert page is not None
    assert "  aetherflow resume run-1\n" in plain.get_content().replace("\r\n", "\n")
    assert "<pre>aetherflow resume run-1</pre>" in page.get_content()
    (attached,) = first.message.iter_attachments()
    assert attached.get_content() == "psql: could not connect\n"


def test_a_recovery_answers_the_mail_of_the_failure(sending: Sending, start_mail_server: Start) -> None:
    server = start_mail_server()
    sending.write(smtp(server), {"to": "post", "recipients": RECIPIENTS})
    sending.send(broken := notification(1))
    (rule,) = project_rules(sending.snapshot)
    told = [broken, notification(61, "recovered")]
    (recovery,) = due(told, [Delivery(broken, NOW, sent=True)], rule, NOW)
    send(recovery, sending.snapshot)
    failed, healed = (mail.message for mail in server.box.mails)
    assert healed["In-Reply-To"] == failed["Message-ID"]
    assert healed["Subject"] == "RECOVERED nightly"
    body = healed.get_body(("plain",))
    assert body is not None
    assert "broken: 1 h, from" in body.get_content()


@pytest.mark.parametrize("answer", ["451 try later", "550 spam"])
def test_a_mail_that_the_server_does_not_take_is_not_sent(
    answer: str, sending: Sending, start_mail_server: Start
) -> None:
    server = start_mail_server()
    server.box.answer = answer
    sending.write(smtp(server), {"to": "post", "recipients": RECIPIENTS})
    assert answer[:3] in sending.failing(notification(1)).message


def test_a_mail_about_a_command_has_no_page(sending: Sending, start_mail_server: Start) -> None:
    server = start_mail_server()
    sending.write(smtp(server), {"to": "post", "recipients": RECIPIENTS, "attach": "page"})
    sending.send(notification(1, flow=None))
    (mail,) = server.box.mails
    assert list(mail.message.iter_attachments()) == []


def test_nobody_but_refused_recipients_is_a_failure(sending: Sending, start_mail_server: Start) -> None:
    sending.write(smtp(start_mail_server()), {"to": "post", "recipients": ["nobody@example.com"]})
    assert "nobody@example.com" in str(sending.failing(notification(1)))


def test_a_mail_is_sent_again_to_those_only_whom_the_server_refused(sending: Sending, start_mail_server: Start) -> None:
    server = start_mail_server()
    sending.write(smtp(server), {"to": "post", "recipients": ["a@example.com", "later@bücher.example"]})
    failed = sending.failing(notification(1))
    assert "later@bücher.example (452 " in failed.message
    assert "a@example.com" not in failed.message
    assert failed.accepted == ("a@example.com",)
    (message,) = sending.messages(notification(1))
    message = message._replace(accepted=failed.accepted)
    with pytest.raises(NotSentError, match=r"\(other recipients have it\): .*452"):
        send(message, sending.snapshot)
    server.box.full = False
    send(message, sending.snapshot)
    assert [mail.recipients for mail in server.box.mails] == [["a@example.com"], ["later@xn--bcher-kva.example"]]
    first, second = (mail.message for mail in server.box.mails)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["To"] == second["To"]


@pytest.mark.parametrize("driver", ["MinimalMail", "PlainMail"])
def test_the_documented_minimum_of_a_mail_connector_sends(
    driver: str, sending: Sending, strangers: Callable[[str, str, str], None]
) -> None:
    import packet_strangers

    strangers("mail", "stranger", f"packet_strangers:{driver}")
    packet_strangers.SENT.clear()
    resource = {"kind": "mail", "driver": "stranger", "config": {"from_addr": "n@example.com"}}
    sending.write({"post": resource}, {"to": "post", "recipients": RECIPIENTS})
    sending.send(notification(1))
    (found,) = packet_strangers.SENT
    assert found["subject"] == "FAILED nightly in load.fetch"
    assert found["to"] == RECIPIENTS
    assert "aetherflow resume run-1" in str(found.get("text", found.get("body")))


@pytest.fixture
def strangers(sending: Sending) -> Callable[[str, str, str], None]:
    """Makes a class of tests a connector of the project, by a folder plugin."""

    def add(kind: str, driver: str, target: str) -> None:
        module, _, name = target.partition(":")
        plugin = sending.folder / "plugins" / "stranger.py"
        plugin.parent.mkdir()
        plugin.write_text(
            f"import {module}\nfrom aetherflow.core.api import register_connector\n\n"
            f"register_connector({kind!r}, {driver!r})({module}.{name})\n"
        )
        sending.ambient["AETHERFLOW_PLUGIN_PATHS"] = str(plugin.parent)

    return add


# HTTP


def rest(api: Running, authority: Authority, path: str = "/hook", **options: Any) -> dict[str, Any]:
    config = {"base_url": api.url + path, "ca_file": str(authority.file), "secret_url": True}
    return {"channel": {"kind": "rest", "driver": "httpx", "config": config, "options": options}}


@pytest.mark.parametrize("form", ["generic", "slack", "mattermost", "teams"])
def test_a_channel_gets_json_with_the_id_of_the_message(
    form: str, sending: Sending, http_api: Running, http_authority: Authority
) -> None:
    sending.write(rest(http_api, http_authority), {"to": "channel", "format": form})
    (message,) = sending.messages(notification(1))
    send(message, sending.snapshot)
    (hit,) = http_api.api.hits
    assert (hit.method, hit.path) == ("POST", "/hook")
    assert hit.headers["idempotency-key"] == message.id
    assert hit.headers["content-type"] == "application/json"
    assert "FAILED nightly in load" in json.dumps(json.loads(hit.body))


def test_the_query_of_an_address_is_sent_too_and_a_secret(
    sending: Sending, http_api: Running, http_authority: Authority
) -> None:
    query = "?api-version=1&sig=signature-of-the-test"
    sending.write(rest(http_api, http_authority, f"/hook{query}"), {"to": "channel", "format": "teams"})
    sending.send(notification(1))
    assert http_api.api.hits[0].query == {"api-version": "1", "sig": "signature-of-the-test"}
    sending.write(rest(http_api, http_authority, f"/status/500{query}"), {"to": "channel", "format": "teams"})
    assert "signature" not in sending.failing(notification(1)).message


def test_the_address_of_a_webhook_goes_to_no_other_machine_in_clear_text(sending: Sending) -> None:
    """Who knows the address of a webhook writes into the channel. `0.0.0.0` isn't a loopback address."""
    with running() as plain:
        for path in ("/services/T000/B000/abcdefghijklmnop", "/hook?sig=of-the-test-17"):
            config = {"base_url": f"http://0.0.0.0:{plain.port}{path}", "secret_url": True}
            sending.write({"hook": {"kind": "rest", "driver": "httpx", "config": config}}, {"to": "hook"})
            assert "a secret would go to 0.0.0.0 in clear text" in sending.failing(notification(1)).message
        assert plain.api.hits == []
        config = {"base_url": f"{plain.url}{path}", "secret_url": True}
        sending.write({"hook": {"kind": "rest", "driver": "httpx", "config": config}}, {"to": "hook"})
        sending.send(notification(1))
        assert len(plain.api.hits) == 1


def test_ntfy_gets_plain_text(sending: Sending, http_api: Running, http_authority: Authority) -> None:
    sending.write(rest(http_api, http_authority), {"to": "channel", "format": "ntfy"})
    sending.send(notification(1, flow="fl\u00e4sh"))
    (hit,) = http_api.api.hits
    assert hit.headers["title"].startswith("=?utf-8?")
    assert hit.headers["content-type"] == "text/plain; charset=utf-8"
    assert "aetherflow resume run-1" in hit.body.decode()


def test_a_ping_says_start_success_and_failure(sending: Sending, http_api: Running, http_authority: Authority) -> None:
    sending.write(rest(http_api, http_authority, "/echo/check"), {"to": "channel", "format": "ping"})
    told = [notification(number, event) for number, event in enumerate(["started", "succeeded", "started", "failed"])]
    sending.send(*told)
    assert [hit.path for hit in http_api.api.hits] == [
        "/echo/check/start", "/echo/check", "/echo/check/start", "/echo/check/fail",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_of_the_receiver_is_no_success(
    status: int, sending: Sending, http_api: Running, http_authority: Authority
) -> None:
    sending.write(rest(http_api, http_authority, f"/status/{status}"), {"to": "channel"})
    error = sending.failing(notification(1))
    assert str(status) in error.message
    assert error.message.startswith("notify to channel: AF")


def test_the_address_of_a_webhook_is_in_no_error(sending: Sending) -> None:
    secret = "T000-B000-of-the-test"
    config = {"base_url": f"http://127.0.0.1:{free_port()}/services/{secret}"}
    sending.write({"channel": {"kind": "rest", "driver": "httpx", "config": config}}, {"to": "channel"})
    error = sending.failing(notification(1))
    assert secret not in f"{error.message} {error.fix}"
    assert error.__cause__ is None
    assert "connection" in error.message


@pytest.mark.parametrize("driver", ["Minimal", "Stranger"])
def test_connectors_of_other_hands_send(
    driver: str,
    sending: Sending,
    strangers: Callable[[str, str, str], None],
    http_api: Running,
    http_authority: Authority,
) -> None:
    strangers("rest", "stranger", f"http_strangers:{driver}")
    config = {"base_url": f"{http_api.url}/hook", "ca_file": str(http_authority.file)}
    sending.write({"channel": {"kind": "rest", "driver": "stranger", "config": config}}, {"to": "channel"})
    (message,) = sending.messages(notification(1))
    send(message, sending.snapshot)
    (hit,) = http_api.api.hits
    assert hit.headers["idempotency-key"] == message.id
    assert json.loads(hit.body)["subject"] == "FAILED nightly in load.fetch"


def test_a_certificate_that_a_profile_names_stands_beside_the_profiles(
    sending: Sending, http_api: Running, http_authority: Authority
) -> None:
    profiles = sending.folder / "site/profiles.yaml"
    profiles.parent.mkdir()
    profiles.write_text("hook: {config: {ca_file: ca.pem}}\n")
    sending.ambient["AETHERFLOW_PROFILES_FILE"] = str(profiles)
    resources = rest(http_api, http_authority)
    resources["channel"]["profile"] = "hook"
    del resources["channel"]["config"]["ca_file"]
    sending.write(resources, {"to": "channel"})
    assert "site/ca.pem" in sending.failing(notification(1)).message
    (profiles.parent / "ca.pem").write_bytes(http_authority.file.read_bytes())
    sending.send(notification(1))
    assert len(http_api.api.hits) == 1


def test_an_error_of_the_receiver_is_no_success_of_the_documented_minimum_either(
    sending: Sending,
    strangers: Callable[[str, str, str], None],
    http_api: Running,
    http_authority: Authority,
) -> None:
    strangers("rest", "stranger", "http_strangers:Minimal")
    config = {"base_url": f"{http_api.url}/status/503", "ca_file": str(http_authority.file)}
    sending.write({"channel": {"kind": "rest", "driver": "stranger", "config": config}}, {"to": "channel"})
    assert "answered 503" in sending.failing(notification(1)).message


def test_a_resource_of_another_kind_sends_nothing(sending: Sending) -> None:
    lake = {"kind": "sftp", "driver": "local", "config": {"root": str(sending.folder / "lake")}}
    sending.write({"lake": lake}, {"to": "lake"})
    assert "a resource of kind sftp sends no messages" in sending.failing(notification(1)).message


def test_a_receiver_that_hangs_is_given_up(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "MOST_SECONDS", 0.3)
    done = threading.Event()

    def hang(stream: socket.socket) -> None:
        done.wait(20)
        stream.close()

    try:
        with peer(hang) as listener:
            config = {"base_url": f"http://127.0.0.1:{listener.port}/hook"}
            sending.write({"channel": {"kind": "rest", "driver": "httpx", "config": config}}, {"to": "channel"})
            sending.failing(notification(1))
            done.set()
    finally:
        done.set()


# Commands

READ = "import json, os, sys; told = json.load(sys.stdin)"


def command(*argv: str) -> dict[str, Any]:
    return {"command": [sys.executable, *argv]}


def test_a_command_gets_the_message_in_the_folder_of_the_project(sending: Sending) -> None:
    write = f"{READ}; open('told.txt', 'w').write(told['subject'] + told['notifications'][0]['run_id'])"
    sending.write({}, command("-c", write))
    sending.send(notification(1))
    assert (sending.folder / "told.txt").read_text() == "FAILED nightly in load.fetchrun-1"


def test_a_command_that_reads_nothing_is_fine(sending: Sending) -> None:
    sending.write({}, command("-c", "pass"))
    sending.send(notification(1, message="m" * 1_000_000))


def test_a_command_that_fails_says_why_without_secrets(sending: Sending) -> None:
    sending.ambient["CHANNEL_TOKEN"] = "token-of-the-test"
    code = "import os, sys; print('x' * 10_000_000, file=sys.stderr); sys.exit('no ' + os.environ['CHANNEL_TOKEN'])"
    sending.write({}, command("-c", code))
    assert sending.failing(notification(1)).message == (
        f"notify by command {sys.executable}: AF5101 exit code 1: no ***"
    )


def test_a_command_that_does_not_end_is_ended(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "MOST_SECONDS", 0.3)
    sending.write({}, command("-c", "import time; time.sleep(600)"))
    assert "still running after 0.3 s" in sending.failing(notification(1)).message


def test_a_command_that_is_not_there_is_named(sending: Sending) -> None:
    sending.write({}, {"command": ["no-such-program"]})
    assert "cannot be started: No such file or directory" in sending.failing(notification(1)).message


# The rules of the project


def test_a_policy_against_programs_holds_for_commands(sending: Sending, policy: Callable[[str], None]) -> None:
    policy("version: 1\nsteps: {deny: [external.*]}\n")
    sending.write({}, command("-c", "open('told.txt', 'w')"))
    assert "denies external.process" in sending.failing(notification(1)).message
    assert not (sending.folder / "told.txt").exists()


def test_a_policy_against_connectors_holds_for_resources(sending: Sending, policy: Callable[[str], None]) -> None:
    policy("version: 1\nconnectors: {deny: ['mail:*']}\n")
    sending.write({"post": {"kind": "mail", "driver": "file", "config": {"from_addr": "a@example.com"}}},
                  {"to": "post", "recipients": RECIPIENTS})  # fmt: skip
    assert "refused by the administrator's policy" in sending.failing(notification(1)).message


def test_in_enterprise_mode_a_resource_writes_below_the_work_root(sending: Sending) -> None:
    resource = {"kind": "mail", "driver": "file", "config": {"from_addr": "a@example.com", "path": "outbox"}}
    rules = {"to": "post", "recipients": RECIPIENTS}
    sending.write({"post": resource}, rules, policy={"mode": "enterprise"})
    sending.send(notification(1))
    assert len(list((sending.folder / "work" / "outbox").iterdir())) == 1
    resource["config"] = {"from_addr": "a@example.com", "path": str(sending.folder / "elsewhere")}
    sending.write({"post": resource}, rules, policy={"mode": "enterprise"})
    assert "AF" in sending.failing(notification(1)).message
    assert not (sending.folder / "elsewhere").exists()


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes a file the administrator's policy."""
    from aetherflow.core.base import owners
    from aetherflow.core.runtime.environment import administrator

    def write(text: str) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        monkeypatch.setattr(administrator, "POLICY_FILE", str(path))
        monkeypatch.setattr(owners, "ROOT", os.getuid())

    yield write
    administrator._read.cache_clear()


def test_the_rules_of_a_scheduler_document_are_in_its_zone(sending: Sending) -> None:
    path = sending.folder / "scheduler.yaml"
    path.write_text(
        "version: 1\ntimezone: Europe/Berlin\nitems: []\n"
        "notify:\n- {to: post, recipients: [a@example.com], digest: 07:00}\n"
    )
    (rule,) = document_rules(path, sending.snapshot)
    assert rule.opens(START, NOW).hour == 6


# Secrets

VALUES = {name: f"cn{number:03}/\"it's <Ä>\\\\+ %" for number, name in enumerate(USUAL)}
WRITTEN = [form(value) for value in VALUES.values() for form in FORMS.values()]


def test_no_secret_of_the_environment_is_in_a_message(
    sending: Sending, http_api: Running, http_authority: Authority
) -> None:
    sending.ambient |= VALUES
    log = sending.folder / "run.log"
    log.write_text("\n".join(WRITTEN))
    names = ("flow", "item", "run_id", "owner", "runbook_url", "job", "step", "code", "slot", "next")
    each = len(WRITTEN) // len(names) + 1
    fields = {name: " ".join(WRITTEN[at * each : (at + 1) * each]) for at, name in enumerate(names)}
    post = {"kind": "mail", "driver": "file", "config": {"from_addr": "a@example.com", "path": "outbox"}}
    sending.write(
        {**rest(http_api, http_authority, "/echo/check"), "post": post},
        *({"to": "channel", "format": form, "events": ["failed"]} for form in get_args(Shape)),
        {"to": "post", "recipients": RECIPIENTS, "attach": "log"},
        command("-c", "import sys; open('told.txt', 'ab').write(sys.stdin.buffer.read())"),
    )
    sending.send(notification(1, message=" ".join(WRITTEN), log=str(log), **fields))
    shown = [hit.body + json.dumps(hit.headers).encode() for hit in http_api.api.hits]
    shown += [path.read_bytes() for path in [*sending.folder.glob("work/outbox/*"), *sending.folder.glob("told.txt")]]
    assert len(shown) == len(get_args(Shape)) + 2
    for one in shown:
        text = (one + b"\n" + _decoded(one)).decode(errors="replace")
        assert "***" in text
        assert not [written for written in WRITTEN if written in text]


def _decoded(mail: bytes) -> bytes:
    from email import message_from_bytes

    return b"\n".join(
        bytes(part.get_payload(decode=True) or b"")
        for part in message_from_bytes(mail).walk()
        if not part.is_multipart()
    )
