"""The paper's tables from a grid of runs on fakes: what is run, what is shared, what a failure costs."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pada_graph import reproduce as reproducing
from pada_graph.config import RunConfig
from pada_graph.errors import InputError, StoppedError
from pada_graph.runner import run
from pada_graph.services import Services
from tests.fakes import FakePredictor, FakeTeacher, FakeTrainer, KilledError, fake_services, sums_config, write_sums


class Trainer(FakeTrainer):
    """Does nothing where the adapter is there, as the protocol says."""

    def train(self, job, progress) -> None:
        if not job.adapter.exists():
            super().train(job, progress)


class Machine:
    """Services of every cell, and what they were asked for."""

    def __init__(self) -> None:
        self.trained: list[Path] = []
        self.answered: list[tuple[Path, Path | None, int]] = []  # run directory, adapter, prompts
        self.teachers: dict[str, FakeTeacher] = {}
        self.broken: dict[str, Exception | BaseException] = {}  # part of a cell's name -> what its training raises

    def __call__(self, config: RunConfig, place: Path) -> Services:
        machine = self

        class Watched(Trainer):
            def train(self, job, progress) -> None:
                if not job.adapter.exists():
                    machine.trained.append(job.adapter)
                    for part, error in machine.broken.items():
                        if part in place.name:
                            raise error
                super().train(job, progress)

        class Predictor(FakePredictor):
            def predict(self, adapter, prompts, **settings):
                machine.answered.append((place, adapter, len(prompts)))
                return super().predict(adapter, prompts, **settings)

        self.teachers[place.name] = FakeTeacher()
        return fake_services(trainer=Watched(), predictor=Predictor(), teacher=self.teachers[place.name])

    @property
    def calls(self) -> int:
        return sum(len(teacher.prompts) for teacher in self.teachers.values())


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return sums_config(write_sums(tmp_path / "sums"), iterations=1)


def table1(config: RunConfig, out: Path, machine: Machine, **options):
    defaults = {"methods": ["pada", "vanilla"], "tasks": ["jsonl"], "sizes": [20], "seeds": [0]}
    return reproducing.reproduce("table1", config, out, services=machine, **{**defaults, **options})


def table2(config: RunConfig, out: Path, machine: Machine, **options):
    defaults = {"tasks": ["jsonl"], "sizes": [20], "seeds": [0]}
    return reproducing.reproduce("table2", config, out, services=machine, **{**defaults, **options})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_table_has_each_cell_as_a_finished_run_directory(config, tmp_path):
    result = table1(config, tmp_path / "out", Machine(), sizes=[10, 20], seeds=[4])
    assert not result["missing"] and len(result["cells"]) == 4
    for cell in result["cells"]:
        metrics = json.loads((tmp_path / "out" / cell["directory"] / "metrics.json").read_text())
        method, size, seed = cell["name"].split("-")[1:4]
        assert (metrics["method"], metrics["seed"]) == (method, int(seed[1:]))
        assert metrics["iterations"][0]["train_rows"] == int(size[1:])
    accuracies = {(row["size"], row["variant"]): row["accuracy"] for row in result["rows"]}
    # FakePredictor: 2 right of 12, and one more for each ten training rows
    assert accuracies == {
        (10, "untuned"): 2 / 12, (10, "vanilla"): 3 / 12, (10, "pada"): 3 / 12,
        (20, "untuned"): 2 / 12, (20, "vanilla"): 4 / 12, (20, "pada"): 5 / 12,
    }  # fmt: skip


def test_a_second_call_does_nothing(config, tmp_path):
    table1(config, tmp_path / "out", Machine())
    before, again, said = files(tmp_path / "out"), Machine(), []
    table1(config, tmp_path / "out", again, say=said.append)
    assert (again.trained, again.answered, again.calls, said) == ([], [], 0, [])
    assert files(tmp_path / "out") == before


def test_iteration_0_is_trained_once_for_all_methods_and_ablations(config, tmp_path):
    machine = Machine()
    table1(config, tmp_path / "out", machine, sizes=[10], seeds=[0, 1])
    table2(config, tmp_path / "out", machine, sizes=[10], seeds=[0, 1])
    rounds = Counter(adapter.parent.name for adapter in machine.trained)
    assert rounds["iteration_0"] == 2  # one a size and seed
    assert rounds["iteration_1"] == 2 * 4  # pada and its ablations; table 2 takes table 1's pada cells as they are
    untuned = [place for place, adapter, _ in machine.answered if adapter is None]
    assert len(untuned) == 2  # validation and test, by the first cell of all
    first = [place for place, adapter, _ in machine.answered if adapter and adapter.parent.name == "iteration_0"]
    assert len(first) == 2 * 3  # and train, by the first cell that needs it


def test_a_cell_that_took_iteration_0_over_is_byte_for_byte_one_run_alone(config, tmp_path):
    table1(config, tmp_path / "out", Machine(), seeds=[2, 3])
    (first,) = (tmp_path / "out/cells").glob("jsonl-vanilla-*-s3-*")
    taken = json.loads((first / "inherited.json").read_text())["files"]
    assert taken.keys() == {f"untuned/predictions_{split}.jsonl" for split in ("validation", "test")}  # of seed 2
    (cell,) = (tmp_path / "out/cells").glob("jsonl-pada-*-s3-*")
    assert (cell / "inherited.json").exists()
    alone = config.model_copy(update={"seed": 3, "method": "pada"})
    run(alone, tmp_path / "alone", services=fake_services(trainer=Trainer()))
    one, two = files(cell), files(tmp_path / "alone")
    own = {"inherited.json", "cell.json"}
    logs = {"events.jsonl", "heads.json", "checkpoints.sqlite", "metrics.json", "report.html"}  # these hold times
    assert one.keys() - own == two.keys()
    assert {name: one[name] for name in two.keys() - logs} == {name: two[name] for name in two.keys() - logs}
    mine, theirs = (json.loads(found["metrics.json"]) for found in (one, two))
    assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


def test_a_damaged_cell_gives_nothing_away(config, tmp_path):
    table1(config, tmp_path / "out", Machine(), methods=["vanilla"])
    (vanilla,) = (tmp_path / "out/cells").glob("jsonl-vanilla-*")
    path = vanilla / "iteration_0/predictions_test.jsonl"
    path.write_text(path.read_text().replace("no idea", "no clue"))
    machine, said = Machine(), []
    table1(config, tmp_path / "out", machine, say=said.append)
    assert Counter(adapter.parent.name for adapter in machine.trained) == {"iteration_0": 1, "iteration_1": 1}
    assert any("takes nothing over" in line and "predictions_test.jsonl" in line for line in said)


def test_what_was_taken_over_and_changed_before_the_cell_began_is_a_contradiction(config, tmp_path):
    """Files that no graph state knows stop a run, unless they are exactly those that it was given."""
    machine = Machine()
    machine.broken["pada"] = KilledError()
    out = tmp_path / "out"
    with pytest.raises(KilledError):
        table1(config, out, machine)
    (cell,) = (out / "cells").glob("jsonl-pada-*")
    for left in ("checkpoints.sqlite", "checkpoints.sqlite-wal", "checkpoints.sqlite-shm", "heads.json"):
        (cell / left).unlink(missing_ok=True)
    answers = cell / "iteration_0/predictions_test.jsonl"
    answers.write_text(answers.read_text().replace("no idea", "no clue"))
    result = table1(config, out, Machine())
    (missing,) = result["missing"]
    assert "the graph state is empty, but the run has iteration_0" in missing["missing"]


def test_an_error_of_a_library_stops_its_cell_alone(config, tmp_path):
    machine = Machine()
    machine.broken["vanilla-n10"] = RuntimeError("CUDA out of memory")
    result = table1(config, tmp_path / "out", machine, sizes=[10, 20])
    (missing,) = result["missing"]
    assert missing["missing"] == "RuntimeError: CUDA out of memory"
    assert {row["size"] for row in result["rows"] if row["variant"] == "pada"} == {10, 20}


def test_a_damaged_record_of_a_cell_counts_as_none(config, tmp_path):
    table1(config, tmp_path / "out", Machine())
    for record in (tmp_path / "out/cells").glob("*/cell.json"):
        record.write_text(record.read_text()[:20])
    again = Machine()
    assert not table1(config, tmp_path / "out", again)["missing"]
    assert again.trained == [] and again.calls == 0  # the runs themselves are finished


def test_a_cell_that_fails_does_not_stop_the_others_and_is_alone_run_again(config, tmp_path):
    out, machine = tmp_path / "out", Machine()
    machine.broken["vanilla-n10"] = StoppedError("the provider was | away")
    result = table1(config, out, machine, sizes=[10, 20])
    (missing,) = result["missing"]
    assert "vanilla-n10" in missing["name"] and missing["missing"] == "the provider was | away"
    assert {row["size"] for row in result["rows"] if row["variant"] == "pada"} == {10, 20}
    assert "the provider was \\| away" in (out / "table1.md").read_text()
    assert "Incomplete: 3 of 4 cells" in (out / "table1.md").read_text()
    assert "the provider was | away" in (out / "report.html").read_text()
    again = Machine()
    result = table1(config, out, again, sizes=[10, 20])
    assert not result["missing"]
    assert list(again.teachers) == [missing["name"]]
    assert len(again.trained) == 1  # its own: it had begun, so that it takes nothing over
    assert json.loads((out / "failures.json").read_text()) == {}


def test_a_killed_grid_goes_on_with_the_cell_that_was_at_work(config, tmp_path):
    out, machine = tmp_path / "out", Machine()
    machine.broken["pada"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        table1(config, out, machine)
    paid = machine.calls
    assert paid > 0 and "jsonl-pada-n20-s0" in (out / "table1.md").read_text().partition("Missing")[2]
    again = Machine()
    assert not table1(config, out, again)["missing"]
    assert [adapter.parent.name for adapter in again.trained] == ["iteration_1"]
    assert again.calls == 0  # what the fake teacher said is in the graph state


def test_impossible_cells_are_all_named_before_anything_starts(config, tmp_path):
    machine = Machine()
    with pytest.raises(InputError) as refused:
        table1(config, tmp_path / "out", machine, sizes=[10, 21, 500])
    assert "Nothing was started" in str(refused.value)
    assert "jsonl 21: " in str(refused.value) and "jsonl 500: " in str(refused.value)
    assert "jsonl 10" not in str(refused.value)
    assert machine.teachers == {} and not (tmp_path / "out").exists()


def test_other_limits_and_addresses_are_the_same_cell_and_other_rows_another(config, tmp_path):
    out = tmp_path / "out"
    names = [cell["name"] for cell in table1(config, out, Machine())["cells"]]
    other = sums_config(tmp_path / "sums", iterations=1, limits__max_calls=1000)
    machine = Machine()
    assert [cell["name"] for cell in table1(other, out, machine)["cells"]] == names and machine.trained == []
    write_sums(tmp_path / "sums", test=11)
    smaller = sums_config(tmp_path / "sums", iterations=1, data__test_size=11)
    assert not set(names) & {cell["name"] for cell in table1(smaller, out, machine)["cells"]}


def test_vanilla_is_the_same_cell_whatever_the_augmentation_is(config, tmp_path):
    out, machine = tmp_path / "out", Machine()
    table1(config, out, machine)
    other = sums_config(tmp_path / "sums", iterations=1, generation__ratio=1.0)
    table1(other, out, machine)
    assert len(list((out / "cells").glob("jsonl-vanilla-*"))) == 1
    assert len(list((out / "cells").glob("jsonl-pada-*"))) == 2


def test_the_ablations_differ_in_their_switch_alone(config, tmp_path):
    out = tmp_path / "out"
    result = table2(config, out, Machine())
    configs = {
        cell["name"].split("-n20")[0]: json.loads(
            (tmp_path / "out" / cell["directory"] / "resolved_config.json").read_text()
        )
        for cell in result["cells"]
    }
    full = configs["jsonl-pada"]
    for ablation, section in (
        ("no_patterns", "patterns"),
        ("no_train_errors", "train_errors"),
        ("no_quality", "quality"),
    ):
        assert full[section]["enabled"] is True
        changed = {**full, section: {**full[section], "enabled": False}}
        assert configs[f"jsonl-pada-{ablation}"] == changed
    assert [item["against"] for item in result["comparisons"]] == ["pada"] * 3


def test_a_task_s_name_stands_in_for_task_in_the_source(tmp_path):
    write_sums(tmp_path / "data" / "jsonl")
    config = sums_config(tmp_path / "data" / "{task}", iterations=1)
    assert not table1(config, tmp_path / "out", Machine(), methods=["vanilla"])["missing"]


def test_two_at_once_are_refused(config, tmp_path):
    from pada_graph.lock import locked

    with locked(tmp_path / "out"), pytest.raises(InputError, match="already working"):
        table1(config, tmp_path / "out", Machine())


def test_on_ray_the_first_cells_run_side_by_side_and_then_the_rest(config, tmp_path, monkeypatch):
    waves: list[list[str]] = []

    def run_side_by_side(jobs) -> Iterator[tuple[Path, str | None]]:
        waves.append([path.name.rpartition("-")[0] for _, path in jobs])
        for settings, path in reversed(jobs):
            assert (path / "inherited.json").exists() == ("pada" in path.name)
            if "pada-n20" in path.name:
                yield path, "its worker was lost"
            else:
                local = settings.model_copy(update={"executor": "local"})
                run(local, path, services=fake_services(trainer=Trainer()))
                yield path, None

    monkeypatch.setattr("pada_graph.executors.ray.run_side_by_side", run_side_by_side)
    monkeypatch.setattr("pada_graph.reproduce.work.compare", lambda *_: None)  # fake adapters have no manifest
    config = RunConfig.model_validate({**config.model_dump(), "executor": "ray"})
    result = table1(config, tmp_path / "out", Machine(), sizes=[10, 20])
    assert waves == [["jsonl-vanilla-n10-s0", "jsonl-vanilla-n20-s0"], ["jsonl-pada-n10-s0", "jsonl-pada-n20-s0"]]
    assert [cell["missing"] for cell in result["missing"]] == ["its worker was lost"]
