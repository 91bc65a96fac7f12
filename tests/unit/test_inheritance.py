"""Iteration 0 of another run, taken over: whole or not at all, and told from files that nobody can account for."""

import json
from pathlib import Path

import pytest

from pada_graph import inheritance
from pada_graph.errors import InputError, StoppedError
from pada_graph.inheritance import INHERITED, inherit, is_inherited
from pada_graph.rundir import RunDir


@pytest.fixture
def donor(tmp_path: Path) -> Path:
    for name in (
        "untuned/predictions_validation.jsonl",
        "iteration_0/train.jsonl",
        "iteration_0/adapter/weights",
        "iteration_0/adapter.job.json",  # holds the donor's own paths
        "iteration_1/train.jsonl",
        "metrics.json",
    ):
        path = tmp_path / "donor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "donor"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_shared_is_taken_over_and_nothing_else(donor, tmp_path):
    inherit(donor, tmp_path / "heir")
    shared = {"untuned/predictions_validation.jsonl", "iteration_0/train.jsonl", "iteration_0/adapter/weights"}
    assert names(tmp_path / "heir") == {*shared, INHERITED}
    assert all((tmp_path / "heir" / name).read_text() == name for name in shared)
    recorded = json.loads((tmp_path / "heir" / INHERITED).read_text())
    assert recorded["from"] == "donor" and recorded["files"].keys() == shared


def test_writing_a_taken_over_file_anew_leaves_the_donors_alone(donor, tmp_path):
    inherit(donor, tmp_path / "heir")
    RunDir(tmp_path / "heir").write_text("iteration_0/train.jsonl", "other rows")
    with (tmp_path / "heir/untuned/predictions_validation.jsonl").open("a") as file:
        file.write("more")
    assert (donor / "iteration_0/train.jsonl").read_text() == "iteration_0/train.jsonl"
    assert (donor / "untuned/predictions_validation.jsonl").read_text() == "untuned/predictions_validation.jsonl"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "iteration_0/train.jsonl").write_text("other rows"),
        lambda root: (root / "iteration_0/train.jsonl").unlink(),
        lambda root: (root / "iteration_0/predictions_test.jsonl").write_text("more"),
        lambda root: (root / INHERITED).unlink(),
    ],
    ids=["changed", "missing", "more", "no record"],
)
def test_only_exactly_what_was_taken_over_is_accounted_for(donor, tmp_path, spoil):
    root = tmp_path / "heir"
    inherit(donor, root)
    assert is_inherited(RunDir(root), "iteration_0") and is_inherited(RunDir(root), "untuned")
    spoil(root)
    assert not is_inherited(RunDir(root), "iteration_0")
    assert not is_inherited(RunDir(root), "iteration_1")


def test_a_folder_is_there_whole_or_not_at_all_and_a_second_try_completes_it(donor, tmp_path, monkeypatch):
    root = tmp_path / "heir"

    def full(source, target, *, link):
        if "adapter" in str(target):
            raise OSError(28, "No space left on device")
        copy(source, target, link=link)

    copy = inheritance._copy
    monkeypatch.setattr(inheritance, "_copy", full)
    with pytest.raises(StoppedError, match="No space left"):
        inherit(donor, root)
    assert not (root / "iteration_0").exists() and not (root / "untuned").exists()
    monkeypatch.setattr(inheritance, "_copy", copy)
    inherit(donor, root)
    assert is_inherited(RunDir(root), "iteration_0") and not (root / ".inherited.tmp").exists()


def test_a_link_in_the_place_of_a_file_is_refused(donor, tmp_path):
    root = tmp_path / "heir"
    inherit(donor, root)
    path = root / "iteration_0/train.jsonl"
    path.unlink()
    path.symlink_to(donor / "iteration_0/train.jsonl")
    with pytest.raises(InputError, match="link"):
        is_inherited(RunDir(root), "iteration_0")
