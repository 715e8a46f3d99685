"""File systems of one test's own: ext4 in an image file, tmpfs of a given size. They need root and mount."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGE_BYTES = 8 * 2**20


def run(*command: str) -> None:
    """Run a command; AssertionError with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def make_image(path: Path) -> None:
    """An empty ext4 file system."""
    with path.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-b", "1024", "-J", "size=1", str(path))


@contextlib.contextmanager
def mounted(kind: str, source: str, options: str, at: Path) -> Iterator[None]:
    """Mount while the block runs."""
    run("mount", "-t", kind, "-o", options, source, str(at))
    try:
        yield
    finally:
        run("umount", str(at))


def image_options(mode: str) -> str:
    """Mount options; the long commit interval keeps the kernel from writing by itself while an image is copied."""
    return f"loop,data={mode},commit=300"


def require_mounts(folder: Path, kind: str) -> None:
    """Skip, with the reason, where an ext4 image or a tmpfs cannot be mounted; with CI=true a skip is a failure."""
    at = folder / "probe"
    at.mkdir()
    try:
        if kind == "ext4":
            make_image(folder / "probe.img")
            with mounted("ext4", str(folder / "probe.img"), image_options("ordered"), at):
                pass
        else:
            with mounted("tmpfs", "tmpfs", "size=64k", at):
                pass
    except (AssertionError, OSError) as error:
        pytest.skip(f"a {kind} of this test's own cannot be mounted here; that needs root and loop devices: {error}")
    at.rmdir()
