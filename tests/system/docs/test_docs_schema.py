"""The documents that the pages and examples show, checked with the tool that the how-to names for pipelines."""

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from check_jsonschema import main
from click.testing import CliRunner, Result

import warm
from aetherflow.core.checks.kinds import Environment, kind_of, known_kinds
from docs_pages import ROOT, Block, blocks, name_of, pages, shown_name, whole_flow

KINDS = set(known_kinds())
UNSHOWN = {"env-files"}
"""Pages show them as part of a project file."""
EXAMPLES = sorted(ROOT.glob("docs/examples/**/flow.yaml"))
BLOCKS = [block for page in pages() for block in blocks(page, "yaml") if not block.wrong]


def tool(*arguments: str | Path) -> Result:
    """Run `check-jsonschema` in this process: most of a start is its imports."""
    return CliRunner().invoke(main, [str(each) for each in arguments])


def check(schema: Path, documents: list[Path]) -> None:
    """Check the schema and documents by it."""
    result = tool("--schemafile", schema, *documents)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `aetherflow schema` writes for each kind where the plugins of the examples are installed."""
    folder = tmp_path_factory.mktemp("schemas")
    path = [str(folder)]
    for file in (*ROOT.glob("docs/examples/*/pyproject.toml"), *ROOT.glob("docs/examples/plugins/*/pyproject.toml")):
        path.append(str(file.parent / "src"))
        _install(file, folder)
    env = {**os.environ, "PYTHONPATH": ":".join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    schemas = {kind: folder / f"{kind}.schema.json" for kind in KINDS}
    for kind, schema in schemas.items():
        command = [sys.executable, "-m", "aetherflow.core", "schema", kind, "--output", str(schema)]
        done = warm.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{schema}\n", "")
    return schemas


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The blocks of the pages by kind, but those below a plugin that the page brings."""
    folder = tmp_path_factory.mktemp("blocks")
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    environment = Environment()
    for block in BLOCKS:
        if any(each.file and each.first < block.first for each in blocks(block.page, "python")):
            continue
        path = _written(block, folder)
        found[kind_of(path, environment) or "flow"].append(path)
    return found


@pytest.fixture(scope="module")
def report(schemas: dict[str, Path], documents: dict[str, list[Path]]) -> dict[str, Any]:
    """What the tool says of the flows, of the examples and of the blocks: to check their schema takes it seconds."""
    result = tool("-v", "--output-format", "json", "--schemafile", schemas["flow"], *EXAMPLES, *documents["flow"])
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def misfits(report: dict[str, Any], documents: list[Path]) -> dict[str, list[object]]:
    """Those documents that do not fit, with what is wrong in each."""
    fitting = report["checked_paths"] if report["status"] == "ok" else report["successes"]
    wrong = [*report["errors"], *report.get("parse_errors", ())]
    return {name: [each for each in wrong if each["filename"] == name] for name in {*map(str, documents)} - {*fitting}}


def test_the_schema_of_a_kind_that_no_page_shows_is_one(schemas: dict[str, Path]) -> None:
    """Those of the others are checked with the blocks of the pages."""
    result = tool("--check-metaschema", *(schemas[kind] for kind in UNSHOWN))
    assert result.exit_code == 0, result.output


def test_documents_are_not_checked_by_what_is_no_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"properties": {"n": {"type": "numbr"}}}')
    (tmp_path / "document.yaml").write_text("m: 1\n")
    result = tool("--schemafile", tmp_path / "schema.json", tmp_path / "document.yaml")
    assert (result.exit_code, "schemafile was not valid" in result.output) == (1, True), result.output


@pytest.mark.xdist_group("schema of flows")
def test_the_examples_fit_the_schema(schemas: dict[str, Path], report: dict[str, Any]) -> None:
    assert '"word_count"' in schemas["flow"].read_text()
    assert len(EXAMPLES) >= 7
    assert misfits(report, EXAMPLES) == {}


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


@pytest.mark.xdist_group("schema of flows")
def test_the_blocks_of_the_pages_fit_the_schema(
    schemas: dict[str, Path], documents: dict[str, list[Path]], report: dict[str, Any]
) -> None:
    """That they name no plugin which is missing, `validate` says of each (tests/unit/docs/test_docs_yaml.py)."""
    assert len(documents["flow"]) >= 20
    assert {kind for kind, found in documents.items() if not found} == UNSHOWN
    assert misfits(report, documents["flow"]) == {}
    for kind in KINDS - UNSHOWN - {"flow"}:
        check(schemas[kind], documents[kind])


def _written(block: Block, folder: Path) -> Path:
    # the folder says where the block stands, the name decides its kind
    path = folder / f"{name_of(block.page).replace('/', '-')}-{block.first}" / shown_name(block)
    path.parent.mkdir(parents=True)
    # the tool does not know the tag; text it is without it too
    path.write_text((whole_flow(block.text) if block.fragment else block.text).replace("!raw ", "") + "\n")
    return path
