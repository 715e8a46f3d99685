"""Inputs and outputs of `external.process`."""

import math
import shlex
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ModelWrapValidatorHandler, field_validator, model_validator

from aetherflow.core.api import (
    Backoff,
    Flag,
    Holds,
    PlainText,
    PlainValue,
    ReadPath,
    StepInputs,
    StepOutputs,
    WritePath,
    parse_bool,
)
from aetherflow.core.builtins.process_child import TryError
from aetherflow.core.builtins.process_outputs import IdempotencyInputs, Numbers, SuccessInputs, listed

LogMode = Literal["inherit", "capture", "file", "discard"]
FLOW_FOLDER = "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}"
_MAX_NAME = 255
RetryOn = Literal["any", "exit_codes", "timeout", "invalid_output"]


def _flag_or_names(value: Any) -> Any:
    if isinstance(value, list):
        return value
    try:
        return parse_bool(value)
    except ValueError as error:
        raise ValueError("must be true, false, or a list of names") from error


FlagOrNames = Annotated[
    bool | list[PlainText], BeforeValidator(_flag_or_names, json_schema_input_type=bool | str | list[str])
]
Conditions = Annotated[list[RetryOn], BeforeValidator(listed, json_schema_input_type=list[RetryOn] | RetryOn)]


class LogInputs(StepInputs):
    """What happens to the child's output."""

    stdout: LogMode = Field("inherit", description="inherit: shown and logged; capture: also an output; file; discard")
    stderr: LogMode = Field("inherit", description="As stdout")
    file_path: WritePath | None = Field(
        None, description="File for mode `file`, relative to the job's artifacts; both streams may use it"
    )
    append: Flag = Field(
        True,
        description="true: a log, which grows with every try, also over several runs. false: a result file with the "
        "output of the last try: it appears, as an artifact, when the program has ended successfully",
    )
    max_capture_kb: int = Field(1024, gt=0, description="KiB kept of each captured stream, half from each end")
    max_capture_bytes: int | None = Field(None, gt=0, description="The same in bytes")

    @model_validator(mode="after")
    def _fits(self) -> "LogInputs":
        if "file" in (self.stdout, self.stderr) and not self.file_path:
            raise ValueError("file_path is required where stdout or stderr is `file`")
        both = self.max_capture_bytes is not None and "max_capture_kb" in self.model_fields_set
        if both and self.max_capture_bytes != self.max_capture_kb * 1024:
            raise ValueError("max_capture_kb and max_capture_bytes differ; keep one of them")
        return self

    @property
    def limit(self) -> int:
        """Most bytes that are kept of a captured stream."""
        return self.max_capture_bytes or self.max_capture_kb * 1024


class RetryInputs(Backoff):
    """When the child is started again, within one attempt of the step."""

    max_attempts: int = Field(1, ge=1, description="Most starts of the child")
    retry_on: Conditions = Field(
        [],
        description="Failures after which it is started again: `exit_codes` (those of `retry_on_exit_codes`, else all "
        "that mean no success), `timeout`, `invalid_output` (a rule of `success` does not hold), `any` (all of these, "
        "and a program that cannot be started)",
    )
    backoff_seconds: float = Field(
        0,
        ge=0,
        validation_alias=AliasChoices("backoff_seconds", "sleep_seconds"),
        description="Wait before the second try",
    )
    backoff_multiplier: float = Field(1, ge=1, le=100, description="Factor between one wait and the next")
    max_backoff_seconds: float = Field(0, ge=0, description="Longest wait; 0: no limit")
    retry_on_exit_codes: Numbers = Field([], description="The only exit codes after which it is tried again")
    retry_on_timeout: Flag = Field(False, description="Try again after `timeout_seconds`, too")

    def covers(self, error: TryError) -> bool:
        """Whether this failure is retried, if a try is left."""
        if error.failure == "exit_codes" and self.retry_on_exit_codes:
            return error.child_code in self.retry_on_exit_codes
        if error.failure == "timeout" and self.retry_on_timeout:
            return True
        return "any" in self.retry_on or error.failure in self.retry_on

    @property
    def longest(self) -> float:
        """Upper limit of a wait in seconds; `max_backoff_seconds: 0` means none."""
        return self.max_backoff_seconds or math.inf


class Inputs(StepInputs):
    command: Annotated[
        list[str],
        Holds.CODE,
        BeforeValidator(listed, json_schema_input_type=Annotated[list[str], Field(min_length=1)] | str),
    ] = Field(
        min_length=1,
        validation_alias=AliasChoices("command", "cmd"),
        description="Program and arguments as a list; with `shell: true` one string for the shell, taken verbatim",
    )
    args: list[Annotated[str, Holds.CODE]] = Field([], description="Further arguments, appended to command")
    shell: Flag = Field(False, description="Run command by /bin/sh -c")
    cwd: ReadPath | None = Field(
        None, description="Working directory, relative to the job's artifacts, which is the default"
    )
    inherit_env: FlagOrNames = Field(
        True,
        description="Whether the child gets the run's environment: true, false (an empty one), or a list of names and "
        "patterns such as `DBT_*`",
    )
    env: dict[str, Annotated[str, Holds.CODE] | None] = Field(
        {}, description="Further environment variables; null means empty"
    )
    timeout_seconds: float | None = Field(None, gt=0, description="Time limit, at which the process group is ended")
    kill_grace_seconds: float = Field(15, ge=0, description="Between SIGTERM and SIGKILL at the time limit")
    log: LogInputs = Field(default_factory=LogInputs, description="What happens to the child's output")
    success: SuccessInputs = Field(default_factory=SuccessInputs, description="When the child counts as successful")
    idempotency: IdempotencyInputs = Field(
        default_factory=IdempotencyInputs, description="How a repetition avoids doing the work twice"
    )
    retry: RetryInputs = Field(default_factory=RetryInputs, description="When the child is started again")
    outputs: dict[str, PlainValue] = Field(
        {}, description="Values that are added to the outputs; they replace outputs of the same name"
    )

    @field_validator("command", "args")
    @classmethod
    def _no_null_bytes(cls, value: list[str]) -> list[str]:
        if any("\0" in item for item in value):
            raise ValueError("an argument holds a null byte, which no program can be given")
        return value

    @field_validator("env")
    @classmethod
    def _can_be_set(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for name, text in value.items():
            if not name or "=" in name or "\0" in name:
                raise ValueError(f"no variable can have the name {name!r}")
            if text is not None and "\0" in text:
                raise ValueError(f"the variable {name} holds a null byte, which no program can be given")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _one_program(cls, data: Any, handler: ModelWrapValidatorHandler["Inputs"]) -> "Inputs":
        inputs = handler(data)
        command = data.get("command", data.get("cmd")) if isinstance(data, Mapping) else None
        if inputs.shell or inputs.args or not isinstance(command, str):
            return inputs
        if " " in command and "{{" not in command:  # a template may render to a name without blanks
            example = "[python, report.py]" if "{" not in command else "a list"
            raise ValueError(
                f"command is one program name with blanks; write a list, such as {example}, or set `shell: true`"
            )
        return inputs

    @model_validator(mode="after")
    def _one_meaning(self) -> "Inputs":
        marker = self.idempotency.marker_path or self.success.marker_file
        if self.idempotency.strategy == "marker" and not marker:
            raise ValueError("strategy marker needs idempotency.marker_path or success.marker_file")
        return self

    @property
    def argv(self) -> list[str]:
        """The command line. A shell gets a single text verbatim; the words of a list and of `args` are quoted."""
        if not self.shell:
            return [*self.command, *self.args]
        text = self.command[0] if len(self.command) == 1 else shlex.join(self.command)
        return ["/bin/sh", "-c", f"{text} {shlex.join(self.args)}" if self.args else text]

    def inherited(self, env: Mapping[str, str]) -> dict[str, str]:
        """The part of the run's environment that the child gets."""
        if isinstance(self.inherit_env, bool):
            return dict(env) if self.inherit_env else {}
        patterns = self.inherit_env
        return {name: value for name, value in env.items() if any(fnmatchcase(name, one) for one in patterns)}


class Outputs(StepOutputs):
    """The fixed outputs of `external.process`, beside `outputs` and those that the child writes to its output file."""

    exit_code: int = Field(description="Exit code of the child")
    attempts: int = Field(description="Number of starts of the child")
    wall_seconds: float = Field(description="Duration of the last try")
    cpu_seconds: float | None = Field(
        None, description="CPU time of the child and of the descendants that it waited for"
    )
    peak_memory_bytes: int | None = Field(
        None,
        description="Largest memory use of one of these processes; never below the runner's own, from which the child "
        "is started",
    )
    stdout: str | None = Field(None, description="Captured output, if `log.stdout: capture`")
    stderr: str | None = Field(None, description="Captured errors, if `log.stderr: capture`")
    log_file: str | None = Field(None, description="Path of the log, if a stream is written to a file")
    skipped: bool | None = Field(None, description="True if the marker exists, so that no child was started")
    marker: str | None = Field(None, description="Path of the marker")


def misplaced_files(inputs: Mapping[str, Any]) -> list[str]:
    """A warning of files in the command that stand in the working directory, where the program does not run."""
    if inputs.get("cwd"):
        return []
    found = sorted({word for word in _words(inputs) if _is_here(word)})
    if not found:
        return []
    names, them = ", ".join(found), "it" if len(found) == 1 else "them"
    message = f"the program runs in the job's artifacts, and {names} stands in the working directory"
    return [f'{message}: name {them} as "{FLOW_FOLDER}/…", or write `cwd: .` where the artifacts are meant']


def _words(inputs: Mapping[str, Any]) -> Iterator[str]:
    command, arguments = inputs.get("command", inputs.get("cmd")), inputs.get("args")
    words = [*command] if isinstance(command, list) else [command]
    if words and isinstance(words[0], str) and not set(words[0]) & {"/", " "}:
        words.pop(0)  # searched in PATH
    for each in [*words, *(arguments if isinstance(arguments, list) else ())]:
        if not isinstance(each, str):
            continue
        yield each
        if " " in each:  # perhaps a script of a shell
            try:
                yield from shlex.shlex(each, posix=True, punctuation_chars=True)
            except ValueError:
                continue


def _is_here(word: str) -> bool:
    if not word or len(word) > _MAX_NAME or word[0] in "-~/" or "{{" in word or "\0" in word:
        return False
    try:
        return Path(word).is_file()
    except OSError:
        return False
