"""The flow of the example; what becomes of a mail whose answer is lost."""

from pathlib import Path
from typing import Any

from aetherflow.core.testing import FlowProject

FLOW = Path(__file__).parents[1] / "flow.yaml"


def arrange(project: FlowProject, api: Any) -> None:
    project.env |= {"ACME_POST_URL": api.url, "ACME_POST_TOKEN": api.token}
    project.write(FLOW.read_text().replace("root: work", f"root: {project.work}"))


def test_the_flow_of_the_example(flow_project: FlowProject, api: Any, mails: Any) -> None:
    arrange(flow_project, api)
    done = flow_project.command("run", "flow.yaml", "--run-id", "one")
    assert done.code == 0, done.err
    ((recipients, mail),) = mails()
    assert recipients == ("team@x.test",)
    assert (mail["Subject"], mail["From"]) == ("Totals of the night", "reports@x.test")
    assert [part.get_content() for part in mail.iter_attachments()] == ["customer,total\nBo,3.25\n"]
    assert api.token not in done.out + done.err


def test_an_answer_that_is_lost_sends_nothing_twice(flow_project: FlowProject, api: Any, mails: Any) -> None:
    arrange(flow_project, api)
    api.lose_answers = 1
    ran = flow_project.run(params={"team": "team@x.test"})
    assert ran.status == "SUCCESS", ran.error
    ((_, mail),) = mails()
    assert mail["Message-ID"] == ran["post"].outputs["message_id"]
    assert api.requests == ["POST /v1/messages", "GET /v1/messages"]


def test_a_person_decides_about_a_mail_that_the_api_does_not_have(flow_project: FlowProject, api: Any) -> None:
    arrange(flow_project, api)
    api.lose_requests = 1
    ran = flow_project.run()
    assert (ran.status, api.mails) == ("UNKNOWN", {})
    assert api.requests == ["POST /v1/messages", "GET /v1/messages"]
