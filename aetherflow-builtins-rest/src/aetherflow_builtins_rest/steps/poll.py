import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import STEP_SKIPPED, PlainText, StepError, StepOutputs, StepResult
from aetherflow_builtins_rest.jmes import Expression, holds, pick
from aetherflow_builtins_rest.rate_limit import retry_after, wait
from aetherflow_builtins_rest.steps.common import (
    Extract,
    HttpStep,
    PathInputs,
    Peer,
    Statuses,
    body_of,
    extracted,
    is_expected,
    json_of,
)

if TYPE_CHECKING:
    import httpx

_FIXED = ("status", "polls", "seconds", "body")


class Inputs(PathInputs):
    """The request, the condition, and the deadline."""

    method: Literal["GET", "HEAD"] = Field("GET", description="The method.")
    until: Expression | None = Field(
        None, description="JMESPath on the JSON response: ready as soon as it is true, as in `state == 'done'`."
    )
    fail_when: Expression | None = Field(None, description="JMESPath: the step fails as soon as it is true.")
    pending_status: Statuses = Field(
        [], description="Statuses that mean `not ready yet`, such as `[202, 404]`; others are judged as usual."
    )
    deadline_seconds: float = Field(gt=0, description="Seconds after which the step gives up.")
    interval_seconds: float = Field(5, ge=0, description="Seconds between two requests; a Retry-After header wins.")
    interval_multiplier: float = Field(1, ge=1, le=10, description="Factor by which each further wait is longer.")
    max_interval_seconds: float = Field(300, gt=0, description="Longest such wait, in seconds.")
    on_timeout: Literal["fail", "skip"] = Field("fail", description="At the deadline: fail, or end as SKIPPED.")
    extract: Extract = Field({}, description="Further outputs: name and JMESPath expression on the last response.")
    secret: list[PlainText] = Field([], description="Names under `extract` whose values are secrets.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.method == "HEAD" and (self.until or self.fail_when or self.extract):
            raise ValueError("until, fail_when and extract read the response, and one to HEAD is empty; use GET")
        if self.until is None and not self.pending_status:
            raise ValueError("say by until, or by pending_status, when it is ready")
        if clash := sorted(set(self.extract) & set(_FIXED)):
            raise ValueError(f"extract.{clash[0]}: the step has an output of that name itself")
        return self


class Outputs(StepOutputs):
    status: int = Field(description="Status of the last response.")
    polls: int = Field(description="Number of requests, without repeats of the resource's `retry`.")
    seconds: float = Field(description="Seconds from the first request to the last response.")
    body: Any = Field(None, description="The last response, if there is no `extract`.")


class HttpPoll(HttpStep[Inputs]):
    """Repeats a request until the response meets a condition or a deadline has passed.

    After a crash it starts again, with the full deadline.

        - id: ready
          type: http_poll
          inputs:
            resource: api
            path: /jobs/42
            until: state == 'done'
            fail_when: state == 'failed'
            deadline_seconds: 600
            interval_seconds: 2
            extract: {file: result.path}
    """

    Outputs = Outputs

    @classmethod
    def output_names(cls, inputs: Mapping[str, Any]) -> set[str]:
        """The fixed outputs and the names under `extract`."""
        extract = inputs.get("extract")
        return {*_FIXED, *(map(str, extract) if isinstance(extract, Mapping) else ())}

    def plan(self) -> list[str]:
        args = self.args
        address = Peer(self.ctx, args.resource).address(args)
        return [f"ask {args.method} {address} until {args.until or 'it is ready'}, for {args.deadline_seconds:g} s"]

    def run(self) -> StepResult:
        args, peer = self.args, Peer(self.ctx, self.args.resource)
        started, polls, gap = time.monotonic(), 0, args.interval_seconds
        pending = is_expected(args.pending_status)
        while True:
            call = peer.call(args.method, args)
            if pending is not None:
                call.expect = lambda status: status < 300 or pending(status)
            response = peer.send(call, quiet=True)
            polls += 1
            spent = time.monotonic() - started
            self.ctx.progress(spent, args.deadline_seconds, "s")
            waits = pending is not None and pending(response.status_code)
            if not waits and self._ready(response):
                output = {"status": response.status_code, "polls": polls, "seconds": round(spent, 3)}
                if args.extract:
                    output |= extracted(args.extract, args.secret, json_of(response, "extract"), self.ctx)
                else:
                    output["body"] = body_of(response)
                return StepResult(output=output)
            asked = retry_after(response.headers.get("retry-after"))
            pause = gap if asked is None else asked
            if spent + pause > args.deadline_seconds:
                return self._late(response, polls, spent)
            wait(pause, self.ctx.check_cancelled)
            gap = min(gap * args.interval_multiplier, args.max_interval_seconds)

    def _ready(self, response: "httpx.Response") -> bool:
        args = self.args
        if args.fail_when is None and args.until is None:
            return True
        data = json_of(response, "until")
        if args.fail_when is not None and holds(pick(args.fail_when, data, "fail_when")):
            raise StepError(f"the peer says that it failed: {args.fail_when}", fix="look at the peer")
        return args.until is None or holds(pick(args.until, data, "until"))

    def _late(self, response: "httpx.Response", polls: int, spent: float) -> StepResult:
        text = f"not ready after {polls} requests in {spent:.0f} s of {self.args.deadline_seconds:g} s"
        if self.args.on_timeout == "fail":
            raise StepError(text, fix="raise deadline_seconds, or look at the peer")
        output = {"status": response.status_code, "polls": polls, "seconds": round(spent, 3)}
        return StepResult(STEP_SKIPPED, output, text)
