from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr

from aetherflow.core.api import STEP_SKIPPED, ExtractRules, Flag, Holds, Step, StepError, StepOutputs, StepResult
from aetherflow_builtins_transfer.archives.failures import ArchiveError
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow_builtins_transfer.archives.unpack import unpack
from aetherflow_builtins_transfer.records import OnEmpty
from aetherflow_builtins_transfer.steps.archive_inputs import TextList, archives_of


class Inputs(Limits):
    archives: Annotated[TextList, Holds.READS] = Field(
        validation_alias=AliasChoices("archives", "src"),
        description="An archive, a folder (all archives in it), a pattern, or a list of them. Also spelt `src`.",
    )
    password: SecretStr | None = Field(None, description="Password of encrypted archives.")
    allow_case_collisions: Flag = Field(
        False, description="Accept members whose names differ by upper and lower case only."
    )
    missing: Literal["error", "skip"] = Field("error", description="If an archive is missing: `error` or `skip`.")
    on_failure: Literal["fail", "report"] = Field(
        "fail", description="If an archive fails: `fail` fails the step, `report` reports it in the outputs."
    )
    on_empty: OnEmpty = Field("skip", description="No archive at all: `skip`, `fail` or `ok`.")


class Outputs(StepOutputs):
    ok: bool = Field(description="Whether all passed.")
    tested: list[dict[str, Any]] = Field(
        description="One map per archive: `archive`, `ok`, `reason` (null if it passed), `count`, `bytes`."
    )
    passed: list[str] = Field(description="Absolute paths of those that passed.")
    failed: list[str] = Field(description="Absolute paths of those that did not.")


class ArchiveTest(Step[Inputs]):
    """Reads archives to their last byte and writes nothing: checksums, names, kinds and limits, as `unzip` would.

    Example:
        - id: sound
          type: archive_test
          inputs: {archives: inbox, on_failure: report}
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        found = archives_of(self.ctx, self.args.archives, missing_ok=self.args.missing == "skip")
        if not found and self.args.on_empty == "fail":
            raise StepError("there is no archive to test", fix="on_empty: skip accepts that")
        tested = [self._test(path) for path in found]
        failed = [each["archive"] for each in tested if not each["ok"]]
        passed = [each["archive"] for each in tested if each["ok"]]
        output = {"ok": not failed, "tested": tested, "passed": passed, "failed": failed}
        if not found and self.args.on_empty == "skip":
            return StepResult(STEP_SKIPPED, output, "no_archives")
        return StepResult(output=output)

    def plan(self) -> list[str]:
        found = archives_of(self.ctx, self.args.archives, missing_ok=self.args.missing == "skip")
        return [f"read {path} to its end" for path in found]

    def _test(self, path: Path) -> dict[str, Any]:
        password = self.args.password.get_secret_value() if self.args.password else None
        rules = ExtractRules(self.args, password, None, self.args.allow_case_collisions)
        try:
            found = unpack(path, rules, None, self._tick)
        except ArchiveError as error:
            if self.args.on_failure == "fail":
                raise
            return {"archive": str(path), "ok": False, "reason": error.message, "count": 0, "bytes": 0}
        size = sum(each.size for each in found)
        return {"archive": str(path), "ok": True, "reason": None, "count": len(found), "bytes": size}

    def _tick(self, done: int) -> None:
        self.ctx.progress(done, None, "bytes")
        self.ctx.check_cancelled()
