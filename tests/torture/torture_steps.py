"""The steps of the reference flows; a plugin on the path of real processes and of forks alike."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from aetherflow.core.api import Step, StepResult

CHUNK = 16 * 1024


def content(step_id: str, size: int) -> bytes:
    """The artifact of a step: always the same bytes, which do not compress to nothing."""
    word = (step_id + "-").encode()
    return b"".join(word + index.to_bytes(8, "big") for index in range(size // (len(word) + 8) + 1))[:size]


def reduced(value: Any) -> Any:
    """Inputs as they are counted: long text by its length and ends, so that lines stay readable."""
    if isinstance(value, str) and len(value) > 200:
        return f"{value[:8]}...{len(value)}...{value[-8:]}"
    if isinstance(value, list):
        return [reduced(item) for item in value]
    if isinstance(value, dict):
        return {key: reduced(item) for key, item in value.items()}
    return value


class Effect(Step[Any]):
    """Appends one line per execution to EFFECTS, reads files, writes an artifact in chunks, returns typed values.

    Inputs: `size` of the artifact, `output` to return, `read` a list of files, `text` length of a text to return,
    `fail` a message, `files` to have open at once, `megabytes` of memory to take,
    `stop_once` ends the first attempt by a SIGTERM to this process, `kill_once` by a SIGKILL, `kill` every attempt.
    """

    def run(self) -> StepResult:
        told = {key: reduced(value) for key, value in self.inputs.items()}
        line = f"{self.id} {json.dumps(told, sort_keys=True)}\n"
        target = os.open(self.ctx.env["EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(target, line.encode())
        finally:
            os.close(target)
        for name in self.inputs.get("read", []):
            Path(name).read_bytes()
        self._eat()
        if self.inputs.get("kill") or (self.inputs.get("kill_once") and self.ctx.attempt == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.inputs.get("stop_once") and self.ctx.attempt == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                time.sleep(0.01)
                self.ctx.check_cancelled()
        size = int(self.inputs.get("size", 20))
        data = content(self.id, size)
        with self.ctx.write_file(f"{self.id}.txt") as artifact:
            for start in range(0, max(size, 1), CHUNK):
                artifact.write(data[start : start + CHUNK])
        if message := self.inputs.get("fail"):
            raise RuntimeError(message)
        path = self.ctx.artifacts_dir(self.job_id) / f"{self.id}.txt"
        self.ctx.ledger("seen").put(self.id, told)
        output = dict(self.inputs.get("output", {}))
        return StepResult(output={"path": str(path), "text": "ä€" * (int(self.inputs.get("text", 2)) // 2), **output})

    def _eat(self) -> None:
        with contextlib.ExitStack() as opened:
            for _ in range(int(self.inputs.get("files", 0))):
                opened.enter_context(Path(os.devnull).open("rb"))
        bytearray(int(self.inputs.get("megabytes", 0)) * 2**20)


class Values(Step[Any]):
    """Returns what the JSON file VALUES holds; with `see`, writes its input to SEEN; with `file`, makes an artifact."""

    def run(self) -> StepResult:
        if "see" in self.inputs:
            Path(self.ctx.env["SEEN"]).write_text(json.dumps(self.inputs["see"]))
            return StepResult()
        output: dict[str, Any] = {"values": json.loads(Path(self.ctx.env["VALUES"]).read_text())}
        if name := self.inputs.get("file"):
            with self.ctx.write_file(name) as artifact:
                artifact.write(content(self.id, 20))
            output["path"] = str(self.ctx.artifacts_dir(self.job_id) / name)
        return StepResult(output=output)


class Turn(Step[Any]):
    """Ends as TURN says: `fail`, `kill`, `freeze` before a step that must not run twice; `ask` in the middle of it."""

    def run(self) -> StepResult:
        turn = self.ctx.env.get("TURN", "good")
        if turn == "fail" and self.id == "first":
            raise RuntimeError("no")
        if turn == "freeze" and self.id == "first":
            os.kill(os.getpid(), signal.SIGSTOP)
        if (turn, self.id) in (("kill", "first"), ("ask", "once")):
            os.kill(os.getpid(), signal.SIGKILL)
        return StepResult()
