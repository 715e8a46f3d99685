"""How messages read, and that nothing in them does harm."""

import datetime as dt
import json
import os
import re
import unicodedata
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify.due import Message
from aetherflow.core.runtime.notify.mails import build
from aetherflow.core.runtime.notify.shapes import NTFY_BYTES, mattermost, request_of, slack, teams
from aetherflow.core.runtime.notify.text import Text, compose, one_line, shown_by, span
from notifications import START, notification, rule

FORMATS = ["generic", "slack", "mattermost", "teams", "ntfy", "ping"]


def same(text: str) -> str:
    return text


def message(*told: Notification, firsts: tuple[Notification | None, ...] = (), **spec: Any) -> Message:
    reminder = spec.pop("reminder", False)
    return Message("0" * 32, rule(spec.pop("zone", "UTC"), **spec), told, firsts or (None,) * len(told), reminder)


def plain(*told: Notification, **given: Any) -> str:
    return compose(message(*told, **given), same).plain


def test_a_failure_says_what_why_what_next_since_when_and_who(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    error = {"step": "fetch", "tail": ["hello", "psql: could not connect"]}
    events = [
        {"event": "step_end", "job_id": "load", "step_id": "fetch", "ts_ms": 1},
        {"event": "run_summary", "jobs": [{"job_id": "load", "error": error}, {"job_id": "other", "error": None}]},
    ]
    log.write_text("".join(f"{json.dumps(each)}\n" for each in events))
    told = notification(
        1, failures=3, owner="data@example.com", runbook_url="https://wiki/nightly", log=str(log), item="every-night"
    )
    assert plain(told, firsts=(notification(0, minutes=-1440),), zone="Europe/Berlin") == (
        f"""\
FAILED every-night in load.fetch

AF5101 exit code 2

next:
  aetherflow resume run-1

since: 2026-11-27 04:10 CET
last: 2026-11-28 04:11 CET
failures: 3 in a row
owner: data@example.com
runbook: https://wiki/nightly
item: every-night
flow: nightly (/srv/flows/nightly.yaml)
run: run-1
log: {log}

last lines:
  hello
  psql: could not connect
"""
    )


def test_a_recovery_says_what_it_had_and_for_how_long() -> None:
    told = notification(2, "recovered", minutes=192, code=None, message="", next="aetherflow run x")
    assert plain(told, firsts=(notification(1, minutes=0),)) == (
        """\
RECOVERED nightly

it had failed in load.fetch: AF5101 exit code 2

since: 2026-11-28 06:22 UTC
broken: 3 h 12 min, from 2026-11-28 03:10 UTC on
flow: nightly (/srv/flows/nightly.yaml)
run: run-2
"""
    )


def test_a_missed_slot_names_it_and_a_reminder_says_so() -> None:
    told = notification(1, "missed", slot="2026-11-28T03:00Z", job=None, step=None, code=None, message="it was down")
    assert plain(told, reminder=True).startswith("STILL MISSED nightly slot 2026-11-28T03:00Z\n\nit was down\n")


def test_the_code_of_a_reason_is_not_told_beside_its_text() -> None:
    late = notification(event="late", code="late", message="has not ended in time", job=None)
    assert plain(late).startswith("LATE nightly\n\nhas not ended in time\n")
    assert "it had been late: has not ended in time\n" in plain(notification(2, "recovered"), firsts=(late,))


def test_a_start_tells_no_last_lines_of_a_run_that_may_have_ended_since(tmp_path: Path) -> None:
    log = tmp_path / "r.jsonl"
    log.write_text("it printed this\n")
    started = notification(event="started", code=None, job=None, message="it has begun", log=str(log))
    assert plain(started).startswith("STARTED nightly\n\nit has begun\n")
    assert "at: 2026-11-28 03:11 UTC" in plain(started)
    assert "it printed this" not in plain(started)
    assert "it printed this" in plain(started._replace(event="succeeded"))


def test_many_have_one_subject() -> None:
    told = [notification(number, flow=f"flow{number}") for number in range(1, 8)]
    told.append(notification(9, "recovered", flow="flow9"))
    text = compose(message(*told), same)
    assert text.subject == "7 FAILED, 1 RECOVERED: flow1, flow2, flow3, flow4, flow5 and 3 more"
    assert text.plain.count("next:") == 7


def test_of_very_many_the_rest_is_counted() -> None:
    text = compose(message(*(notification(number) for number in range(100))), same)
    assert (len(text.parts), text.more) == (30, 70)
    assert text.plain.endswith("and 70 more\n")


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "0 min"), (1, "1 min"), (59.6, "1 h"), (192, "3 h 12 min"), (1440, "1 d"), (3000, "2 d 2 h")],
)
def test_a_time_is_told_in_words(minutes: float, words: str) -> None:
    assert span(dt.timedelta(minutes=minutes)) == words


def test_a_log_without_a_summary_is_told_by_its_last_events(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    stamp = int(START.timestamp() * 1000)
    end = {"ts_ms": stamp, "event": "step_end", "job_id": "load", "step_id": "fetch", "status": "SUCCESS"}
    failed = {**end, "event": "job_end", "status": "FAILED", "error": "exit code 2"}
    log.write_text(f"{json.dumps(end)}\n{json.dumps(failed)}\n" + '{"broken')
    shown = plain(notification(1, log=str(log)))
    assert "  03:10:00 step_end load.fetch SUCCESS\n" in shown
    assert "  03:10:00 job_end load.fetch FAILED\n" in shown, "the cause stands above"


def test_a_log_of_plain_text_is_told_by_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("".join(f"line {number}\n" for number in range(50)))
    found = plain(notification(1, log=str(log)))
    assert "line 49" in found
    assert "line 29" not in found


def test_a_command_and_the_lines_of_a_log_keep_their_blanks(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("Traceback:\n  File x\n\traise  ValueError\n")
    typed = "aetherflow run 'my  flows/a\tb.yaml'"
    found = plain(notification(1, next=typed, log=str(log)))
    assert f"\n  {typed}\n" in found
    assert found.endswith("  Traceback:\n    File x\n      raise  ValueError\n")


@pytest.mark.parametrize("log", ["/no/such/file", "/", "\0"])
def test_a_log_that_cannot_be_read_is_left_out(log: str) -> None:
    assert "last lines" not in plain(notification(1, log=log))


def test_a_pipe_in_place_of_a_log_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.log")
    assert "last lines" not in plain(notification(1, log=str(tmp_path / "run.log")))


# Hostile text

HOSTILE = [
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 bell",
    "\u202egnp.exe \u2066x\u2069 \u200f",
    "a\r\nBcc: everybody@example.com\n\nbody",
    "<!channel> <@U123> <http://evil|bank> & @channel @all",
    "[click](http://evil) ![x](http://evil/x.png) **bold** `code` ```\nfence\n``` ~~~",
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'",
    "\ud800 \U000e0041\u2028\u2029\x00",
    "x" * 1_000_000,
    "line\n" * 20_000,
]


def texts_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts_of(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts_of(each)]
    return [value] if isinstance(value, str) else []


def spoiled(text: str, log: Path) -> Notification:
    log.write_text(text, errors="replace")
    names = ("flow", "item", "job", "step", "code", "owner", "slot", "run_id")
    more = {"message": text, "next": text, "runbook_url": f"https://wiki/{text}", "log": str(log)}
    return notification(1, **dict.fromkeys(names, text), **more)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", [*FORMATS, "mail"])
def test_hostile_text_is_harmless_and_short(text: str, form: str, tmp_path: Path) -> None:
    told = spoiled(text, tmp_path / "log")
    if form == "mail":
        mail = message_from_bytes(_mail(told).as_bytes(), policy=default)
        assert isinstance(mail, EmailMessage)
        assert mail["To"] == "oncall@example.com"
        assert mail["Bcc"] is None
        bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
        shown = [str(mail["Subject"])]
        shown += [str(body.get_content()).replace("\r\n", "\n") for body in bodies if body is not None]
        assert "<script>" not in shown[2]
        assert "<img" not in shown[2]
    else:
        sent = message(told, format=form)
        request = request_of(sent, compose(sent, same), same_or_none)
        shown = texts_of(request.json) + ([request.content.decode()] if request.content is not None else [])
        shown += request.headers.values()
        assert all(value.isascii() and value.isprintable() for value in request.headers.values())
    assert sum(map(len, shown)) < 40_000
    letters = set("".join(shown)) - {"\n", "\t"}
    assert not [letter for letter in letters if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co")]


def same_or_none(text: str | None) -> str | None:
    return one_line(text) if text else None


def _mail(told: Notification, **spec: Any) -> EmailMessage:
    sent = message(told, recipients=["oncall@example.com"], **spec)
    return build(sent, compose(sent, same), '"AetherFlow" <nightly@example.com>', same)


def _text(**given: Any) -> Text:
    return compose(message(notification(1, **given)), same)


def test_slack_gets_literal_text_and_an_escaped_subject() -> None:
    found = slack(_text(flow="<!channel>", message="<!here> *x*", runbook_url="https://wiki/x"))
    assert found["text"] == "FAILED &lt;!channel&gt; in load.fetch"
    assert found["mrkdwn"] is False
    elements = [each for block in found["blocks"][0]["elements"] for each in block["elements"]]
    assert {each["type"] for each in elements} == {"text", "link"}
    assert [each["url"] for each in elements if each["type"] == "link"] == ["https://wiki/x"]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://x/ [a](b)", "https://x/'\"><b>", "ftp://x", ""])
def test_only_an_address_becomes_a_link(address: str) -> None:
    text = _text(runbook_url=address)
    assert '"link"' not in json.dumps(slack(text))
    assert teams(text)["attachments"][0]["content"]["actions"] == []
    assert mattermost(text).endswith("\n```")


def test_mattermost_shows_all_but_the_title_as_code() -> None:
    found = mattermost(_text(flow="@all_x", message="```\n@channel [a](b)"))
    title, fence, *code = found.split("\n")
    assert title == "**FAILED \uff20all\\_x in load.fetch**"
    assert fence == "```"
    assert code[-1] == "```"
    assert all("```" not in line for line in code[:-1])


def test_teams_gets_runs_of_text_alone() -> None:
    card = teams(_text(message="[a](b)\n**c**"))["attachments"][0]["content"]
    assert {each["type"] for each in card["body"]} == {"RichTextBlock"}
    assert len(json.dumps(teams(compose(message(*(spoiled_short(n) for n in range(100))), same)))) < 28_000


def spoiled_short(number: int) -> Notification:
    return notification(number, message="m" * 3000)


def test_ntfy_gets_a_title_tags_and_a_short_body() -> None:
    told = notification(1, flow="fl\u00e4sh", message="\u00fc" * 9000, runbook_url="https://wiki/x")
    request = request_of(message(told, format="ntfy"), compose(message(told), same), same_or_none)
    assert request.headers["Title"].startswith("=?utf-8?")
    assert request.headers["Priority"] == "high"
    assert request.headers["Click"] == "https://wiki/x"
    assert len(request.content or b"") <= NTFY_BYTES


@pytest.mark.parametrize(
    ("event", "path"),
    [("started", "start"), ("succeeded", ""), ("recovered", ""), ("failed", "fail"), ("missed", "fail")],
)
def test_a_ping_goes_below_its_address(event: str, path: str) -> None:
    sent = message(notification(1, event), format="ping")
    assert request_of(sent, compose(sent, same), same_or_none).path == path


def test_programs_get_all_fields() -> None:
    sent = message(notification(2), firsts=(notification(1),))
    found = request_of(sent, compose(sent, same), same_or_none).json
    (told,) = found.pop("notifications")
    assert found == {
        "id": "0" * 32,
        "reminder": False,
        "subject": "FAILED nightly in load.fetch",
        "text": compose(sent, same).plain,
        "more": 0,
    }
    assert told["since"] == "2026-11-28T03:11:00+00:00"
    assert (told["event"], told["run_id"], told["next"]) == ("failed", "run-2", "aetherflow resume run-2")


# Mails


def test_a_mail_is_known_again_and_part_of_a_thread() -> None:
    first, second = notification(1), notification(2, "recovered")
    by = rule(recipients=["oncall@example.com"])
    opened = Message("1" * 32, by, (first,), (None,))
    opened = opened._replace(id=_id_of(opened))
    healed = Message("2" * 32, by, (second,), (first,))
    mails = [build(each, compose(each, same), "n@example.com", same) for each in (opened, healed)]
    assert mails[0]["Message-ID"] == f"<{opened.id}@example.com>"
    assert mails[1]["In-Reply-To"] == mails[0]["Message-ID"]
    assert mails[0]["Auto-Submitted"] == "auto-generated"
    assert build(opened, compose(opened, same), "n@example.com", same).keys() == mails[0].keys()


def _id_of(opened: Message) -> str:
    from aetherflow.core.runtime.notify.due import message_id

    return message_id(opened.rule, opened.notifications)


def test_a_log_is_attached_up_to_a_limit(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    log.write_text("".join(f"line {number}\n" for number in range(40_000)))
    told = notification(1, log=str(log))
    sent = message(told, recipients=["oncall@example.com"], attach="log")
    (attached,) = build(sent, compose(sent, same), "n@example.com", same, 400_000).iter_attachments()
    content = attached.get_content()
    assert attached.get_filename() == "run.jsonl"
    assert content.endswith("line 39999\n")
    assert len(content) <= 200_000
    assert re.match(r"line \d+\n", content)


def test_the_pages_of_a_few_runs_are_attached() -> None:
    told = [notification(number, run_id=f"r{number % 9}") for number in range(20)]
    sent = message(*told, recipients=["oncall@example.com"], attach="page")
    made = []

    def page(of: Notification) -> bytes | None:
        made.append(of.run_id)
        return None if of.run_id == "r1" else b"<!doctype html>secret"

    mail = build(sent, compose(sent, same), "n@example.com", lambda text: text.replace("secret", "***"), None, page)
    found = {each.get_filename(): each.get_content().strip() for each in mail.iter_attachments()}
    assert found == dict.fromkeys(("r0.html", "r2.html", "r3.html", "r4.html"), "<!doctype html>***")
    assert made == ["r0", "r1", "r2", "r3", "r4"]


# Secrets


@pytest.mark.parametrize("secret", ["hunter2-of-it", "p\u00e4ss w\u00f6rd", "<&>\"'\\", "tok/en+with==", "two\nlines"])
@pytest.mark.parametrize("form", FORMATS)
def test_no_secret_is_in_any_message(secret: str, form: str) -> None:
    redactor = Redactor()
    redactor.add([secret])
    text = f"psql: password={secret} is wrong"
    names = ("owner", "slot", "run_id", "message", "next", "runbook_url", "log")
    sent = message(notification(1, **dict.fromkeys(names, text)), format=form)
    request = request_of(sent, compose(sent, redactor.mask), partial(shown_by, redactor.mask))
    shown = [*texts_of(request.json), (request.content or b"").decode(), *request.headers.values()]
    assert not [each for each in shown if secret in each or " ".join(secret.split()) in each]
    mail = build(sent, compose(sent, redactor.mask), "n@example.com", redactor.mask)
    body = mail.get_body(("plain",))
    assert body is not None
    assert secret not in body.get_content()


def test_colours_do_not_hide_a_secret() -> None:
    redactor = Redactor()
    redactor.add(["hunter2-of-the-test"])
    sent = message(notification(1, message="it is hunter2\x1b[0m-of-the-test"))
    assert "hunter2" not in compose(sent, redactor.mask).plain
