"""The contract suites over mail and archives."""

from aetherflow.core.testing import StepSuite
from aetherflow_builtins_transfer.steps.mail_send import MailSend

POST = {"post": {"kind": "mail", "driver": "file", "config": {"path": "outbox", "from_addr": "r@x.test"}}}


class TestMailSend(StepSuite):
    step = MailSend
    name = "mail_send"
    effect = "once"
    resources = POST
