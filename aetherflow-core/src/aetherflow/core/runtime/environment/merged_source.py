"""Positions in a flow whose resources are merged with profiles: a value is in the flow, or in its profile."""

from collections.abc import Mapping
from pathlib import Path

from aetherflow.core.base.location import DocPath, Location
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.kernel.yaml.source_map import SourceMap


class MergedSource(SourceMap):
    """The flow's positions; a path below a resource that the flow does not contain is looked up in the profile."""

    def __init__(self, flow: Document, profiles: Document | None, profile_of: Mapping[str, str | None]) -> None:
        super().__init__(flow.file)
        self.values, self.keys = flow.source.values, flow.source.keys
        self.texts = flow.source.texts
        self._profiles = profiles
        self._profile_of = profile_of
        laid_under = {
            ("resources", name, *path[1:]): word
            for path, word in (profiles.source.words.items() if profiles else ())
            for name, profile in profile_of.items()
            if profile == path[0]
        }
        under = {path: word for path, word in laid_under.items() if path not in self.values}
        self.words = {**under, **flow.source.words}

    def value(self, path: DocPath) -> Location:
        """Location of the value at `path`."""
        inner = self._in_profile(path)
        return self._profiles.source.value(inner) if inner and self._profiles else super().value(path)

    def key(self, path: DocPath) -> Location:
        """Location of the key at `path`."""
        inner = self._in_profile(path)
        return self._profiles.source.key(inner) if inner and self._profiles else super().key(path)

    def folder_of_profiles(self, path: DocPath) -> Path | None:
        """The folder of the profiles' file, if the value at `path` comes from it; else None."""
        if self._profiles is None or self._in_profile(path) is None:
            return None
        file = Path(self._profiles.file).absolute()
        return file.parent if file.is_file() else None  # profiles may also come from a variable

    def _in_profile(self, path: DocPath) -> DocPath | None:
        if self._profiles is None or len(path) < 3 or path[0] != "resources" or path in self.values:
            return None
        profile = self._profile_of.get(str(path[1]))
        inner: DocPath = (profile or "", *path[2:])
        return inner if profile is not None and inner in self._profiles.source.values else None
