"""mail_send in flows: what a mail looks like, by the driver that writes files."""

import base64
import email.policy
import io
import zipfile
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject, Ran
from aetherflow_builtins_transfer.mail.addresses import parse_addresses
from aetherflow_builtins_transfer.mail.bodies import text_of_html
from aetherflow_builtins_transfer.mail.content_type import content_type_of

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
POST = {"post": {"kind": "mail", "driver": "file", "config": {"path": "outbox", "from_addr": "Reports <r@x.test>"}}}
BASE = {"resource": "post", "to": "a@x.test", "subject": "s"}


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path / "project")


def send(project: FlowProject, **inputs: Any) -> Ran:
    return project.run_step("mail_send", BASE | inputs, resources=POST)


def outbox(project: FlowProject) -> list[EmailMessage]:
    found = []
    for path in sorted((project.work / "flow/outbox").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns):
        message = message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


def sent(project: FlowProject, **inputs: Any) -> EmailMessage:
    ran = send(project, **inputs)
    assert ran.error is None, ran.error
    return outbox(project)[-1]


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def test_a_plain_mail(project: FlowProject) -> None:
    ran = send(project, to='"Müller, Änne" <ae@x.test>, b@x.test', cc=["c@x.test"], bcc="d@x.test", reply_to="e@x.test",
               subject="Täglicher Bericht ✓", body="Grüße", headers={"X-Origin": "nightly"})  # fmt: skip
    message = outbox(project)[0]
    assert [address.addr_spec for address in message["To"].addresses] == ["ae@x.test", "b@x.test"]
    assert message["To"].addresses[0].display_name == "Müller, Änne"
    assert (str(message["Cc"]), message["Bcc"], str(message["Reply-To"])) == ("c@x.test", None, "e@x.test")
    assert (message["Subject"], message["X-Origin"]) == ("Täglicher Bericht ✓", "nightly")
    assert str(message["From"]) == "Reports <r@x.test>"
    assert message["X-Envelope-To"] == "ae@x.test, b@x.test, c@x.test, d@x.test"
    assert part(message, "plain") == "Grüße\n"
    outputs = ran["step"].outputs
    assert outputs["accepted"] == ["ae@x.test", "b@x.test", "c@x.test", "d@x.test"]
    assert (outputs["sent"], outputs["refused"], outputs["html"]) == (True, {}, False)
    assert outputs["message_id"] == message["Message-ID"]
    (file,) = (project.work / "flow/outbox").iterdir()
    assert file.name.startswith("Taglicher-Bericht-")
    assert file.stat().st_mode & 0o777 == 0o600


def test_html_with_the_words_beside_it(project: FlowProject) -> None:
    message = sent(project, body="<h1>A &amp; B</h1><p>one<br>two</p><style>p { color: red }</style>", html="true")
    assert part(message, "html").startswith("<h1>A &amp; B</h1>")
    assert part(message, "plain") == "A & B\n\none\ntwo\n"
    assert part(sent(project, body="<p>x</p>", html=True, text="own words"), "plain") == "own words\n"


def test_templates_with_values_and_tables(project: FlowProject) -> None:
    project.write("<p>Hi $who, that costs $5 or $$x.</p>\n$rows\n", "mail.html")
    project.write("Hi ${who}!\n\n$rows\n", "mail.txt")
    rows = [{"carrier": "UA <1>", "delay": 12.5}, {"carrier": "AA", "delay": None}]
    inputs = {"values": {"who": "Ada & Co"}, "tables": {"rows": {"rows": rows, "caption": "Delays"}}}
    message = sent(project, html_file="mail.html", text_file="mail.txt", **inputs)
    html, text = part(message, "html"), part(message, "plain")
    assert "<p>Hi Ada &amp; Co, that costs $5 or $x.</p>" in html
    assert ">UA &lt;1&gt;</td>" in html
    assert 'text-align:right;">12.5</td>' in html
    assert text == "Hi Ada & Co!\n\nDelays\n\ncarrier  delay\n-------  -----\nUA <1>    12.5\nAA\n"
    words = part(sent(project, html_file="mail.html", **inputs), "plain")
    assert "UA <1>    12.5" in words, "the table is in line in the words of the HTML, too"


def test_tables_below_a_text(project: FlowProject) -> None:
    file = project.write("name,n\nx,1\ny,22\nz,3\n", "work/data.csv")
    tables = {"numbers": {"file": str(file), "max_rows": 2}}
    message = sent(project, body="Two of them:\n\nsee", tables=tables)
    assert part(message, "plain").endswith("name   n\n----  --\nx      1\ny     22\n... and 1 more row\n")
    assert "<p>Two of them:</p>" in part(message, "html")
    assert "and 1 more row" in part(message, "html")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"html_file": "mail.html"}, "asks for $who, which is not given"),
        ({"html_file": "mail.html", "values": {"who": "x", "also": 1}}, "no template shows also"),
        ({"html_file": "none-{{run.attempt}}.html"}, "none-1.html cannot be read: No such file"),
        ({"html_file": "../../../etc/passwd-{{run.attempt}}"}, "outside the allowed folders"),
        ({"body": "x", "tables": {"t": {"rows": [[1]]}}}, "so `columns` has to name the columns"),
        ({"body": "x", "tables": {"t": {"rows": [[1, 2]], "columns": ["a"]}}}, "row 1 has 2 values for 1 columns"),
        ({"body": "x", "attachments": "none.csv"}, "none.csv cannot be read: No such file"),
        ({"body": "x", "attachments": "/etc/passwd"}, "outside the allowed folders"),
        ({"body": '<img src="cid:x">', "html": True}, "shows cid:x, but there is no such inline image"),
    ],
)
def test_what_cannot_be_sent(project: FlowProject, inputs: dict[str, Any], message: str) -> None:
    project.write("Hi $who", "mail.html")
    ran = send(project, **inputs)
    assert ran.error is not None
    assert message in ran.error.message
    assert not (project.work / "flow/outbox").exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"body": "x", "to": "nobody"}, "should look like name@example.com"),
        ({"body": "x", "to": "a@x.test; b@x.test"}, "separate addresses by commas"),
        ({"body": "x", "to": []}, "no recipient"),
        ({"body": "x", "cc": "a@x.test, b@"}, "no mail address"),
        ({}, "the body is missing"),
        ({"body": "x", "text_file": "m.txt"}, "the body is given twice, by body and by a template"),
        ({"body": "x", "subject": "a\nBcc: b@x.test"}, "subject"),
        ({"body": "x", "headers": {"Subject": "y"}}, "an input of its own"),
        ({"body": "x", "headers": {"X-A": "y\nBcc: b@x.test"}}, "holds a line break"),
        ({"body": "x", "headers": {"X A": "y"}}, "no name of a header"),
        ({"body": "x", "attachment": "a.csv"}, "attachment"),
        ({"body": "x", "from_addr": "a@x.test, b@x.test"}, "must be one address"),
        ({"body": "x", "html": "maybe"}, "true, false, yes, no"),
        ({"body": "x", "values": {"a": 1}}, "values are for templates"),
    ],
)
def test_what_validate_finds(project: FlowProject, inputs: dict[str, Any], message: str) -> None:
    project.flow({"id": "s", "type": "mail_send", "inputs": BASE | inputs}, resources=POST)
    found = project.validate()
    assert any(message in error["msg"] for error in found), found


def test_attachments_open(project: FlowProject) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "inside")
    files = {
        "Umsatz März.csv": ("text/csv", "a;b\nä;1\n".encode()),
        "sheet.xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", packed.getvalue()),
        "packed.zip": ("application/zip", packed.getvalue()),
        "picture.dat": ("image/png", PNG),
        "data.bin": ("application/octet-stream", bytes(range(256)) * 40),
        "lies.png": ("text/plain", b"no picture"),
    }
    for name, (_, content) in files.items():
        (project.work / "in").mkdir(parents=True, exist_ok=True)
        (project.work / "in" / name).write_bytes(content)
    paths = [str(project.work / "in" / name) for name in files]
    message = sent(project, body="see there", attachments=[*paths, {"path": paths[0], "name": "other.csv"}])
    found = {str(each.get_filename()): each for each in message.iter_attachments()}
    assert list(found) == [*files, "other.csv"]
    for name, (kind, content) in files.items():
        assert found[name].get_content_type() == kind, name
        assert found[name].get_payload(decode=True) == content, name
    assert found["Umsatz März.csv"].get_content() == "a;b\nä;1\n"


def test_inline_images(project: FlowProject) -> None:
    project.work.mkdir()
    (project.work / "logo.png").write_bytes(PNG)
    images = {"logo": str(project.work / "logo.png")}
    message = sent(project, body='<img src="cid:logo">', html=True, inline_images=images)
    (image,) = (each for each in message.walk() if each.get_content_type() == "image/png")
    assert image["Content-ID"] == "<logo>"
    assert image.get_payload(decode=True) == PNG
    ran = send(project, body="<p>none</p>", html=True, inline_images=images)
    assert "does not show inline image logo" in str(ran.error)
    (project.work / "logo.png").write_text("no image")
    ran = send(project, body='<img src="cid:logo">', html=True, inline_images=images)
    assert "is no image but text/plain" in str(ran.error)


def test_a_mail_that_is_too_large(project: FlowProject) -> None:
    resources = {"post": {**POST["post"], "options": {"max_bytes": 1000}}}
    ran = project.run_step("mail_send", BASE | {"body": "x" * 2000}, resources=resources)
    assert ran.error is not None
    assert "1,000 is the most" in ran.error.message


def test_one_message_id_per_step_and_run(project: FlowProject) -> None:
    first = sent(project, body="x")["Message-ID"]
    second = sent(project, body="x")["Message-ID"]
    assert first != second
    assert first.endswith("@x.test>")


# Parts


@pytest.mark.parametrize(
    "text", ["a@x.test", "A <a@x.test>", '"A, B" <a@x.test>, b@y.test', "a+b@x.test", "a@bücher.example"]
)
def test_addresses(text: str) -> None:
    assert parse_addresses(text)


@pytest.mark.parametrize(
    "text", ["a", "a@", "@x", "a b@x.test", "a@x..test", "a@x.test b@x.test", "a@x.test,,@", "ä@x.t"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|ASCII"):
        parse_addresses(text)


def test_addresses_are_listed_once() -> None:
    assert [str(each) for each in parse_addresses(["a@x.test", "A <a@x.test>", "b@x.test"])] == ["a@x.test", "b@x.test"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", b"1,2", "text/csv"),
        ("a.json", b"{}", "application/json"),
        ("a.parquet", b"PAR1xxxx", "application/vnd.apache.parquet"),
        ("a.pdf", b"%PDF-1.7 ...", "application/pdf"),
        ("a.pdf", b"\x00\x01", "application/octet-stream"),
        ("a.docx", b"PK\x03\x04...", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("noname", b"text", "text/plain"),
        ("a.mp3", b"\xff\xfb\x90", "audio/mpeg"),
    ],
)
def test_content_types(name: str, content: bytes, kind: str) -> None:
    assert content_type_of(name, content) == kind


def test_words_of_html() -> None:
    html = "<html><head><title>T</title></head><body><p>a  b</p><pre>x   y\nz</pre><ul><li>1<li>2</ul></body>"
    assert text_of_html(html) == "a b\n\nx   y\nz\n\n1\n2\n"


@pytest.mark.parametrize("by_link", [False, True])
def test_under_a_policy_mail_goes_into_no_file_outside_of_the_sandbox(
    project: FlowProject, tmp_path: Path, by_link: bool
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = str(outside)
    if by_link:
        path = "outbox/link"
        (project.work / "flow/outbox").mkdir(parents=True)
        (project.work / "flow/outbox/link").symlink_to(outside)
    resources: dict[str, Any] = {"post": POST["post"] | {"config": {"path": path, "from_addr": "r@x.test"}}}
    inputs = BASE | {"body": "b"}
    project.env["AETHERFLOW_MODE"] = "enterprise"
    ran = project.run_step("mail_send", inputs, resources=resources)
    assert ran.error is not None, "it left the sandbox"
    assert ran.error.code == "AF5003", ran.error
    assert not list(outside.iterdir())
    assert not ran["step"].outputs
    project.write(f"paths: {{write: [{outside}]}}\n", "aetherflow.yaml").chmod(0o600)
    project.folder.chmod(0o700)
    assert project.run_step("mail_send", inputs, resources=resources).error is None, "the policy allows it"
    assert len(list(outside.glob("*.eml"))) == 1
    (project.folder / "aetherflow.yaml").unlink()
    assert send(project, body="b").error is None, "the flow's own folder is allowed, too"
    assert len(outbox(project)) == 1
