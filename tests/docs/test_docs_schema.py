"""The documents that the pages and examples show, checked with the tool that the how-to names for pipelines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aetherflow.core.checks.kinds import KINDS as DOCUMENT_KINDS
from aetherflow.core.checks.kinds import kind_of
from docs_pages import ROOT, Block, blocks, name_of, pages, shown_name, whole_flow

TOOL = str(Path(sys.executable).parent / "check-jsonschema")
KINDS = DOCUMENT_KINDS.keys()
BLOCKS = [block for page in pages() for block in blocks(page, "yaml") if not block.wrong]


def write_schema(kind: str, folder: Path, env: dict[str, str] | None = None) -> Path:
    path = folder / f"{kind}.schema.json"
    command = [sys.executable, "-m", "aetherflow.core", "schema", kind, "--output", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
    return path


def check(schema: Path, documents: list[Path]) -> None:
    command = [TOOL, "--schemafile", str(schema), *map(str, documents)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("schemas")
    return {kind: write_schema(kind, folder) for kind in KINDS}


def test_each_schema_is_one(schemas: dict[str, Path]) -> None:
    command = [TOOL, "--check-metaschema", *map(str, schemas.values())]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_examples_fit_the_schema(tmp_path: Path) -> None:
    info = tmp_path / "word_count-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: word-count\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aetherflow.steps]\nword_count = word_count.step:WordCount\n")
    source = ROOT / "docs/examples/word-count/src"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{source}", "PYTHONDONTWRITEBYTECODE": "1"}
    schema = write_schema("flow", tmp_path, env)
    assert '"word_count"' in schema.read_text()
    examples = sorted(ROOT.glob("docs/examples/**/flow.yaml"))
    assert len(examples) >= 7
    check(schema, examples)


def test_the_blocks_of_the_pages_fit_the_schema(schemas: dict[str, Path], tmp_path: Path) -> None:
    found: dict[str, list[Path]] = {kind: [] for kind in schemas}
    for block in BLOCKS:
        path = _written(block, tmp_path)
        found[kind_of(path) or "flow"].append(path)
    assert len(found["flow"]) >= 20
    assert all(found[kind] for kind in KINDS - {"env-files"})  # pages show those as part of a project file
    for kind, documents in found.items():
        if documents:
            check(schemas[kind], documents)


def _written(block: Block, folder: Path) -> Path:
    # the folder says where the block stands, the name decides its kind
    path = folder / f"{name_of(block.page).replace('/', '-')}-{block.first}" / shown_name(block)
    path.parent.mkdir(parents=True)
    # the tool does not know the tag; text it is without it too
    path.write_text((whole_flow(block.text) if block.fragment else block.text).replace("!raw ", "") + "\n")
    return path
