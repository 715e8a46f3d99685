"""The rules of `external.process` for a child's files: success rules, markers, an output folder that is swapped in."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from aetherflow.core.api import Flag, ReadPath, RunContext, StepInputError, StepInputs, WritePath, open_file
from aetherflow.core.builtins.process_child import InvalidOutputError

WILDCARDS = frozenset("*?[")


def listed(value: Any) -> Any:
    """A list as it is, any other value as a list of one."""
    return value if isinstance(value, list) else [value]


Names = Annotated[list[ReadPath], BeforeValidator(listed, json_schema_input_type=list[str] | str)]
Numbers = Annotated[list[int], BeforeValidator(listed, json_schema_input_type=list[int] | int)]


class SuccessInputs(StepInputs):
    """When the child counts as successful."""

    exit_codes: Numbers = Field([0], description="Exit codes that mean success")
    require_files: Names = Field(
        [],
        validation_alias=AliasChoices("require_files", "required_files"),
        description="Files that must exist afterwards, relative to the job's artifacts; a pattern needs one match",
    )
    require_glob: Names = Field(
        [],
        validation_alias=AliasChoices("require_glob", "required_globs"),
        description="Patterns that must each match afterwards: `*`, `?`, `[a-z]`, `**` for any folders",
    )
    forbid_files: Names = Field(
        [],
        validation_alias=AliasChoices("forbid_files", "forbidden_files"),
        description="Files that must not exist afterwards; patterns too",
    )
    marker_file: ReadPath | None = Field(None, description="File by which the child says that it is done; must exist")


class IdempotencyInputs(StepInputs):
    """How a repetition avoids doing the work twice."""

    strategy: Literal["none", "marker", "atomic_dir"] = Field(
        "none",
        description="marker: SKIPPED if the marker exists and the success rules hold; atomic_dir: the child writes to "
        "an empty folder, its path in AETHERFLOW_OUTPUT_DIR, which takes the place of the final one if the rules hold",
    )
    marker_path: ReadPath | None = Field(
        None, description="The marker; default `success.marker_file`. The child writes it"
    )
    temp_output_dir: WritePath | None = Field(None, description="For atomic_dir: folder for the child, emptied before")
    final_output_dir: WritePath | None = Field(None, description="For atomic_dir: folder of the result")
    atomic_rename: Flag = Field(
        True, description="For atomic_dir; false: files are copied one by one into the final folder, others stay"
    )

    @model_validator(mode="after")
    def _folders(self) -> "IdempotencyInputs":
        if self.strategy == "atomic_dir" and not (self.temp_output_dir and self.final_output_dir):
            raise ValueError("strategy atomic_dir needs temp_output_dir and final_output_dir")
        return self


class OutputRules:
    """The file rules of one step; with `atomic_dir` files of the final folder are checked in the temporary one."""

    def __init__(self, ctx: RunContext, success: SuccessInputs, idempotency: IdempotencyInputs) -> None:
        self._ctx = ctx
        self._success = success
        self._idempotency = idempotency
        self._temp: Path | None = None
        self._final: Path | None = None
        if idempotency.strategy == "atomic_dir" and idempotency.temp_output_dir and idempotency.final_output_dir:
            self._temp = ctx.write_path(idempotency.temp_output_dir)
            self._final = ctx.write_path(idempotency.final_output_dir)
            if self._temp.is_relative_to(self._final) or self._final.is_relative_to(self._temp):
                raise StepInputError(
                    f"temp_output_dir {self._temp} and final_output_dir {self._final} must not contain each other"
                )

    def present_marker(self) -> str | None:
        """Path of the marker of strategy `marker` if it exists and the rules hold, so that nothing is to be done."""
        name = self._idempotency.marker_path or self._success.marker_file
        if self._idempotency.strategy != "marker" or name is None:
            return None
        marker = self._ctx.read_path(name)
        return str(marker) if marker.exists() and self.violation() is None else None

    def fresh_output(self) -> dict[str, str]:
        """Before each try with `atomic_dir`: empty the temporary folder; returns the variable with its path."""
        if self._temp is None or self._final is None:
            return {}
        self._ctx.restore_dir(self._final)
        return {"AETHERFLOW_OUTPUT_DIR": str(self._ctx.empty_dir(self._temp))}

    def plan(self) -> list[str]:
        """The plan's sentences about the folders."""
        if self._temp is None:
            return []
        given = self._idempotency
        how = "put it in the place of" if given.atomic_rename else "move its files into"
        return [f"empty {given.temp_output_dir}, and if all is well {how} {given.final_output_dir}"]

    def require(self) -> None:
        """Raise InvalidOutputError for the first rule that does not hold."""
        if (reason := self.violation()) is not None:
            fix = "the child ended well without obeying these rules; check its arguments, or `success`"
            raise InvalidOutputError(f"external.process outputs invalid: {reason}", fix=fix)

    def violation(self) -> str | None:
        """A text `CODE:NAME` for the first rule that does not hold; None if all hold."""
        success = self._success
        for name in [*success.require_files, *([success.marker_file] if success.marker_file else [])]:
            if not self._present(name):
                return f"missing_required_file:{name}"
        for pattern in success.require_glob:
            if next(self._matches(pattern), None) is None:
                return f"missing_required_glob:{pattern}"
        for name in success.forbid_files:
            if self._present(name):
                return f"forbidden_file_present:{name}"
        return None

    def publish(self) -> None:
        """With `atomic_dir`: swap in the output folder, or copy its files into the final one."""
        if self._temp is None or self._final is None:
            return
        if self._idempotency.atomic_rename:
            self._ctx.swap_dir(self._temp, self._final)
            return
        for source in sorted(self._temp.rglob("*")):
            if source.is_file():
                target = self._final / source.relative_to(self._temp)
                with open_file(source) as old, self._ctx.write_file(target) as new:
                    shutil.copyfileobj(old, new, 1 << 20)
        self._ctx.empty_dir(self._temp)

    def _present(self, name: str) -> bool:
        if self._place(name).exists():  # first: a file name may contain wildcard characters
            return True
        return bool(WILDCARDS & set(name)) and next(self._matches(name), None) is not None

    def _place(self, name: str) -> Path:
        # a rule about the final folder is checked before the folder is published
        path = self._ctx.read_path(name)
        if self._temp is not None and self._final is not None and path.is_relative_to(self._final):
            return self._temp / path.relative_to(self._final)
        return path

    def _matches(self, pattern: str) -> Iterator[Path]:
        parts = Path(pattern).parts
        plain = next((index for index, part in enumerate(parts) if WILDCARDS & set(part)), len(parts))
        base = self._place(str(Path(*parts[:plain])))
        if plain == len(parts):
            yield from [base] if base.exists() else []
            return
        wild = [*parts[plain:], *(["*"] if parts[-1] == "**" else [])]  # else the folder itself would match
        for match in base.glob(str(Path(*wild))):
            yield self._ctx.read_path(str(match))  # refuses matches outside the roots, by `..` or a link
