"""The step `external.process`."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ModelWrapValidatorHandler, field_validator, model_validator

from aetherflow.core.api import Flag, ProcessError, Step, StepInputs, StepOutputs, StepResult

CHUNK = 64 * 1024
DRAIN_SECONDS = 5.0
"""Time for the rest of the output once the process group is gone; a daemon outside it may hold the pipe for ever."""
LogMode = Literal["inherit", "capture", "file", "discard"]


def _text(value: Any) -> Any:
    # numbers are common in argument lists: `args: [--days, 7]`
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Argument = Annotated[str, BeforeValidator(_text)]


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


class SuccessInputs(StepInputs):
    """When the child counts as successful."""

    exit_codes: Annotated[list[int], BeforeValidator(_listed)] = Field([0], description="Exit codes that mean success")
    require_files: Annotated[list[str], BeforeValidator(_listed)] = Field(
        [],
        validation_alias=AliasChoices("require_files", "required_files"),
        description="Files that must exist afterwards, relative to the job's artifacts",
    )


class Inputs(StepInputs):
    """Inputs of `external.process`."""

    command: Annotated[list[Argument], BeforeValidator(_listed)] = Field(
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
        clash = {"exit_code", "attempts", "stdout", "stderr", "log_file"} & self.outputs.keys()
        if clash:
            raise ValueError(f"outputs may not replace {', '.join(sorted(clash))}")
        return self


class Outputs(StepOutputs):
    """Outputs of `external.process`."""

    exit_code: int = Field(description="Exit code of the child")
    stdout: str | None = Field(None, description="Captured output, if `log.stdout: capture`")
    stderr: str | None = Field(None, description="Captured errors, if `log.stderr: capture`")
    log_file: str | None = Field(None, description="Path of the log, if a stream is written to a file")


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
        """Start the child, drain its output, wait, judge."""
        args = self.args
        argv = ["/bin/sh", "-c", args.command[0]] if args.shell else [*args.command, *args.args]
        cwd = self.ctx.read_path(args.cwd) if args.cwd else self.ctx.artifacts_dir(self.job_id)
        captures = {"stdout": _Capture(args.log.max_capture_kb), "stderr": _Capture(args.log.max_capture_kb)}
        try:
            process = self.ctx.spawn(argv, cwd=cwd, env=self._environment())
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"{error.filename or argv[0]}: {reason}"
            raise ProcessError(message, fix="check the program's name, PATH, its permissions and cwd") from error
        log_file = None
        if args.log.file_path and "file" in (args.log.stdout, args.log.stderr):
            with self.ctx.write_file(args.log.file_path) as file:
                code = self._drain(process, captures, _locked(file.write))
            log_file = str(self.ctx.write_path(args.log.file_path))
        else:
            code = self._drain(process, captures, _drop)
        self._judge(code, captures["stderr"])
        output: dict[str, Any] = {"exit_code": code, **args.outputs}
        for stream in ("stdout", "stderr"):
            if getattr(args.log, stream) == "capture":
                output[stream] = captures[stream].text()
        if log_file:
            output["log_file"] = log_file
        return StepResult(output=output)

    def _environment(self) -> dict[str, str]:
        base = dict(self.ctx.child_env) if self.args.inherit_env else {}
        base.setdefault("AETHERFLOW_FLOW_ID", self.ctx.flow_id)
        base.setdefault("AETHERFLOW_RUN_ID", self.ctx.run_id)
        base["AETHERFLOW_IDEMPOTENCY_KEY"] = self.ctx.idempotency_key
        base.update({name: value or "" for name, value in self.args.env.items()})
        return base

    def _drain(
        self, process: "subprocess.Popen[bytes]", captures: Mapping[str, "_Capture"], to_file: Callable[[bytes], Any]
    ) -> int:
        threads = []
        failures: list[Exception] = []
        for stream in ("stdout", "stderr"):
            mode, pipe = getattr(self.args.log, stream), getattr(process, stream)
            keep = to_file if mode == "file" else captures[stream].add
            relay = self._relay(stream) if mode in ("inherit", "capture") else _drop
            threads.append(threading.Thread(target=_copy, args=(pipe, keep, relay, failures), daemon=True))
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
        if timed_out:
            message = f"still running after {self.args.timeout_seconds:g} s; its process group was ended"
            raise ProcessError(message, fix="raise timeout_seconds, or look at the log for what it waits for")
        return process.returncode

    def _relay(self, stream: Any) -> Callable[[bytes], None]:
        return lambda data: self.ctx.relay(stream, data)

    def _judge(self, code: int, stderr: "_Capture") -> None:
        if code not in self.args.success.exit_codes:
            how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            lines = stderr.text().strip().splitlines()
            detail = f": {self.ctx.redact(lines[-1])}" if lines else ""
            raise ProcessError(f"{how}{detail}", fix="run the command by hand, or look at its output if it gave any")
        for name in self.args.success.require_files:
            if not self.ctx.read_path(name).exists():
                message = f"external.process outputs invalid: missing_required_file:{name}"
                raise ProcessError(message, fix="the child ended well without writing it; check its arguments")


class _Capture:
    """Head and tail of a stream, at most `kb` KiB together; what lies between is counted, not kept."""

    def __init__(self, kb: int) -> None:
        self._half = kb * 512
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        if len(self._tail) > self._half:
            excess = len(self._tail) - self._half
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """What was kept, undecodable bytes replaced, with a note where bytes are missing."""
        middle = f"\n[... {self._dropped} bytes left out ...]\n".encode() if self._dropped else b""
        return bytes(self._head + middle + self._tail).decode(errors="replace")


def _copy(
    pipe: IO[bytes], keep: Callable[[bytes], Any], relay: Callable[[bytes], None], failures: list[Exception]
) -> None:
    failed = False
    with pipe:
        while data := pipe.read1(CHUNK):  # type: ignore[attr-defined]  # a buffered pipe has it
            if failed:
                continue  # read on all the same: a child that writes into a full pipe would never end
            try:
                keep(data)
                relay(data)
            except Exception as error:  # noqa: BLE001 a full disk, say; the step's own thread raises it
                failures.append(error)
                failed = True


def _drop(data: bytes) -> None:
    del data


def _locked(write: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    lock = threading.Lock()

    def locked(data: bytes) -> None:
        with lock:  # stdout and stderr share the file
            write(data)

    return locked
