from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from aetherflow.core.api import ExtractRules, Flag, PlainText, ReadPath, Step, StepInputError, StepOutputs
from aetherflow_builtins_transfer.archives.formats import format_of
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow_builtins_transfer.archives.unpack import refusing, survey


class Inputs(Limits):
    archive: ReadPath = Field(min_length=1, description="The archive, relative to the job's artifacts.")
    pattern: PlainText = Field("*", description="Only members whose name matches.")
    allow_case_collisions: Flag = Field(
        False, description="Accept members whose names differ by upper and lower case only."
    )


class Outputs(StepOutputs):
    archive: str = Field(description="Absolute path of the archive.")
    format: str = Field(description="Its format.")
    count: int = Field(description="Number of members that match.")
    bytes: int = Field(description="Total unpacked size in bytes.")
    members: list[dict[str, Any]] = Field(
        description="One map per member: `name`, `size`, `packed` (null in tar archives), `is_dir`, `encrypted`."
    )
    names: list[str] = Field(description="Names of the files among them.")


class ArchiveList(Step[Inputs]):
    """Lists an archive without unpacking it; fails if `unzip` would refuse its names, kinds or sizes.

    A tar archive has no table of contents, so all of it is read.

    Example:
        - id: look
          type: archive_list
          inputs: {archive: delivery.zip, pattern: "*.csv"}
    """

    Outputs = Outputs

    def run(self) -> dict[str, Any]:
        path = self.ctx.read_path(self.args.archive)
        if not path.is_file():
            raise StepInputError(f"there is no archive {self.args.archive}", fix=f"looked at {path}")
        rules = ExtractRules(self.args, allow_case_collisions=self.args.allow_case_collisions)
        found = [
            each for each in survey(path, rules, self._tick) if fnmatchcase(each.name.as_posix(), self.args.pattern)
        ]
        with refusing(path):
            form = format_of(path)
        listed = [
            {
                "name": each.name.as_posix(),
                "size": each.size,
                "packed": each.packed,
                "is_dir": each.is_dir,
                "encrypted": each.encrypted,
            }
            for each in found
        ]
        return {
            "archive": str(path),
            "format": form,
            "count": len(found),
            "bytes": sum(each.size for each in found),
            "members": listed,
            "names": [each.name.as_posix() for each in found if not each.is_dir],
        }

    def plan(self) -> list[str]:
        return [f"list the members of {self.args.archive}"]

    def _tick(self, done: int) -> None:
        self.ctx.progress(done, None, "bytes")
        self.ctx.check_cancelled()
