"""Archive connectors with the documented minimum, `create_zip` and `extract_zip`, as ArchiveConnector."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from aetherflow.core.api import (
    AetherflowError,
    ArchiveConnector,
    ArchiveInput,
    ArchiveWork,
    ConnectorError,
    ExtractRules,
    Lack,
    Packing,
    Unpacked,
)
from aetherflow_builtins_transfer.archives.failures import ArchiveError
from aetherflow_builtins_transfer.archives.formats import format_by_name
from aetherflow_builtins_transfer.archives.tree import inspect
from aetherflow_builtins_transfer.archives.unpack import MemberSelection, refusing, survey

AnyArchive: TypeAlias = ArchiveConnector[Any, Any]
_COPY_BYTES = 1 << 20


def lacks_of(connector: type, method: str, inputs: Mapping[str, Any]) -> Iterator[Lack]:
    """What a connector class lacks for a step that needs `method` of the minimum."""
    if issubclass(connector, ArchiveConnector):
        return
    if not callable(getattr(connector, method, None)):
        what = "nothing can be packed" if method == "create_zip" else "nothing can be unpacked"
        yield Lack(f"is no ArchiveConnector, and lacks {method}(): {what}")
        return
    if method == "create_zip":
        form = inputs.get("format") or format_by_name(str(inputs.get("dest_path", "")))
        if form != "zip":
            yield Lack(f"lacks create(): it writes zip archives only, no {form}")
        yield Lack("lacks create(): whether equal files give equal archives, it alone knows", refused=False)
    else:
        yield Lack("lacks extract(): a bomb is refused only when it has been unpacked", refused=False)


def archive_over(connector: Any) -> AnyArchive:
    """A connector that implements ArchiveConnector, or has the documented minimum."""
    return connector if isinstance(connector, ArchiveConnector) else MinimalArchive(connector)


class MinimalArchive(ArchiveConnector[Any, Any]):
    """A connector with `create_zip` and `extract_zip`."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain
        self.name, self.kind, self.driver = (str(getattr(plain, name, "?")) for name in ("name", "kind", "driver"))

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Let it write a zip archive to a temporary file, and copy that."""
        if how.form != "zip":
            raise self._refused(f"it writes zip archives only, no {how.form}", "set format: zip")
        with tempfile.TemporaryDirectory(prefix="aetherflow-") as folder:
            output, base = Path(folder, "archive.zip"), Path(folder, "tree")
            files = [self._placed(base, source) for source in sources if not source.is_dir]
            base.mkdir(exist_ok=True)
            more = {"password": how.password, "compression": how.compression}
            self._call(
                lambda: self.plain.create_zip(
                    output=str(output), files=files, base_dir=str(base), overwrite=True, **more
                )
            )
            with output.open("rb") as made:
                while block := made.read(_COPY_BYTES):
                    work.tools.check()
                    sink.write(block)

    def _placed(self, base: Path, source: ArchiveInput) -> str:
        """The file under its name in the archive: a link to it, or a copy on another file system."""
        place = base / source.name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.path, place)
        except OSError:
            shutil.copyfile(source.path, place)
        return str(place)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        """Let it unpack everything; the archive is checked before, if it is one of ours, and the files afterwards."""
        work.tools.check()
        expected = {each.name for each in survey(archive, rules) if not each.is_dir}
        self._call(
            lambda: self.plain.extract_zip(
                archive=str(archive), dest_dir=str(into), password=rules.password, overwrite=True, members=None
            )
        )
        work.tools.check()
        with refusing(archive):
            found = inspect(into, archive.stat().st_size, rules)
            if expected - {each.name for each in found}:
                raise self._refused(f"it did not unpack what {archive.name} lists", "use the driver zipfile")
            wanted = MemberSelection(rules.members)
            chosen = [each for each in found if not each.is_dir and wanted.has(each.name)]
            wanted.check()
        return chosen

    def _call(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except AetherflowError:
            raise
        except Exception as error:
            text = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
            raise ArchiveError(self._label(text), fix="look at the archive and its password") from error

    def _label(self, text: str) -> str:
        return f"resource {self.name} ({self.kind}:{self.driver}): {text}"

    def _refused(self, text: str, fix: str) -> ConnectorError:
        return ConnectorError(self._label(text), fix=fix)
