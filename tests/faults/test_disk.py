"""Row 16: the disk is full when the journal, a checkpoint, a data set, an adapter or a log is written, each in turn.

RLIMIT_FSIZE 0, set on the way, lets no file grow; where root may mount one, a small tmpfs is really filled.
"""

import contextlib
import json
import subprocess

import pytest

from pada_graph.errors import StoppedError
from tests.fake_provider import FakeProvider
from tests.faults.harness import Case, answer, check_calls, check_rows, outcome

MOMENTS = {
    "data set": ("write_text", 3, "before"),
    "state": ("put", 9, "before"),
    "task's result": ("put_writes", 12, "before"),
    "call": ("start", 4, "before"),
    "reply": ("finish", 4, "before"),
    "batch": ("write_text", 30, "before"),
    "log": ("append", 20, "before"),
    "training set": ("train", 3, "before"),
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    with FakeProvider(answer) as provider:
        case = Case(tmp_path_factory.mktemp("unbroken"), provider)
        assert case.run() == 0, case.message
        return outcome(case.run_dir)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", MOMENTS)
def test_row_16_a_file_that_cannot_grow_stops_the_run_and_it_ends_as_if_it_had_not(unbroken, tmp_path, what):
    stop_and_go_on(unbroken, tmp_path, what, "limit")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["state", "call", "reply", "batch"])
def test_row_16_a_full_disk_stops_the_run_and_it_ends_as_if_it_had_not(unbroken, small_disk, what):
    stop_and_go_on(unbroken, small_disk, what, "fill")


def stop_and_go_on(expected, folder, what, do):
    point, nth, when = MOMENTS[what]
    with FakeProvider(answer) as provider:
        case = Case(folder, provider, concurrency=2)
        assert case.run({"at": point, "nth": nth, "when": when, "do": do}) == 1, case.message
        assert "Free some space" in case.message and "The same command goes on from here." in case.message
        assert "Traceback" not in case.message
        for path in [*case.run_dir.rglob("*.json"), *case.run_dir.rglob("*.jsonl")]:
            # The log may be torn, and the stand-in for an adapter is not written as a whole.
            if path.name[0] != "." and path.name != "events.jsonl" and path.parent.name != "adapter":
                text = path.read_text()
                for part in text.splitlines() if path.suffix == ".jsonl" else [text]:
                    json.loads(part)  # whole, or not there
        with contextlib.suppress(FileNotFoundError):
            (folder / "filler").unlink()
        assert case.run() == 0, case.message
        check_calls(case)
        check_rows(case.run_dir)
        assert outcome(case.run_dir) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "nth", "whole"),
    [("step", 3, 2), ("torch.save", 1, None), ("save_pretrained", 5, 8)],
    ids=["log", "checkpoint", "adapter"],
)
def test_row_16_training_on_a_full_disk_stops_and_ends_in_the_same_adapter(tmp_path, monkeypatch, point, nth, whole):
    pytest.importorskip("trl")
    from pada_graph.student import checkpoints, training
    from tests.faults.test_training_faults import contents, make_job, train
    from tests.faults.worker import sabotage

    straight, job = make_job(tmp_path / "straight"), make_job(tmp_path / "job")
    training.train(straight, lambda event: None)
    sabotage(monkeypatch, {"at": point, "nth": nth, "when": "before", "do": "limit"})
    with pytest.raises(StoppedError, match=r"cannot be written \(File too large\)\. Free some space"):
        train(job)
    assert not job.adapter.exists()
    assert (checkpoints.newest_checkpoint(job) or (None,))[0] == whole
    train(job)
    assert contents(job.adapter) == contents(straight.adapter)
