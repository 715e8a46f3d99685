"""The bundle sources of the core: archives and git repositories, on the suite of all sources."""

import os
import resource
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError
from aetherflow.core.builtins.git_source import GitSource
from aetherflow.core.bundle.failures import BundleError
from aetherflow.core.bundle.listing import read_listing
from aetherflow.core.testing import BundleSourceSuite


def git(place: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], cwd=place, env={**os.environ, **who}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


NOT_TAKEN = (
    "fd::7", "ext::sh -c id", "--upload-pack=id", "git://a.example/b", "ftp://a.example/b", "http://a.example/b",
    "http://127.a.example/b", "git+ssh://a.example/b",
)  # fmt: skip


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

    @pytest.mark.parametrize("url", NOT_TAKEN)
    def test_git_is_not_started_for_other_schemes(self, place: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        (place / "git").write_text(f"#!/bin/sh\ntouch {place}/started\n")
        (place / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
        with pytest.raises(ConnectorError, match=r"^bundle source git: url: .* isn't an https, ssh or file URL"):
            list(self.of(place, url=url).list())
        assert not (place / "started").exists()

    def test_git_speaks_no_other_protocol_for_a_url_that_is_taken(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (place / "config").write_text(
            f'[url "ext::sh -c touch% {place}/pwned% "]\n\tinsteadOf = https://a.example/\n'
            "[protocol]\n\tallow = always\n"
        )
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(place / "config"))
        with self.of(place, url="https://a.example/x") as source, pytest.raises(ConnectorError, match="ext"):
            list(source.list())
        assert not (place / "pwned").exists()

    @pytest.mark.parametrize(
        "url", ["https://a/b", "ssh://git@a:22/b", "git@a:b/c.git", "git@[::1]:b", "file:///srv/b", "../b", "/srv/b:c"]
    )
    def test_what_git_is_given(self, place: Path, url: str) -> None:
        assert self.of(place, url=url).conf.url == url

    def test_a_password_in_the_url_is_not_shown(self, place: Path) -> None:
        with self.of(place, url="http://me:s3cret@127.0.0.1:9/x.git") as source:
            with pytest.raises(ConnectorError) as caught:
                list(source.list())
            assert "s3cret" not in str(caught.value)


# Hostile repositories: small ones that would need gigabytes


def tree_of(repository: Path, entries: bytes) -> str:
    """Write a tree object as it is; returns its id."""
    made = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        cwd=repository, input=entries, capture_output=True, check=True,
    )  # fmt: skip
    return made.stdout.decode().strip()


def entry(mode: str, name: bytes, oid: str) -> bytes:
    return mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid)


def nested(repository: Path, blob: str) -> bytes:
    """10^10 files in ten trees."""
    inner = b"".join(entry("100644", b"%d" % number, blob) for number in range(10))
    for _ in range(9):
        oid = tree_of(repository, inner)
        inner = b"".join(entry("40000", b"%d" % number, oid) for number in range(10))
    return inner


def flat(repository: Path, blob: str) -> bytes:
    """100,001 files in one tree."""
    del repository
    return b"".join(entry("100644", b"%06d" % number, blob) for number in range(100_001))


def deep(repository: Path, blob: str) -> bytes:
    """One file, 300 folders deep, by a path of 9,000 bytes."""
    inner = entry("100644", b"f", blob)
    for _ in range(300):
        inner = entry("40000", b"folder" * 5, tree_of(repository, inner))
    return inner


def long_name(repository: Path, blob: str) -> bytes:
    """One file with a name of a megabyte."""
    del repository
    return entry("100644", b"n" * 1_000_000, blob)


@pytest.mark.parametrize("build", [nested, flat, deep, long_name])
def test_a_hostile_repository_is_refused(tmp_path: Path, build: Callable[[Path, str], bytes]) -> None:
    repository = tmp_path / "repository"
    git(tmp_path, "init", "-q", "-b", "main", "repository")
    (tmp_path / "f").write_text("x")
    blob = git(repository, "hash-object", "-w", "../f")
    tree = tree_of(repository, build(repository, blob))
    commit = git(repository, "commit-tree", "-m", "a bomb", tree)
    git(repository, "update-ref", "refs/heads/main", commit)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = GitSource(BundleSourceInit("git", "suite", {"url": "repository", "timeout_seconds": 60}, tmp_path))
    with source, pytest.raises((ConnectorError, BundleError)) as caught:
        read_listing(source.list())
    assert len(str(caught.value)) < 1_000
    assert caught.value.fix
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024, "in KiB"
