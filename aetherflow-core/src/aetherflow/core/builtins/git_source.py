"""The bundle source `git`: one commit of a repository, through the git command."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from aetherflow.core.api import (
    Arguments,
    BundleSource,
    BundleSourceConfig,
    ConnectorError,
    Holds,
    PlainText,
    RemoteFileMeta,
    guarded_programs,
    is_loopback,
)

CHUNK = 1 << 20
MOST_FILES, MOST_BYTES = 100_000, 4 * 1024**3
"""The limits of a bundle, which are kept here before any content is read."""
MEMORY = 256 * 1024**2
"""The most that one git process may use, in bytes. A small repository can hold a tree that needs gigabytes."""
LONGEST_ENTRY = 8 * 1024
_LIMITED = f'ulimit -d {MEMORY // 1024}; ulimit -f {MOST_BYTES // 512}; exec git "$@"'
_FRUGAL = ("pack.threads=1", "core.bigFileThreshold=16m", "core.deltaBaseCacheLimit=32m", "core.packedGitLimit=64m")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCHEMES = ("https", "ssh", "file")
"""What git may speak; besides `http` to this machine, and SSH as in `git@host:path`."""
_SCHEME = re.compile(r"([a-z0-9.+-]+)(::|://)", re.IGNORECASE)
_USER_INFO = re.compile(r"(\w+://)[^/\s@]+@")
_IS_REMOTE = re.compile(r"[^/]+:")
_KINDS = {"120000": "a link", "160000": "a submodule"}


def _repository(url: Any, _config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Holds]]:
    text = str(url)
    if "::" in text or text.startswith("-"):  # a transport, or an option
        yield "", url, Holds.CODE
    elif text.lower().startswith("file:"):
        yield "", text[5:].removeprefix("//"), Holds.READS
    else:
        yield "", url, Holds.HOST if _IS_REMOTE.match(text) else Holds.READS


class Config(BundleSourceConfig):
    """Which commit of which repository."""

    url: Annotated[str, Arguments(_repository)] = Field(
        min_length=1,
        description="An https, ssh or file URL, USER@HOST:PATH, or a path beside the manifest; http to this machine.",
    )
    ref: PlainText = Field("HEAD", min_length=1, description="Branch, tag or commit.")
    commit: PlainText | None = Field(
        None, pattern=r"^[0-9a-f]{40,64}$", description="The commit that `ref` must lead to; another one is refused."
    )
    base_path: PlainText = Field("", description="Folder in the repository that holds the bundle; default: all of it.")
    timeout_seconds: float = Field(120, gt=0, description="Longest time for one git command.")

    @field_validator("url")
    @classmethod
    def _is_spoken(cls, url: str) -> str:
        schemes = _schemes(url)
        if url.startswith("-") or schemes is None:
            raise ValueError(f"{_shown(url)} isn't an https, ssh or file URL, USER@HOST:PATH, or a path")
        return url


def _schemes(url: str) -> tuple[str, ...] | None:
    """What git may speak for a URL; None if it may not speak what the URL names."""
    if (found := _SCHEME.match(url)) is None or (found[2] == "://" and found[1].lower() in _SCHEMES):
        return _SCHEMES
    return (*_SCHEMES, "http") if url.lower().startswith("http://") and _is_here(url) else None


def _is_here(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:  # its host isn't valid
        return False


class GitSource(BundleSource[Config]):
    """Takes a bundle from a commit of a git repository. Credentials come from git's own configuration, without prompts.

    Links and submodules are refused. Needs the command `git`.

    Example:
        source:
          type: git
          url: https://git.example.com/etl/nightly.git
          ref: v1.4.2
          commit: 3f1c9a7d0c2b4e5f60718293a4b5c6d7e8f90123
    """

    _folder: "tempfile.TemporaryDirectory[str] | None" = None
    _files: dict[str, str] | None = None
    """Path in the bundle to the id of its git blob."""
    _reader: "subprocess.Popen[bytes] | None" = None
    _guarded: contextlib.ExitStack | None = None
    """Ends all git processes that were started by `_start`."""
    _start: Callable[..., "subprocess.Popen[bytes]"]

    def list(self) -> Iterator[RemoteFileMeta]:
        """Every file of the commit, with size and hash."""
        self.close()
        commit = self._get()
        files: dict[str, str] = {}
        total, prefix = 0, self.conf.base_path.strip("/")
        for line in self._entries(
            "ls-tree", "-r", "-z", "-l", "--full-tree", f"{commit}:{prefix}" if prefix else commit
        ):
            facts, _, raw = line.partition(b"\t")
            mode, _, blob, size = facts.decode().split()
            path = os.fsdecode(raw)
            if mode in _KINDS:
                message = f"bundle source git: {path} is {_KINDS[mode]}, which a bundle cannot hold"
                raise ConnectorError(message, fix="put a copy of what it leads to into the repository")
            files[path] = blob
            total += int(size)
            if len(files) > MOST_FILES or total > MOST_BYTES:
                message = f"bundle source git: the commit has more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes"
                raise ConnectorError(message, fix="name a folder of it in bundle.source.base_path")
        self._files = files
        for path, blob in files.items():
            length, sha256 = self._facts(blob)
            yield RemoteFileMeta(rel_path=path, name=Path(path).name, size=length, sha256=sha256)

    def revision(self) -> str | None:
        """The commit's id and the folder; a branch or tag is looked up in the repository without fetching it."""
        if _COMMIT.fullmatch(self.conf.ref):
            commit = self.conf.ref
        else:
            self.close()
            self._folder = tempfile.TemporaryDirectory(prefix="aetherflow-git-", ignore_cleanup_errors=True)
            names = (self.conf.ref, f"refs/tags/{self.conf.ref}^{{}}")  # the second is the commit of an annotated tag
            said = self._git("ls-remote", "--", self._url(), *names).decode().split("\n")
            found = [line.split("\t") for line in said if "\t" in line]
            commit = next((oid for oid, name in reversed(found) if name.endswith("^{}")), found[0][0] if found else "")
        if not commit or (self.conf.commit is not None and commit != self.conf.commit):
            return None  # the listing reports the error
        return f"{commit} {self.conf.base_path.strip('/')}"

    def fetch(self, rel_path: str, target: BinaryIO) -> None:
        """Write one file of the listed commit to `target`."""
        self.refuse_path(rel_path)
        if self._files is None:
            for _ in self.list():
                pass
        blob = (self._files or {}).get(rel_path)
        if blob is None:
            message = f"bundle source git: {rel_path!r} is not in the commit"
            raise ConnectorError(message, fix="ask for a path as the listing has it")
        target.writelines(self._content(blob))

    def close(self) -> None:
        self._files = None
        if self._reader is not None:
            with self._reader as reader:
                _kill(reader)
            self._reader = None
        if self._guarded is not None:
            self._guarded.close()
            self._guarded = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _get(self) -> str:
        """Fetch the commit into a temporary repository; returns its id."""
        self._folder = tempfile.TemporaryDirectory(prefix="aetherflow-git-", ignore_cleanup_errors=True)
        url = self._url()
        self._git("init", "-q", "--bare", ".")
        if _COMMIT.fullmatch(self.conf.ref):
            found = self._git_commit(url, self.conf.ref)
        else:
            self._git("fetch", "-q", "--depth=1", "--no-tags", "--", url, self.conf.ref)
            found = self._git("rev-parse", "--verify", "-q", "FETCH_HEAD^{commit}").decode().strip()
        if self.conf.commit is not None and found != self.conf.commit:
            message = f"bundle source git: {self.conf.ref} is commit {found}, pinned is {self.conf.commit}"
            raise ConnectorError(message, fix="review it, then write the new commit into bundle.source.commit")
        return found

    def _url(self) -> str:
        url = self.conf.url
        if not _IS_REMOTE.match(url):
            url = str((self.root / url).absolute())
        if self.conf.ref.startswith("-"):
            message = f"bundle source git: {self.conf.ref!r} isn't a branch, tag or commit"
            raise ConnectorError(message, fix="correct bundle.source.ref")
        return url

    def _git_commit(self, url: str, commit: str) -> str:
        with contextlib.suppress(ConnectorError):  # not every server allows fetching a commit by its id
            self._git("fetch", "-q", "--depth=1", "--no-tags", "--", url, commit)
            return commit
        self._git("fetch", "-q", "--", url, "+refs/*:refs/fetched/*")
        try:
            self._git("rev-parse", "--verify", "-q", f"{commit}^{{commit}}")
        except ConnectorError as error:
            message = f"bundle source git: {_shown(url)} has no commit {commit} on a branch or tag"
            raise ConnectorError(message, fix="correct bundle.source.ref") from error
        return commit

    def _facts(self, blob: str) -> tuple[int, str]:
        found, size = hashlib.sha256(), 0
        for chunk in self._content(blob):
            found.update(chunk)
            size += len(chunk)
        return size, found.hexdigest()

    def _content(self, blob: str) -> Iterator[bytes]:
        """The content of a blob, read from one git process that serves all blobs."""
        if self._reader is None:
            self._reader = self._process("cat-file", "--batch")
        asked, answer = self._reader.stdin, self._reader.stdout
        assert asked is not None and answer is not None  # noqa: S101, PT018 pipes were asked for
        try:
            asked.write(f"{blob}\n".encode())
            asked.flush()
            head = answer.readline().split()
            left = int(head[2])
            while left:
                chunk = answer.read(min(left, CHUNK))
                if not chunk:
                    raise EOFError
                left -= len(chunk)
                yield chunk
            answer.read(1)  # the end of line behind the content
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise ConnectorError(f"bundle source git: blob {blob} cannot be read", fix="sync again") from error

    def _entries(self, *arguments: str) -> Iterator[bytes]:
        """What a git command writes, split at null bytes; the process ends with the iteration."""
        with self._process(*arguments) as git, contextlib.ExitStack() as stack:
            stack.callback(_kill, git)
            timer = threading.Timer(self.conf.timeout_seconds, _kill, [git])
            stack.callback(timer.cancel)
            timer.start()
            assert git.stdout is not None and git.stderr is not None  # noqa: S101, PT018 pipes were asked for
            rest = b""
            while (data := os.read(git.stdout.fileno(), CHUNK)) and len(rest) <= LONGEST_ENTRY:
                *entries, rest = (rest + data).split(b"\0")
                yield from entries
            if rest or git.wait():
                said = git.stderr.read(CHUNK) if git.returncode else b"an endless name"
                raise self._failed(arguments[0], said, git.returncode)

    def _failed(self, command: str, err: bytes, code: int | None) -> ConnectorError:
        said = " ".join(_shown(err.decode(errors="replace")).split()) or f"exit code {code}"
        message = f"bundle source git: git {command} failed: {said[:500]}"
        return ConnectorError(message, fix="try it by hand: git ls-remote URL; look at url and ref of bundle.source")

    def _git(self, *arguments: str) -> bytes:
        with self._process(*arguments) as git:
            try:
                out, err = git.communicate(timeout=self.conf.timeout_seconds)
            except BaseException as error:
                _kill(git)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                message = f"bundle source git: git {arguments[0]} took longer than {self.conf.timeout_seconds:g} s"
                raise ConnectorError(message, fix="raise bundle.source.timeout_seconds, or check the network") from None
        if git.returncode:
            raise self._failed(arguments[0], err, git.returncode)
        return out

    def _process(self, *arguments: str) -> "subprocess.Popen[bytes]":
        assert self._folder is not None  # noqa: S101 made before the first command
        # no hooks of the user, no prompts, no transport that runs a command from the URL, also after a redirect
        wanted = ("core.hooksPath=/dev/null", "safe.directory=*", *_FRUGAL)
        settings = [part for each in wanted for part in ("-c", each)]
        spoken = {"GIT_ALLOW_PROTOCOL": ":".join(_schemes(self.conf.url) or ())}
        env = {**os.environ, **spoken, "GIT_TERMINAL_PROMPT": "0", "GIT_DIR": self._folder.name, "LC_ALL": "C"}
        if shutil.which("git") is None:
            raise ConnectorError("bundle source git: the command git is not installed", fix="install git")
        if self._guarded is None:
            self._guarded = contextlib.ExitStack()
            self._start = self._guarded.enter_context(guarded_programs())
        # by a shell: limits that are set between fork and exec in Python can block a program with threads
        return self._start(
            ["/bin/sh", "-c", _LIMITED, "git", *settings, *arguments],
            cwd=self._folder.name,
            env=env,
            stdin=subprocess.PIPE if arguments[0] == "cat-file" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if arguments[0] != "cat-file" else subprocess.DEVNULL,
        )


def _kill(git: "subprocess.Popen[bytes]") -> None:
    """End a git process and its helpers."""
    with contextlib.suppress(ProcessLookupError):
        if git.poll() is None:
            os.killpg(git.pid, signal.SIGKILL)


def _shown(text: str) -> str:
    """A text without the credentials in URLs."""
    return _USER_INFO.sub(r"\1***@", text)
