"""Going on with a run: contradictions between journal, graph state and files, the way out, and what may differ."""

import errno
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from pada_graph import run
from pada_graph.config import Role, RunConfig
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError, StoppedError
from pada_graph.nodes.recorded_config import record_config
from pada_graph.rundir import RunDir
from pada_graph.services import Reply
from pada_graph.teacher.journal import Call, Journal
from tests.fakes import FakePredictor, FakeTeacher, FakeTrainer, KilledError, fake_services, write_sums
from tests.graph.test_loop import config


class PaidTeacher(FakeTeacher):
    """A fake provider behind the real journal; `paid` counts what was asked of it."""

    def __init__(self, root: Path, **kwargs):
        super().__init__(**kwargs)
        self.journal, self.paid = Journal(root / "teacher_calls.sqlite"), Counter()

    def ask(self, role: Role, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        key = f"{item}/{attempt}/{hash(prompt)}"
        if reply := self.journal.find(key):
            return reply
        self.journal.start(Call(key, role, "fake", item, attempt, prompt))
        reply = super().ask(role, prompt, item=item, attempt=attempt)
        self.paid[key] += 1
        self.journal.finish(key, reply)
        return reply

    def close(self) -> None:
        self.journal.close()


class Session:
    """One try at a run: its fakes, and what became of it."""

    def __init__(self, sums: Path, root: Path, *, stop_at: int | None = None, **options):
        self.teacher, self.trainer = PaidTeacher(root, stop_at=stop_at), FakeTrainer()
        self.predictor = FakePredictor()
        services = fake_services(teacher=self.teacher, trainer=self.trainer, predictor=self.predictor)
        self.error: BaseException | None = None
        try:
            self.metrics = run(config(sums, iterations=1), root, services=services, **options)
        except (KilledError, InputError) as error:
            self.error = error

    @property
    def idle(self) -> bool:
        return not (self.teacher.paid or self.trainer.jobs or self.predictor.calls)


@pytest.fixture(scope="module")
def sums(tmp_path_factory) -> Path:
    return write_sums(tmp_path_factory.mktemp("data") / "sums")


@pytest.fixture(scope="module")
def whole(sums, tmp_path_factory) -> tuple[Path, Counter]:
    root = tmp_path_factory.mktemp("whole") / "run"
    session = Session(sums, root)
    return root, session.teacher.paid


@pytest.fixture(scope="module")
def stopped_once(sums, tmp_path_factory) -> tuple[Path, Counter]:
    """A run that stopped among the batches of its round, and what it had paid."""
    root = tmp_path_factory.mktemp("stopped") / "run"
    session = Session(sums, root, stop_at=9)
    assert isinstance(session.error, KilledError)
    return root, session.teacher.paid


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    return Path(shutil.copytree(stopped_once[0], tmp_path / "run"))


def refused(session: Session, *words: str) -> None:
    assert isinstance(session.error, InputError) and session.idle
    for word in (*words, "--rebuild-state"):
        assert word in str(session.error)


def test_a_resumed_run_pays_for_what_is_missing_alone(sums, stopped, stopped_once, whole):
    session = Session(sums, stopped)
    assert session.error is None
    assert session.teacher.paid + stopped_once[1] == whole[1]
    training_file = "iteration_1/train.jsonl"
    assert (stopped / training_file).read_bytes() == (whole[0] / training_file).read_bytes()


def test_files_and_a_journal_without_any_graph_state_are_no_new_run(sums, stopped):
    (stopped / "heads.json").unlink()
    for path in stopped.glob("checkpoints.sqlite*"):
        path.unlink()
    refused(Session(sums, stopped), "the graph state is empty, but the run has iteration_0", "finished calls in")
    (stopped / "teacher_calls.sqlite").unlink()
    refused(Session(sums, stopped), "the graph state is empty, but the run has iteration_0")


def test_an_older_copy_of_the_checkpoints_is_found_out(sums, stopped, stopped_once, tmp_path):
    assert Session(sums, stopped, stop_at=20).error is not None or (stopped / "metrics.json").exists()
    for path in stopped.glob("checkpoints.sqlite*"):
        path.unlink()
    for path in stopped_once[0].glob("checkpoints.sqlite*"):
        shutil.copy(path, stopped)
    refused(Session(sums, stopped), "the graph state is behind", "checkpoints.sqlite lacks checkpoint")


@pytest.mark.parametrize("name", ["predictions_validation.jsonl", "predictions_train.jsonl", "train.jsonl"])
@pytest.mark.parametrize("change", ["removed", "edited"])
def test_a_file_that_the_graph_state_names_has_to_be_the_same(sums, stopped, name, change):
    path = stopped / "iteration_0" / name
    if change == "removed":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("What", "what", 1))
    words = f"{name} is missing" if change == "removed" else f"{name} is not the file that the graph state names"
    refused(Session(sums, stopped), "the files are behind the graph state", words)


def test_a_finished_run_without_its_summary_is_not_taken_for_finished(sums, whole, tmp_path):
    root = Path(shutil.copytree(whole[0], tmp_path / "run"))
    (root / "metrics.json").unlink()
    refused(Session(sums, root), "metrics.json is missing, and the run was finished")
    session = Session(sums, root, rebuild_state=True)
    assert session.idle is False and not session.teacher.paid  # the adapters are a stand-in's: trained at each call
    assert json.loads((root / "metrics.json").read_text()) == session.metrics


@pytest.mark.parametrize("lost", ["checkpoints", "heads and checkpoints", "a prediction file"])
def test_a_rebuilt_state_pays_and_predicts_nothing_twice(sums, stopped, stopped_once, whole, lost):
    if "checkpoints" in lost:
        (stopped / "checkpoints.sqlite").unlink()
    if "heads" in lost:
        (stopped / "heads.json").unlink()
    if lost == "a prediction file":
        (stopped / "iteration_0/predictions_train.jsonl").unlink()
    refused(Session(sums, stopped))
    session = Session(sums, stopped, rebuild_state=True)
    assert session.error is None
    assert session.teacher.paid + stopped_once[1] == whole[1]
    asked = Counter(str(adapter.parent.name if adapter else None) for adapter, _ in session.predictor.calls)
    again = {"iteration_0": 1} if lost == "a prediction file" else {}
    assert asked == Counter({"iteration_1": 2, "None": 1, "iteration_0": 1}) + Counter(again)  # test split, iteration 1
    training_file = "iteration_1/train.jsonl"
    assert (stopped / training_file).read_bytes() == (whole[0] / training_file).read_bytes()


def test_answers_of_an_adapter_that_was_lost_are_asked_of_the_one_that_is_trained_anew(sums, stopped):
    shutil.rmtree(stopped / "iteration_0/adapter")
    refused(Session(sums, stopped), "iteration_0/adapter is missing")
    session = Session(sums, stopped, rebuild_state=True)
    assert session.error is None
    asked = Counter(adapter.parent.name for adapter, _ in session.predictor.calls if adapter)
    assert asked["iteration_0"] == 3  # validation, train and test; the test split alone where it was not lost


@pytest.mark.parametrize("files", ["gone", "longer"])
def test_a_run_whose_sizes_came_from_its_files_goes_on_whatever_became_of_them(tmp_path, files):
    sums, root = write_sums(tmp_path / "sums"), tmp_path / "run"

    def settings() -> RunConfig:
        raw = config(sums, iterations=1).model_dump()
        raw["data"] = {"source": str(sums), "match": "number"}
        return parse_config(raw, "test")

    with pytest.raises(KilledError):
        run(settings(), root, services=fake_services(teacher=FakeTeacher(stop_at=9)))
    if files == "gone":
        shutil.rmtree(sums)
    else:
        with (sums / "train.jsonl").open("a") as file:
            file.write('{"prompt": "What is 1 plus 1?", "answer": "2"}\n')
    metrics = run(settings(), root, services=fake_services())
    assert metrics["stop_reason"] == "the only round is done"
    sizes = json.loads((root / "resolved_config.json").read_text())["data"]
    assert (sizes["train_size"], sizes["validation_size"], sizes["test_size"]) == (20, 12, 12)


def test_the_flag_changes_nothing_where_nothing_contradicts(sums, stopped, stopped_once, whole):
    session = Session(sums, stopped, rebuild_state=True)
    assert session.teacher.paid + stopped_once[1] == whole[1]
    assert [job.adapter.parent.name for job in session.trainer.jobs] == ["iteration_1"]
    assert not list(stopped.glob("*damaged*"))


def test_a_step_whose_results_are_stored_goes_on_after_it(sums, stopped, stopped_once):
    """A kill between a step's results and its checkpoint: no task is left to do, and the run is not finished."""
    with SqliteSaver.from_conn_string(str(stopped / "checkpoints.sqlite")) as saver:
        thread = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}
        newest = next(c for c in saver.list(thread) if c.metadata["step"] == 2)  # fine_tune's; evaluate is next
        assert newest.pending_writes
        saver.conn.execute(
            "DELETE FROM checkpoints WHERE checkpoint_id > ?", (newest.config["configurable"]["checkpoint_id"],)
        )
        saver.conn.commit()
    (stopped / "heads.json").unlink()
    session = Session(sums, stopped)
    assert session.error is None and [job.adapter.parent.name for job in session.trainer.jobs] == ["iteration_1"]


def test_another_saver_than_before_is_found_out(sums, tmp_path):
    first = InMemorySaver()
    assert isinstance(Session(sums, tmp_path / "run", stop_at=9, checkpointer=first).error, KilledError)
    refused(Session(sums, tmp_path / "run", checkpointer=InMemorySaver()), "the given InMemorySaver lacks checkpoint")
    other = InMemorySaver()
    rebuilt = Session(sums, tmp_path / "run", checkpointer=other, rebuild_state=True)
    assert rebuilt.error is None and rebuilt.idle is False


def test_a_run_that_began_with_a_saver_asks_for_it(sums, tmp_path):
    root = tmp_path / "run"
    Session(sums, root, stop_at=9, checkpointer=InMemorySaver())
    refused(Session(sums, root), "in the saver that the run was started with: give that one (checkpointer=...)")
    assert Session(sums, root, rebuild_state=True).error is None


def test_a_refused_resume_changes_no_limit(sums, stopped):
    (stopped / "iteration_0/predictions_train.jsonl").unlink()
    before = (stopped / "resolved_config.json").read_bytes()
    with pytest.raises(InputError, match="Nothing was changed"):
        run(config(sums, iterations=1, limits__max_calls=70), stopped, services=fake_services())
    assert (stopped / "resolved_config.json").read_bytes() == before
    run(config(sums, iterations=1, limits__max_calls=70), stopped, services=fake_services(), rebuild_state=True)
    assert json.loads((stopped / "resolved_config.json").read_text())["limits"]["max_calls"] == 70


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoppedError),
        (PermissionError(errno.EACCES, "Permission denied"), StoppedError),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), ConnectionRefusedError),
        (OSError("a library's own"), OSError),
    ],
)
def test_only_errors_of_the_disk_ask_for_space_or_permissions(sums, tmp_path, error, raised):
    class Failing(FakeTrainer):
        def train(self, job, progress):
            raise error

    with pytest.raises(raised) as found:
        run(config(sums, iterations=1), tmp_path / "run", services=fake_services(trainer=Failing()))
    assert ("Free some space or mend the permissions" in str(found.value)) is (raised is StoppedError)


def test_a_rebuilt_run_leaves_the_savers_other_threads_alone(sums, tmp_path):
    saver, root = InMemorySaver(), tmp_path / "run"
    Session(sums, root, stop_at=9, checkpointer=saver)
    (thread,) = {c.config["configurable"]["thread_id"] for c in saver.list(None)}
    kept = len(list(saver.list({"configurable": {"thread_id": thread}})))
    (root / "iteration_0/predictions_train.jsonl").unlink()
    assert Session(sums, root, checkpointer=saver, rebuild_state=True).error is None
    assert len(list(saver.list({"configurable": {"thread_id": thread}}))) == kept
    assert json.loads((root / "heads.json").read_text())["thread"] != thread


def test_two_runs_share_a_saver_without_sharing_a_thread(sums, tmp_path):
    saver = InMemorySaver()
    for name in ("a", "b"):
        Session(sums, tmp_path / name, stop_at=9, checkpointer=saver)
    threads = {json.loads((tmp_path / name / "heads.json").read_text())["thread"] for name in ("a", "b")}
    assert len(threads) == 2 == len({c.config["configurable"]["thread_id"] for c in saver.list(None)})


# ---------------------------------------------------------------------------------------------- another configuration

JUDGE = {"model": "openai:m", "temperature": 0.0, "base_url": "http://one", "api_key": "sk-one", "top_p": 0.5}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"student__training": {"epochs": 9}}, "student.training.epochs"),
        ({"student__lora": {"r": 8}}, "student.lora.r"),
        ({"student__model": "builtin:tiny"}, "student.model"),
        ({"data__train_size": 10}, "data.train_size"),
        ({"seed": 1}, "seed"),
        ({"iterations": 3}, "iterations"),
        ({"quality__threshold": 6}, "quality.threshold"),
        ({"quality__max_regenerations": 4}, "quality.max_regenerations"),
        ({"models__judge": {**JUDGE, "temperature": 0.5}}, "models.judge.temperature"),
        ({"models__judge": {**JUDGE, "model": "openai:n"}}, "models.judge.model"),
        ({"models__judge": {**JUDGE, "top_p": 0.6}}, "models.judge.top_p"),
        ({"models__judge": {**JUDGE, "api_key": "sk-two"}}, None),
        ({"models__judge": {**JUDGE, "base_url": "http://two"}}, None),
        ({"models__judge": {**JUDGE, "timeout": 3}}, None),
        ({"models__analyst": {"model": "openai:n"}}, None),  # has not answered any call yet
        ({"limits__max_calls": 7}, None),
        ({"limits__concurrency": 2}, None),
        ({"unsafe_code_execution": True}, None),
    ],
)
def test_a_changed_key_is_named_unless_it_raises_a_limit_or_tells_how_a_model_is_reached(
    sums, tmp_path, changes, named
):
    directory = RunDir(tmp_path / "run")
    record_config(directory, config(sums, models__judge=JUDGE))
    directory.write_json("data/manifest.json", {})
    journal = Journal(directory.path("teacher_calls.sqlite"))
    journal.start(Call("key", "judge", "openai:m", "item", 0, "prompt"))
    journal.finish("key", Reply("text", "stop", 1, 1))
    journal.close()
    changed = config(sums, **{"models__judge": JUDGE, **changes})
    before = directory.path("resolved_config.json").read_bytes()
    if named is None:
        record_config(directory, changed)
    else:
        with pytest.raises(InputError, match=rf"another configuration \({named}: [^,]* is recorded, [^,]* is given\)"):
            record_config(directory, changed)
        assert directory.path("resolved_config.json").read_bytes() == before
