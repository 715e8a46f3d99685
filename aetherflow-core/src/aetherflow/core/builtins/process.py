"""The step `external.process`."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ModelWrapValidatorHandler, field_validator, model_validator

from aetherflow.core.api import STEP_SKIPPED, Flag, ProcessError, Step, StepInputs, StepOutputs, StepResult
from aetherflow.core.builtins.process_outputs import IdempotencyInputs, Numbers, OutputRules, SuccessInputs, listed
from aetherflow.core.builtins.process_streams import Capture, copy, drop, locked

DRAIN_SECONDS = 5.0
"""Time for the rest of the output once the process group is gone; a daemon outside it may hold the pipe for ever."""
LogMode = Literal["inherit", "capture", "file", "discard"]


def _text(value: Any) -> Any:
    # numbers are common in argument lists: `args: [--days, 7]`
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Argument = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int | float)]


class LogInputs(StepInputs):
    """What happens to the child's output."""

    stdout: LogMode = Field("inherit", description="inherit: shown and logged; capture: also an output; file; discard")
    stderr: LogMode = Field("inherit", description="As stdout")
    file_path: str | None = Field(None, description="File for mode `file`, relative to the job's artifacts")
    max_capture_kb: int = Field(1024, gt=0, description="Kept of each captured stream: half its head, half its tail")

    @model_validator(mode="after")
    def _needs_file(self) -> "LogInputs":
        if "file" in (self.stdout, self.stderr) and not self.file_path:
            raise ValueError("file_path is required where stdout or stderr is `file`")
        return self


class RetryInputs(StepInputs):
    """When the child is started again, within one attempt of the step."""

    max_attempts: int = Field(1, ge=1, description="How often the child is started at most")
    backoff_seconds: float = Field(
        0,
        ge=0,
        validation_alias=AliasChoices("backoff_seconds", "sleep_seconds"),
        description="Wait before the second try",
    )
    backoff_multiplier: float = Field(1, ge=1, le=100, description="Each further wait is so many times the one before")
    max_backoff_seconds: float = Field(0, ge=0, description="Longest wait; 0: no limit")
    retry_on_exit_codes: Numbers = Field([], description="Exit codes after which it is tried again; no others")
    retry_on_timeout: Flag = Field(False, description="Try again after `timeout_seconds`, too")

    def wait_before(self, number: int) -> float:
        """Seconds to wait before try `number`, from 2 on."""
        wait = self.backoff_seconds * self.backoff_multiplier ** min(number - 2, 100)  # within a float's range
        return min(wait, self.max_backoff_seconds) if self.max_backoff_seconds else wait


class Inputs(StepInputs):
    """Inputs of `external.process`."""

    command: Annotated[
        list[Argument],
        BeforeValidator(listed, json_schema_input_type=Annotated[list[Argument], Field(min_length=1)] | Argument),
    ] = Field(
        min_length=1,
        validation_alias=AliasChoices("command", "cmd"),
        description="Program and arguments as a list; with `shell: true` one string for the shell, taken verbatim",
    )
    args: list[Argument] = Field([], description="Further arguments, appended to command")
    shell: Flag = Field(False, description="Run command by /bin/sh -c")
    cwd: str | None = Field(
        None, description="Working directory, relative to the job's artifacts, which is the default"
    )
    inherit_env: Flag = Field(True, description="Give the run's environment to the child")
    env: dict[str, Argument | None] = Field({}, description="Further environment variables; null means empty")
    timeout_seconds: float | None = Field(None, gt=0, description="Time limit; the whole process group is ended at it")
    kill_grace_seconds: float = Field(15, ge=0, description="Between SIGTERM and SIGKILL at the time limit")
    log: LogInputs = Field(default_factory=LogInputs, description="What happens to the child's output")
    success: SuccessInputs = Field(default_factory=SuccessInputs, description="When the child counts as successful")
    idempotency: IdempotencyInputs = Field(
        default_factory=IdempotencyInputs, description="How a repetition is kept from doing harm"
    )
    retry: RetryInputs = Field(default_factory=RetryInputs, description="When the child is started again")
    outputs: dict[str, Any] = Field({}, description="Values that are added to the outputs as they are")

    @field_validator("command", "args")
    @classmethod
    def _no_null_bytes(cls, value: list[str]) -> list[str]:
        if any("\0" in item for item in value):
            raise ValueError("an argument holds a null byte, which no program can be given")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _one_program(cls, data: Any, handler: ModelWrapValidatorHandler["Inputs"]) -> "Inputs":
        inputs = handler(data)
        command = data.get("command", data.get("cmd")) if isinstance(data, Mapping) else None
        if inputs.shell or inputs.args or not isinstance(command, str):
            return inputs
        if " " in command and "{{" not in command:  # a template stands for a name that is not known yet
            raise ValueError("command is one program name with blanks; write it as a list, or set `shell: true`")
        return inputs

    @model_validator(mode="after")
    def _one_meaning(self) -> "Inputs":
        if self.shell and (len(self.command) > 1 or self.args):
            raise ValueError("with `shell: true`, command is one string and args is empty")
        marker = self.idempotency.marker_path or self.success.marker_file
        if self.idempotency.strategy == "marker" and not marker:
            raise ValueError("strategy marker needs idempotency.marker_path or success.marker_file")
        clash = {"exit_code", "attempts", "stdout", "stderr", "log_file"} & self.outputs.keys()
        if clash:
            raise ValueError(f"outputs may not replace {', '.join(sorted(clash))}")
        return self


class Outputs(StepOutputs):
    """Outputs of `external.process`."""

    exit_code: int = Field(description="Exit code of the child")
    attempts: int = Field(description="How often the child was started")
    stdout: str | None = Field(None, description="Captured output, if `log.stdout: capture`")
    stderr: str | None = Field(None, description="Captured errors, if `log.stderr: capture`")
    log_file: str | None = Field(None, description="Path of the log, if a stream is written to a file")
    skipped: bool | None = Field(None, description="True if the marker was there: no child was started")
    marker: str | None = Field(None, description="Path of that marker")


class ExternalProcess(Step[Inputs]):
    """Run a program: no shell unless asked for, its whole process group ended on timeout and stop.

    Example:
        - id: count
          type: external.process
          inputs:
            command: [wc, -l, delays.csv]
            timeout_seconds: 30
            log: {stdout: capture}
    """

    Outputs = Outputs

    @classmethod
    def output_names(cls, inputs: Mapping[str, Any]) -> set[str] | None:
        """The fixed outputs and those given by `outputs`."""
        given = inputs.get("outputs")
        return {*Outputs.model_fields, *(given if isinstance(given, dict) else ())}

    def run(self) -> StepResult:
        """Start the child, drain its output, wait, judge; again where `retry` says so."""
        args = self.args
        rules = OutputRules(self.ctx, args.success, args.idempotency)
        if (marker := rules.present_marker()) is not None:
            return StepResult(STEP_SKIPPED, {"skipped": True, "marker": marker}, "marker_present")
        output: dict[str, Any] = {}
        with ExitStack() as stack:
            write: Callable[[bytes], Any] = drop
            if args.log.file_path and "file" in (args.log.stdout, args.log.stderr):
                write = locked(stack.enter_context(self.ctx.write_file(args.log.file_path)).write)
                output["log_file"] = str(self.ctx.write_path(args.log.file_path))
            code, captures, tries = self._tries(rules, write)
        self._judge(code, captures["stderr"], tries)
        rules.require()
        rules.publish()
        for stream in ("stdout", "stderr"):
            if getattr(args.log, stream) == "capture":
                output[stream] = captures[stream].text()
        return StepResult(output={"exit_code": code, "attempts": tries, **output, **args.outputs})

    def _tries(
        self, rules: OutputRules, write: Callable[[bytes], Any]
    ) -> tuple[int | None, Mapping[str, Capture], int]:
        """Exit code (None: the time limit) and captured output of the last try, and how many there were."""
        retry = self.args.retry
        number = 1
        while True:
            captures = {name: Capture(self.args.log.max_capture_kb) for name in ("stdout", "stderr")}
            code = self._once(rules.fresh_output(), captures, write)
            again = retry.retry_on_timeout if code is None else code in retry.retry_on_exit_codes
            if code in self.args.success.exit_codes or not again or number >= retry.max_attempts:
                return code, captures, number
            number += 1
            wait = retry.wait_before(number)
            how = "time limit reached" if code is None else f"exit code {code}"
            self.ctx.log.warning("%s; try %d of %d in %g s", how, number, retry.max_attempts, wait)
            self._sleep(wait)

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.ctx.check_cancelled()
            time.sleep(min(left, 0.1))

    def _once(
        self, more_env: Mapping[str, str], captures: Mapping[str, Capture], write: Callable[[bytes], Any]
    ) -> int | None:
        """One try: exit code, or None if the time limit was reached."""
        args = self.args
        argv = ["/bin/sh", "-c", args.command[0]] if args.shell else [*args.command, *args.args]
        cwd = self.ctx.read_path(args.cwd) if args.cwd else self.ctx.artifacts_dir(self.job_id)
        try:
            process = self.ctx.spawn(argv, cwd=cwd, env={**self._environment(), **more_env})
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"{error.filename or argv[0]}: {reason}"
            raise ProcessError(message, fix="check the program's name, PATH, its permissions and cwd") from error
        return self._drain(process, captures, write)

    def _environment(self) -> dict[str, str]:
        base = dict(self.ctx.child_env) if self.args.inherit_env else {}
        base.setdefault("AETHERFLOW_FLOW_ID", self.ctx.flow_id)
        base.setdefault("AETHERFLOW_RUN_ID", self.ctx.run_id)
        base["AETHERFLOW_IDEMPOTENCY_KEY"] = self.ctx.idempotency_key
        base.update({name: value or "" for name, value in self.args.env.items()})
        return base

    def _drain(
        self, process: "subprocess.Popen[bytes]", captures: Mapping[str, Capture], to_file: Callable[[bytes], Any]
    ) -> int | None:
        threads = []
        failures: list[Exception] = []
        for stream in ("stdout", "stderr"):
            mode, pipe = getattr(self.args.log, stream), getattr(process, stream)
            keep = to_file if mode == "file" else captures[stream].add
            relay = self._relay(stream) if mode in ("inherit", "capture") else drop
            threads.append(threading.Thread(target=copy, args=(pipe, keep, relay, failures), daemon=True))
            threads[-1].start()
        timed_out = False
        try:
            process.wait(self.args.timeout_seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        # the group is ended before the pipes are read to their end: a grandchild may hold them open
        self.ctx.end_process(process, self.args.kill_grace_seconds)
        deadline = time.monotonic() + DRAIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if failures:
            raise failures[0]
        self.ctx.check_cancelled()
        return None if timed_out else process.returncode

    def _relay(self, stream: Any) -> Callable[[bytes], None]:
        return lambda data: self.ctx.relay(stream, data)

    def _judge(self, code: int | None, stderr: Capture, tries: int) -> None:
        count = f" (try {tries} of {self.args.retry.max_attempts})" if tries > 1 else ""
        if code is None:
            message = f"still running after {self.args.timeout_seconds:g} s{count}; its process group was ended"
            raise ProcessError(message, fix="raise timeout_seconds, or look at the log for what it waits for")
        if code not in self.args.success.exit_codes:
            how = (f"ended by signal {-code}" if code < 0 else f"exit code {code}") + count
            lines = stderr.text().strip().splitlines()
            detail = f": {self.ctx.redact(lines[-1])}" if lines else ""
            raise ProcessError(f"{how}{detail}", fix="run the command by hand, or look at its output if it gave any")
