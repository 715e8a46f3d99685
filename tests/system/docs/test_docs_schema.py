"""The documents that the pages and examples show, checked with the tool that the how-to names for pipelines."""

import os
import sys
import tomllib
from pathlib import Path

import pytest
from check_jsonschema import main
from click.testing import CliRunner, Result

import warm
from aetherflow.core.checks.kinds import Environment, kind_of, known_kinds
from docs_pages import ROOT, Block, blocks, name_of, pages, shown_name, whole_flow

KINDS = set(known_kinds())
UNSHOWN = {"env-files"}
"""Pages show them as part of a project file."""
BLOCKS = [block for page in pages() for block in blocks(page, "yaml") if not block.wrong]


def write_schema(kind: str, folder: Path, env: dict[str, str] | None = None) -> Path:
    path = folder / f"{kind}.schema.json"
    command = [sys.executable, "-m", "aetherflow.core", "schema", kind, "--output", str(path)]
    done = warm.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
    return path


def tool(*arguments: str | Path) -> Result:
    """Run `check-jsonschema` in this process: most of a start is its imports."""
    return CliRunner().invoke(main, [str(each) for each in arguments])


def check(schema: Path, documents: list[Path]) -> None:
    """Check the schema, which takes the tool most of the time, and documents by it."""
    result = tool("--schemafile", schema, *documents)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("schemas")
    return {kind: write_schema(kind, folder) for kind in KINDS}


def test_the_schema_of_a_kind_that_no_page_shows_is_one(schemas: dict[str, Path]) -> None:
    """Those of the others are checked with the blocks of the pages."""
    result = tool("--check-metaschema", *(schemas[kind] for kind in UNSHOWN))
    assert result.exit_code == 0, result.output


def test_documents_are_not_checked_by_what_is_no_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"properties": {"n": {"type": "numbr"}}}')
    (tmp_path / "document.yaml").write_text("m: 1\n")
    result = tool("--schemafile", tmp_path / "schema.json", tmp_path / "document.yaml")
    assert (result.exit_code, "schemafile was not valid" in result.output) == (1, True), result.output


def test_the_examples_fit_the_schema(tmp_path: Path) -> None:
    path = [str(tmp_path)]
    for file in (*ROOT.glob("docs/examples/*/pyproject.toml"), *ROOT.glob("docs/examples/plugins/*/pyproject.toml")):
        path.append(str(file.parent / "src"))
        _install(file, tmp_path)
    env = {**os.environ, "PYTHONPATH": ":".join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    schema = write_schema("flow", tmp_path, env)
    assert '"word_count"' in schema.read_text()
    examples = sorted(ROOT.glob("docs/examples/**/flow.yaml"))
    assert len(examples) >= 7
    check(schema, examples)


def _install(pyproject: Path, site: Path) -> None:
    """Lay the metadata of a distribution where pip would leave them."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def test_the_blocks_of_the_pages_fit_the_schema(schemas: dict[str, Path], tmp_path: Path) -> None:
    found: dict[str, list[Path]] = {kind: [] for kind in schemas}
    environment = Environment()
    for block in BLOCKS:
        if any(each.file and each.first < block.first for each in blocks(block.page, "python")):
            continue  # the page brings a plugin of its own
        path = _written(block, tmp_path)
        found[kind_of(path, environment) or "flow"].append(path)
    assert len(found["flow"]) >= 20
    assert {kind for kind, documents in found.items() if not documents} == UNSHOWN
    for kind in KINDS - UNSHOWN:
        check(schemas[kind], found[kind])


def _written(block: Block, folder: Path) -> Path:
    # the folder says where the block stands, the name decides its kind
    path = folder / f"{name_of(block.page).replace('/', '-')}-{block.first}" / shown_name(block)
    path.parent.mkdir(parents=True)
    # the tool does not know the tag; text it is without it too
    path.write_text((whole_flow(block.text) if block.fragment else block.text).replace("!raw ", "") + "\n")
    return path
