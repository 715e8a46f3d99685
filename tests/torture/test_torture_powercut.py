"""A5 and A6: the power goes; what had been promised is still there, and the run goes on."""

import shutil
from collections.abc import Iterator

import pytest

import torture_oplog
from torture_bench import Bench
from torture_flows import ALL, F1, F2, F3, Reference
from torture_image import image_options, make_image, mounted, require_mounts
from torture_invariants import Before, Oracle, check_invariants, finished_artifacts, observe, undisturbed
from torture_strace import require_strace
from torture_tier import SEED, full, sample, sized, suite

pytestmark = pytest.mark.slow


def after_the_cut(bench: Bench, oracle: Oracle, promised: set[tuple[str, str]], sentinels: str) -> None:
    """The state is whole, holds all that was promised, and the run goes on to its end."""
    before: Before = observe(bench)
    assert promised <= before.done, f"recorded before the power cut, and lost: {promised - before.done}"
    finished_artifacts(bench, oracle)
    code = bench.attempt()
    check_invariants(bench, oracle, code, [before], 1)
    assert bench.sentinels() == sentinels, "I10: something outside of the run changed"


@pytest.mark.parametrize("mode", ["ordered", "writeback"])
@pytest.mark.parametrize("flow", ALL if full() else (F1, F3), ids=lambda flow: flow.name)
def test_power_cut_on_ext4(bench: Bench, flow: Reference, mode: str) -> None:
    require_mounts(bench.folder, "ext4")
    bench.write(flow.text)
    oracle = undisturbed(bench, flow)
    names = bench.points()
    template, live, cut = (bench.folder / f"{name}.img" for name in ("template", "live", "cut"))
    make_image(template)
    with mounted("ext4", str(template), image_options(mode), bench.disk):
        bench.plant_sentinels()
        sentinels = bench.sentinels()
    committed = [number for number, name in enumerate(names, 1) if name.startswith("committed")]
    others = [number for number in range(1, len(names) + 1) if number not in committed]
    points = sorted(sample(committed, sized(3, 99), f"A5-{flow.name}-{mode}") + sample(others, sized(1, 20), flow.name))
    with suite(f"A5 {flow.name} {mode}", 1, 2, 3) as counted:
        for point in points:
            bench.effects.unlink(missing_ok=True)
            shutil.copyfile(template, live)
            with counted.case(f"cut at {point}, {names[point - 1]}"):
                with mounted("ext4", str(live), image_options(mode), bench.disk):
                    child = bench.until_stopped(f"{point}:stop")
                    assert child is not None, "the run ended before its point"
                    shutil.copyfile(live, cut)  # what the device has got; nothing is synced for this
                    promised = observe(bench).done
                    bench.end(child)
                with mounted("ext4", str(cut), image_options(mode), bench.disk):
                    after_the_cut(bench, oracle, promised, sentinels)


@pytest.fixture
def clean_base(bench: Bench) -> Iterator[None]:
    """Tell the model which folders were there from the start."""
    bench.forget()
    torture_oplog.BASE = {str(path) for path in (bench.disk, *bench.disk.rglob("*")) if path.is_dir()}
    yield
    torture_oplog.BASE = set()


@pytest.mark.parametrize("flow", ALL if full() else (F1, F2, F3), ids=lambda flow: flow.name)
def test_power_cut_without_root(bench: Bench, clean_base: None, flow: Reference) -> None:
    require_strace()
    bench.write(flow.text)
    oracle = undisturbed(bench, flow)
    sentinels = bench.sentinels()
    bench.forget()
    ops = torture_oplog.record(bench)
    torture_oplog.lay_out(bench, torture_oplog.replay(ops))
    finished_artifacts(bench, oracle)
    assert bench.rows("SELECT status FROM runs") == oracle.facts["run"], "the recording holds the whole run"
    with suite(f"A6 {flow.name}", 1, 2, 3) as counted:
        for cut in torture_oplog.cuts(ops, sized(34, 520), f"{SEED}-A6-{flow.name}"):
            lines = [op.data for op in ops[: cut.after] if op.what == "effect"]
            bench.effects.write_bytes(b"".join(lines))
            with counted.case(cut.label):
                told = torture_oplog.last_commit(ops, cut.after)  # what the dead process knew to be recorded
                torture_oplog.lay_out(bench, torture_oplog.replay(ops[:told]))
                promised = observe(bench).done
                torture_oplog.lay_out(bench, cut.files)
                after_the_cut(bench, oracle, promised, sentinels)
