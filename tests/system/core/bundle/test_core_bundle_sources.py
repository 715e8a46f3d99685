"""The bundle sources of the core: archives and git repositories, on the suite of all sources."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError
from aetherflow.core.builtins.git_source import GitSource
from aetherflow.core.testing import BundleSourceSuite


def git(place: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], cwd=place, env={**os.environ, **who}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class TestGit(BundleSourceSuite):
    source = GitSource
    name = "git"

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        repository = place / "repository"
        if not repository.exists():
            git(place, "init", "-q", "-b", "main", "repository")
            git(repository, "config", "core.autocrlf", "false")
        git(repository, "rm", "-rfq", "--ignore-unmatch", "--", ".")
        for name, data in tree.items():
            target = repository / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "--allow-empty", "-m", "a tree")

    def config(self, place: Path) -> dict[str, Any]:
        return {"url": "repository", "ref": "main"}

    def unreachable(self, place: Path) -> GitSource:
        return GitSource(BundleSourceInit("git", "suite", {"url": "nowhere"}, place))

    def of(self, place: Path, **config: Any) -> GitSource:
        return GitSource(BundleSourceInit("git", "suite", {"url": "repository", **config}, place))

    def test_a_commit_is_taken_by_its_id_though_the_branch_went_on(self, place: Path) -> None:
        self.publish(place, {"f": b"one"})
        commit = git(place / "repository", "rev-parse", "HEAD")
        self.publish(place, {"f": b"two"})
        with self.of(place, ref=commit) as source:
            assert self.content(source, "f") == b"one"
        with self.of(place, ref="main", commit=commit) as source, pytest.raises(ConnectorError, match="pinned is"):
            list(source.list())
        with self.of(place, ref="f" * 40) as source, pytest.raises(ConnectorError, match="has no commit"):
            list(source.list())

    def test_a_folder_of_the_repository(self, place: Path) -> None:
        self.publish(place, {"etl/flow.yaml": b"x", "other": b"y"})
        with self.of(place, base_path="etl") as source:
            assert list(self.listed(source)) == ["flow.yaml"]

    def test_links_are_refused(self, place: Path) -> None:
        self.publish(place, {"f": b"x"})
        (place / "repository" / "link").symlink_to("/etc/passwd")
        git(place / "repository", "add", "-A")
        git(place / "repository", "commit", "-qm", "link")
        with self.of(place) as source, pytest.raises(ConnectorError, match="link is a link"):
            list(source.list())

    @pytest.mark.parametrize("url", ["ext::sh -c touch% pwned", "--upload-pack=touch pwned", "-x"])
    def test_a_url_that_would_run_a_command_is_refused(self, place: Path, url: str) -> None:
        with self.of(place, url=url) as source, pytest.raises(ConnectorError):
            list(source.list())
        assert not list(place.rglob("pwned"))

    def test_a_password_in_the_url_is_not_shown(self, place: Path) -> None:
        with self.of(place, url="http://me:s3cret@127.0.0.1:9/x.git") as source:
            with pytest.raises(ConnectorError) as caught:
                list(source.list())
            assert "s3cret" not in str(caught.value)
