"""What a night that failed had taken: the next one takes it over, and everything is done once."""

import json
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ClaimsLostError
from aetherflow.core.testing.project import Ran
from aetherflow_builtins_transfer.moving.files import Files
from nights import Nights
from transfer_peers import Peer

AFTER = ("keep", "move", "delete")


def made(peer: Peer, after: str) -> Nights:
    nights = Nights(peer, after)
    nights.prepare()
    return nights


@pytest.fixture
def nights(local_peer: Peer) -> Nights:
    return made(local_peer, "keep")


def names(ran: Ran) -> list[str]:
    return [Path(each["path"]).name for each in ran["take.download"].outputs["taken"]]


def given(ran: Ran, key: str) -> list[Any]:
    return [each[key] for each in ran["take.download"].outputs["taken"]]


@pytest.mark.parametrize("fail", ["early", "late"])
@pytest.mark.parametrize("after", AFTER)
def test_the_night_after_a_failed_one_takes_its_files_and_loads_each_once(
    each_peer: Peer, after: str, fail: str
) -> None:
    nights = made(each_peer, after)
    nights.put("a.csv", "1")
    nights.put("b.csv", "2")
    bad = nights.run(fail)
    assert bad.status == "FAILED"
    nights.put("c.csv", "3")
    good = nights.run()
    assert good.error is None, good.error
    assert names(good) == ["a.csv", "b.csv", "c.csv"]
    assert given(good, "taken_over_from") == [bad.summary.run_id, bad.summary.run_id, None]
    assert given(good, "claim")[:2] == given(bad, "claim")
    assert nights.loaded() == {"a.csv 1": 1, "b.csv 2": 1, "c.csv 3": 1}
    assert nights.open_claims() == []
    assert nights.run().steps["take.list"].status == "SKIPPED"
    there = {path.split("/")[0] for path in each_peer.tree()}
    assert there == {"keep": {"in"}, "move": {"done"}, "delete": set()}[after]


@pytest.mark.parametrize("after", AFTER)
def test_three_bad_nights_and_a_good_one(local_peer: Peer, after: str) -> None:
    nights = made(local_peer, after)
    for number, fail in enumerate(["early", "late", "early", "never"]):
        nights.put(f"f{number}.csv", str(number))
        nights.run(fail, slot=f"2026-11-{20 + number}T01:00:00Z")
    assert nights.loaded() == {f"f{number}.csv {number}": 1 for number in range(4)}
    assert nights.open_claims() == []


@pytest.mark.parametrize("after", AFTER)
def test_a_name_that_the_partner_uses_again_hides_nothing(local_peer: Peer, after: str) -> None:
    """The first version was not finished with when the second one came: both count, the older one first."""
    nights = made(local_peer, after)
    nights.put("a.csv", "1")
    bad = nights.run("early")
    nights.put("a.csv", "2", "and more")
    if after == "move":
        (local_peer.disk / "done/a.csv").unlink()
    good = nights.run()
    assert good.error is None, good.error
    assert names(good) == ["a.csv", "a.csv"]
    assert given(good, "taken_over_from") == [bad.summary.run_id, None]
    got = local_peer.project.artifacts(good, "take") / "got"
    assert "a.csv,1" in (got / "earlier-1/a.csv").read_text()
    assert "a.csv,2" in (got / "a.csv").read_text()
    assert nights.loaded() == {"a.csv 1": 1, "a.csv 2": 1, "a.csv and more": 1}
    assert nights.open_claims() == []


def test_one_folder_for_all_runs_keeps_both_versions(local_peer: Peer) -> None:
    """The second version gets the place where the failed run has the first one."""
    folder = local_peer.project.work / "inbox"
    fetch = local_peer.step(
        "download", files=[f"{local_peer.base}/a.csv"], dest_dir=str(folder), after="delete", new_only=True
    )
    local_peer.put("a.csv", "one")
    local_peer.run(fetch, {"id": "bad", "type": "fail", "inputs": {"message": "a bad night"}})
    local_peer.put("a.csv", "another")
    ran = local_peer.run(fetch)
    assert ran.error is None, ran.error
    assert (folder / "earlier-1/a.csv").read_text() == "one"
    assert (folder / "a.csv").read_text() == "another"


def test_a_failed_night_can_be_resumed_and_then_everything_is_final(local_peer: Peer) -> None:
    nights = made(local_peer, "move")
    nights.put("a.csv", "1")
    bad = nights.run("late")
    resumed = nights.run("late", run_id=bad.summary.run_id)
    assert resumed.status == "FAILED"
    assert nights.open_claims() == [bad.summary.run_id]
    good = nights.run()
    assert good.error is None
    assert nights.loaded() == {"a.csv 1": 1}
    with pytest.raises(ClaimsLostError, match=good.summary.run_id):
        nights.run("late", run_id=bad.summary.run_id)


@pytest.mark.parametrize("after", ["keep", "move"])
def test_of_two_runs_that_take_one_file_the_slower_one_fails_and_then_finds_it_taken(
    local_peer: Peer, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    nights = made(local_peer, after)
    nights.put("a.csv", "1")
    original = Files.download_to

    def slow(peer: Any, *given: Any, **more: Any) -> Any:
        moved = original(peer, *given, **more)
        fast = local_peer.project.command("run", "flow.yaml", "--run-id", "fast")
        assert fast.code == 0, fast.err
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Files, "download_to", slow)
        ran = nights.run(run_id="slow")
    assert ran.error is not None
    assert ran.error.code == "AF5303"
    assert "a.csv" in ran.error.message
    again = nights.run(run_id="slow")
    assert again.error is None, again.error
    assert again["take.download"].outputs["files"][0]["status"] == "known"
    assert nights.loaded() == {"a.csv 1": 1}
    assert nights.open_claims() == []


def test_what_a_flow_inside_a_flow_took_is_good_with_the_outermost_run(local_peer: Peer) -> None:
    """The child's run has ended well each time; what is around it fails behind it."""
    nights = made(local_peer, "move")
    project = local_peer.project
    (project.folder / "flow.yaml").rename(project.folder / "child.yaml")
    child = {"id": "child", "type": "run_flow", "inputs": {"flow": "child.yaml"}}
    bad = {"id": "bad", "type": "fail", "inputs": {"message": "a bad night"}}
    nights.put("a.csv", "1")
    for steps, status in (([child, bad], "FAILED"), ([child], "SUCCESS")):
        head = {"id": "outer", "workspace": {"root": str(project.work), "cleanup_policy": "never"}}
        document = {"version": 1, "flow": head, "jobs": [{"id": "main", "steps": steps}]}
        (project.folder / "outer.yaml").write_text(json.dumps(document))
        assert project.run("outer.yaml").status == status
        assert nights.loaded() == {"a.csv 1": 1}
        assert len(nights.open_claims()) == (1 if status == "FAILED" else 0)
    taken = project.rows("SELECT state, taken_from IS NOT NULL FROM claims ORDER BY at")
    assert taken == [("lost", 0), ("final", 1)]
    project.run("outer.yaml")
    assert len(project.rows("SELECT 1 FROM claims")) == 2, "nothing was new"


def test_left_to_a_person(local_peer: Peer) -> None:
    nights = made(local_peer, "move")
    nights.put("a.csv", "1")
    bad = nights.run("early")
    nights.write(on_unfinished="leave")
    quiet = nights.run()
    listed = quiet.steps["take.list"]
    assert listed.status == "SKIPPED"
    assert listed.reason == f"1 left to a person: taken by {bad.summary.run_id}, not finished"
    codes = "SELECT reason_code FROM step_runs WHERE status = 'SKIPPED' AND step_id = 'list'"
    assert local_peer.project.rows(codes)[0] == ("unfinished",)
    nights.put("b.csv", "2")
    assert names(nights.run()) == ["b.csv"]
    assert nights.loaded() == {"b.csv 2": 1}
    assert nights.open_claims() == [bad.summary.run_id]
    direct = local_peer.step(
        "download", files=[f"{local_peer.base}/in/a.csv"], dest_dir="got", new_only=True, on_unfinished="leave"
    )
    ran = local_peer.run(direct)
    assert (ran.status, ran["download"].status) == ("SUCCESS", "SKIPPED")
    assert ran["download"].outputs["files"][0]["status"] == "unfinished"


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_what_nobody_has_any_more_fails_and_names_run_and_file(local_peer: Peer, damage: str) -> None:
    nights = made(local_peer, "delete")
    nights.put("a.csv", "1")
    bad = nights.run("early")
    kept = local_peer.project.artifacts(bad, "take") / "got/a.csv"
    if damage == "gone":
        kept.unlink()
    else:
        kept.write_text("something else")
    ran = nights.run()
    assert ran.error is not None
    assert bad.summary.run_id in ran.error.message
    assert str(kept) in ran.error.message
    assert "aetherflow runs resolve" in (ran.error.fix or "")


@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_path_alone_finds_what_a_failed_run_has_taken_away(each_peer: Peer, after: str) -> None:
    """Without a list step, and without `new_only`: what goes at the peer is taken once in any case."""
    each_peer.put("in/a.csv", "one")
    to = {"move_to": f"{each_peer.base}/done"} if after == "move" else {}
    fetch = each_peer.step("download", files=[f"{each_peer.base}/in/a.csv"], dest_dir="got", after=after, **to)
    bad = each_peer.run(fetch, {"id": "bad", "type": "fail", "inputs": {"message": "a bad night"}})
    assert bad.status == "FAILED"
    good = each_peer.run(fetch)
    assert good.error is None, good.error
    (taken,) = good["download"].outputs["taken"]
    assert Path(taken["file"]).read_text() == "one"
    assert taken["taken_over_from"] == bad.summary.run_id


def test_a_list_that_looks_for_what_is_new_is_enough(local_peer: Peer) -> None:
    """Its records say so; the download needs no `new_only` of its own."""
    local_peer.put("in/a.csv", "one")
    steps = [
        local_peer.step("list", remote_dir=f"{local_peer.base}/in", new_only=True, min_count=0),
        local_peer.step("download", files="{{steps.list.files}}", dest_dir="got"),
    ]
    bad = local_peer.run(*steps, {"id": "bad", "type": "fail", "inputs": {"message": "a bad night"}})
    good = local_peer.run(*steps)
    (taken,) = good["download"].outputs["taken"]
    assert taken["taken_over_from"] == bad.summary.run_id
    assert local_peer.run(*steps)["download"].outputs["count"] == 0


def test_listing_again_in_the_same_run_finds_the_files_again(local_peer: Peer) -> None:
    """`--from-step` sets the results aside, and with them what they had taken, moved or not."""
    nights = made(local_peer, "move")
    nights.put("a.csv", "1")
    bad = nights.run("early")
    again = nights.run("early", run_id=bad.summary.run_id, from_step="take.list")
    assert again.steps["take.list"].outputs["count"] == 1
    assert names(again) == ["a.csv"]
