"""The step `external.process`.

The command line and other built-in steps use these parts: `process_child.run_child` (one start of a program),
`process_inputs.Inputs`, `ExternalProcess`.
"""

import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aetherflow.core.api import STEP_SKIPPED, Step, StepResult
from aetherflow.core.builtins.process_child import StartError, TimeLimitError, TryError, run_child
from aetherflow.core.builtins.process_inputs import Inputs, Outputs, misplaced_files
from aetherflow.core.builtins.process_outputs import OutputRules
from aetherflow.core.builtins.process_result import OutputFile
from aetherflow.core.builtins.process_streams import TAIL_BYTES, Capture, Sink, both, drop, locked

if TYPE_CHECKING:
    from aetherflow.core.api import Difference

OutputStream = Literal["stdout", "stderr"]
SHOWN_COMMAND = 300
"""Most characters of a command line in a plan."""
SCRIPT = re.compile(r"[\w./-]+\.(sh|bash|py|pl|rb|js|sql|R|r|awk|sed)")
"""Words of a command that name a script, and not what it is to write."""


class ExternalProcess(Step[Inputs]):
    """Run a program, by default without a shell; its whole process group is ended at the time limit and on a stop.

    Example:
        - id: count
          type: external.process
          inputs:
            command: [wc, -l, delays.csv]
            timeout_seconds: 30
            log: {stdout: capture}
    """

    Outputs = Outputs
    problem_codes = {  # noqa: RUF012 a ClassVar by its base
        "command:missing": "semantic:external_process_missing_command",
        "command": "semantic:external_process_command_type",
        "log.stdout": "semantic:external_process_log_mode",
        "log.stderr": "semantic:external_process_log_mode",
        "log": "semantic:external_process_log_file",
        "idempotency.strategy": "semantic:external_process_atomic_dir",
        "idempotency": "semantic:external_process_atomic_dir",
    }

    @classmethod
    def output_names(cls, inputs: Mapping[str, Any]) -> set[str] | None:
        """The fixed outputs, those in `outputs`, and any that the child writes to AETHERFLOW_OUTPUT_FILE (`*`)."""
        given = inputs.get("outputs")
        return {*Outputs.model_fields, *(given if isinstance(given, dict) else ()), "*"}

    @classmethod
    def remarks(cls, inputs: Mapping[str, Any]) -> list[str]:
        """Warn of retries without a condition, `outputs` that hide others, and files that are not in the artifacts."""
        found = []
        retry = inputs.get("retry")
        if isinstance(retry, dict) and retry.get("max_attempts", 1) not in (1, "1"):
            conditions = ("retry_on", "retry_on_exit_codes", "retry_on_timeout")
            if not any(retry.get(key) for key in conditions):
                advice = "say after what to try again, for example `retry_on: any`"
                found.append(f"retry.max_attempts has no effect: {advice}")
        given = inputs.get("outputs")
        if isinstance(given, dict) and (hidden := sorted(Outputs.model_fields.keys() & given.keys())):
            names = ", ".join(hidden)
            found.append(f"outputs replaces {names}, which then says nothing of the program: choose another name")
        return found + misplaced_files(inputs)

    @classmethod
    def differences(cls, inputs: Mapping[str, Any], version: str) -> "Iterable[Difference]":
        """The folder of a program without `cwd`."""
        from aetherflow.core.builtins.process_upgrade import differences_of_process  # one command needs it

        return differences_of_process(inputs) if version.startswith("0") else ()

    def plan(self) -> list[str]:
        args = self.args
        rules = OutputRules(self.ctx, args.success, args.idempotency)
        if (marker := rules.present_marker()) is not None:
            return [f"start nothing: the marker {marker} is there, and the rules of `success` hold"]
        command = args.argv[2] if args.shell else shlex.join(args.argv)
        command = command if len(command) <= SHOWN_COMMAND else command[:SHOWN_COMMAND] + " ..."
        where = f" in {self._cwd()}" if args.cwd else ""
        lines = [f"start {self.ctx.redact(command)}{' by /bin/sh' if args.shell else ''}{where}"]
        if (path := self._file_path()) is not None:
            self.ctx.write_path(path)
            lines.append(f"{'append its output to' if args.log.append else 'write its output to'} {path}")
        return lines + rules.plan()

    def run(self) -> StepResult:
        """Start the child, read its output, wait for its end, check the result; repeat as `retry` says."""
        rules = OutputRules(self.ctx, self.args.success, self.args.idempotency)
        if (marker := rules.present_marker()) is not None:
            return StepResult(STEP_SKIPPED, {"skipped": True, "marker": marker}, "marker_present")
        number = 1
        while True:
            try:
                return StepResult(output=self._try(number, rules))
            except TryError as error:
                if number >= self.args.retry.max_attempts or not self.args.retry.covers(error):
                    raise
                self._wait(number + 1, error)
            number += 1

    def _wait(self, number: int, error: TryError) -> None:
        retry = self.args.retry
        wait = retry.wait_before(number)
        self.ctx.log.warning("%s; try %d of %d in %g s", error, number, retry.max_attempts, wait)
        deadline = time.monotonic() + wait
        while (left := deadline - time.monotonic()) > 0:
            self.ctx.check_cancelled()
            time.sleep(min(left, 0.1))

    # One try

    def _try(self, number: int, rules: OutputRules) -> dict[str, Any]:
        """Make one try; returns its outputs, or raises TryError."""
        args, log = self.args, self.args.log
        modes: dict[OutputStream, str] = {"stdout": log.stdout, "stderr": log.stderr}
        captures = {name: Capture(log.limit if mode == "capture" else TAIL_BYTES) for name, mode in modes.items()}
        wanted = OutputFile(self.ctx, self.id, {*Outputs.model_fields, "reason", *args.outputs})
        env = {**self._environment(), **rules.fresh_output(), **wanted.fresh()}
        with self._file() as to_file:  # after an error a result file is discarded, a log is kept
            sinks = {name: self._sink(name, mode, captures[name], to_file) for name, mode in modes.items()}
            self._tell("start", number, program=args.argv[0])
            try:
                end = run_child(
                    self.ctx,
                    args.argv,
                    cwd=self._cwd(),
                    env=env,
                    **sinks,
                    timeout_seconds=args.timeout_seconds,
                    kill_grace_seconds=args.kill_grace_seconds,
                )
            except StartError as error:
                error.fix = self._missing_script() or error.fix
                raise
            if end.code is None:
                self._tell("timeout", number, timeout_seconds=args.timeout_seconds)
            else:
                self._tell("exit", number, exit_code=end.code)
            self._judge(end.code, captures, number)
        rules.require()
        written = wanted.read()
        rules.publish()
        self._tell("success", number)
        output: dict[str, Any] = {
            "exit_code": end.code,
            "attempts": number,
            "wall_seconds": round(end.wall_seconds, 3),
            "cpu_seconds": None if end.cpu_seconds is None else round(end.cpu_seconds, 3),
            "peak_memory_bytes": end.peak_memory_bytes,
        }
        output |= {name: captures[name].text() for name, mode in modes.items() if mode == "capture"}
        if (path := self._file_path()) is not None:
            output["log_file"] = str(self.ctx.write_path(path))
        return {**output, **written, **args.outputs}

    def _judge(self, code: int | None, captures: Mapping[OutputStream, Capture], number: int) -> None:
        count = f" (try {number} of {self.args.retry.max_attempts})" if number > 1 else ""
        if code is None:
            message = f"still running after {self.args.timeout_seconds:g} s{count}; its process group was ended"
            raise TimeLimitError(message, fix="raise timeout_seconds, or look at the log for what it waits for")
        if code not in self.args.success.exit_codes:
            how = (f"ended by signal {-code}" if code < 0 else f"exit code {code}") + count
            line = captures["stderr"].last_line() or captures["stdout"].last_line()
            detail = f": {self.ctx.redact(line)}" if line else ""
            fix = self._missing_script() or "run the command by hand, or look at its output if it gave any"
            if (path := self._file_path()) is not None and self.args.log.append:
                fix = f"look at its output in {self.ctx.write_path(path)}, or run the command by hand"
            error = TryError(f"{how}{detail}", fix=fix)
            error.child_code = code
            raise error

    def _missing_script(self) -> str | None:
        """A fix for a command that names a script which is not where it runs."""
        folder, cwd = self.ctx.env.get("AETHERFLOW_LOCAL_ROOT_DIR"), self._cwd()
        words = [] if self.args.shell else self.args.argv
        missing = [word for word in words if SCRIPT.fullmatch(word) and not (cwd / word).exists()]
        for word in missing:
            if folder and (Path(folder) / word).is_file():
                beside = f"{{{{env.AETHERFLOW_LOCAL_ROOT_DIR}}}}/{word.removeprefix('./')}"
                return f"the command runs in {cwd}, and {word} stands beside the flow: write {beside}"
        if missing and missing[:1] == words[1:2]:  # what an interpreter was given
            return f"there is no {missing[0]} in {cwd}, where the command runs"
        return None

    def _tell(self, what: str, number: int, **fields: Any) -> None:
        """Emit an event about the child; never with its arguments, which may contain secrets."""
        ctx = self.ctx
        ids = {"flow_id": ctx.flow_id, "run_id": ctx.run_id, "job_id": self.job_id, "step_id": self.id}
        told = {**ids, "step_type": "external.process", "attempt": ctx.attempt, "try": number, **fields}
        ctx.log.debug("external_process_%s", what, extra={"event_fields": told})

    # Surroundings

    def _cwd(self) -> Path:
        return self.ctx.read_path(self.args.cwd) if self.args.cwd else self.ctx.artifacts_dir(self.job_id)

    def _environment(self) -> dict[str, str]:
        base = self.args.inherited(self.ctx.child_env)
        base |= {"AETHERFLOW_FLOW_ID": self.ctx.flow_id, "AETHERFLOW_RUN_ID": self.ctx.run_id}
        return base | {name: value or "" for name, value in self.args.env.items()}

    def _file_path(self) -> str | None:
        """The file of mode `file`; None if no stream has this mode."""
        log = self.args.log
        return log.file_path if "file" in (log.stdout, log.stderr) else None

    @contextmanager
    def _file(self) -> Iterator[Sink]:
        if (path := self._file_path()) is None:
            yield drop
            return
        with self.ctx.append_file(path) if self.args.log.append else self.ctx.write_file(path) as file:
            yield locked(file.write)

    def _sink(self, stream: OutputStream, mode: str, capture: Capture, to_file: Sink) -> Sink:
        if mode == "discard":
            return drop
        return both(capture.add, to_file if mode == "file" else lambda data: self.ctx.relay(stream, data))
