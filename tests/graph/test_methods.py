"""The methods: each in the whole graph, with equal budgets, asking what it should and nothing else."""

import ast
import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

import pada_graph.methods
from pada_graph import run
from pada_graph.config import MethodName, RunConfig
from pada_graph.methods import get_method, rounds, used_roles
from pada_graph.methods.base import requested
from pada_graph.methods.llms_as_instructors_contrastive import NEIGHBOURS
from pada_graph.methods.pada_random_strategies import WEAKNESSES
from pada_graph.nodes.run import Rows, Run
from pada_graph.rundir import RunDir
from pada_graph.tasks import get_task
from tests.fakes import FakeEmbedder, FakePredictor, FakeTeacher, FakeTrainer, fake_services, sums_config, write_sums

METHODS = get_args(MethodName)
AUGMENTING = [name for name in METHODS if name != "vanilla"]
FOLDER = Path(pada_graph.methods.__file__).parent


class Ran:
    """One finished run of two rounds on sums."""

    def __init__(self, folder: Path, method: str, **changes: Any):
        self.teacher, self.trainer = changes.pop("teacher", FakeTeacher()), FakeTrainer()
        self.predictor = changes.pop("predictor", FakePredictor())
        self.config = sums_config(write_sums(folder / "sums"), method=method, **changes)
        services = fake_services(teacher=self.teacher, trainer=self.trainer, predictor=self.predictor)
        self.dir = RunDir(folder / "run")
        self.metrics = run(self.config, self.dir.root, services=services)

    def asked(self, role: str = "generator") -> list[str]:
        return [prompt for found, _, _, prompt in self.teacher.prompts if found == role]

    def prompt_of(self, plan: dict[str, Any]) -> str:
        """What the generator was asked first for a batch."""
        item = f"t{plan['iteration']}/generate/{plan['batch_id']}"
        return next(prompt for _, found, attempt, prompt in self.teacher.prompts if found == item and attempt == 0)

    def rows(self, name: str, iteration: int = 1) -> list[Any]:
        return self.dir.read_jsonl(f"iteration_{iteration}/{name}.jsonl")


def test_every_name_has_a_file_of_its_own_and_every_file_a_name():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "base"}
    assert files == set(METHODS)
    assert len({type(get_method(name)) for name in METHODS}) == len(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_file_is_short_and_cites_its_source(name):
    text = (FOLDER / f"{name}.py").read_text()
    assert text.count("\n") < 150
    assert re.search(r"arXiv|Table 1|Appendix|not in the paper", ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize("name", AUGMENTING)
def test_budgets_are_equal(name, tmp_path):
    """Requested samples, rounds, training recipe, evaluated rows and seeds of every method are PaDA-Agent's."""
    mine = Ran(tmp_path / "mine", name)
    assert mine.metrics["accounting"]["requested"] == 2 * requested(mine.config) == 20
    assert [entry["accounting"]["requested"] for entry in mine.metrics["iterations"][1:]] == [10, 10]
    assert [entry["synthetic_rows"] for entry in mine.metrics["iterations"]] == [0, 10, 20]
    reference = Ran(tmp_path / "pada", "pada")
    jobs = [[(job.model, job.lora, job.training, job.seed) for job in ran.trainer.jobs] for ran in (mine, reference)]
    assert jobs[0] == jobs[1] and len(jobs[0]) == 3
    for split in ("validation", "test"):
        scored = [
            [entry[split] and entry[split]["n"] for entry in ran.metrics["iterations"]] for ran in (mine, reference)
        ]
        assert scored[0] == scored[1]
    for name_ in ("data/train.jsonl", "iteration_0/train.jsonl", "iteration_0/predictions_test.jsonl"):
        assert mine.dir.artifact(name_) == reference.dir.artifact(name_)


@pytest.mark.parametrize("name", METHODS)
def test_only_the_roles_that_a_method_uses_are_asked(name, tmp_path):
    ran = Ran(tmp_path, name)
    expected = {"pada": ("analyst", "generator", "judge"), "pada_random_strategies": ("analyst", "generator", "judge")}
    none = ("vanilla", "vanilla_repeated")
    roles = expected.get(name, () if name in none else ("generator",))
    assert used_roles(ran.config) == roles
    assert {role for role, *_ in ran.teacher.prompts} == set(roles)


@pytest.mark.parametrize("name", AUGMENTING)
def test_train_is_predicted_only_for_a_method_that_starts_from_its_errors(name, tmp_path):
    ran = Ran(tmp_path, name)
    uses = name not in ("auggpt", "vanilla_repeated")
    assert [bool(entry["train"]) for entry in ran.metrics["iterations"]] == [uses, uses, False]


def test_vanilla_has_no_round(tmp_path):
    ran = Ran(tmp_path, "vanilla")
    assert rounds(ran.config) == 0 and len(ran.trainer.jobs) == 1
    assert ran.metrics["stop_reason"] == "vanilla fine-tuning has no rounds"


def test_repeated_rows_are_train_rows_and_nothing_is_asked_or_screened(tmp_path):
    ran = Ran(tmp_path, "vanilla_repeated")
    train = {(row["prompt"], row["answer"]) for row in ran.dir.read_jsonl("data/train.jsonl")}
    for iteration in (1, 2):
        samples = ran.rows("synthetic_accepted", iteration)
        assert {(s["row"]["prompt"], s["row"]["answer"]) for s in samples} <= train and len(samples) == 10
        assert all(s["generator"] == "" and s["row"]["id"] == s["id"] for s in samples)
        assert len({s["seed_id"] for s in samples}) == 10  # drawn without replacement
    first, second = ([s["seed_id"] for s in ran.rows("synthetic_accepted", iteration)] for iteration in (1, 2))
    assert first != second


def test_auggpt_rewords_random_rows_six_times_and_keeps_their_answers(tmp_path):
    ran = Ran(tmp_path, "auggpt")
    plans = ran.rows("plan")
    assert [len(plan["slots"]) for plan in plans] == [6, 4] and {plan["branch"] for plan in plans} == {"train"}
    assert all(len({slot["seed_id"] for slot in plan["slots"]}) == 1 for plan in plans)
    train = {row["id"]: row for row in ran.dir.read_jsonl("data/train.jsonl")}
    for sample in ran.rows("synthetic_accepted"):
        seed = train[sample["seed_id"]]
        assert sample["row"]["answer"] == seed["answer"] and sample["row"]["prompt"] != seed["prompt"]
        assert seed["prompt"] in sample["row"]["prompt"]  # what the fake calls rewording
    assert len(ran.asked()) == 4 and "wrong" not in "".join(ran.asked()).lower()


def test_instructors_see_question_and_wrong_answer_but_not_the_right_one(tmp_path):
    ran = Ran(tmp_path, "llms_as_instructors")
    wrong = {p["id"]: p for p in ran.dir.read_jsonl("iteration_0/predictions_train.jsonl") if not p["correct"]}
    plans = ran.rows("plan")
    assert len(plans) == 10 and all(len(plan["slots"]) == 1 for plan in plans)  # more wrong rows than samples
    for plan in plans:
        prompt, failure = ran.prompt_of(plan), wrong[plan["slots"][0]["seed_id"]]
        assert json.dumps(failure["prompt"]) in prompt and json.dumps(failure["output"]) in prompt
        assert failure["target"] not in prompt and "GOT_RIGHT" not in prompt


def test_instructors_share_the_samples_evenly_where_errors_are_few(tmp_path):
    ran = Ran(tmp_path, "llms_as_instructors", predictor=FakePredictor(known=13, per_row=0.1), iterations=1)
    failed = sum(not p["correct"] for p in ran.dir.read_jsonl("iteration_0/predictions_train.jsonl"))
    assert failed == 5 and [len(plan["slots"]) for plan in ran.rows("plan")] == [2] * 5
    assert ran.metrics["accounting"]["accepted"] == 10


def test_contrast_is_the_nearest_questions_that_the_student_has_right(tmp_path):
    ran = Ran(tmp_path, "llms_as_instructors_contrastive", predictor=FakePredictor(known=6), iterations=1)
    predictions = {p["id"]: p for p in ran.dir.read_jsonl("iteration_0/predictions_train.jsonl")}
    right = [id_ for id_, p in predictions.items() if p["correct"]]
    vectors = dict(zip(predictions, FakeEmbedder().embed([p["prompt"] for p in predictions.values()]), strict=True))
    for plan in ran.rows("plan"):
        prompt, seed = ran.prompt_of(plan), plan["slots"][0]["seed_id"]
        near = sorted(right, key=lambda id_: -float(vectors[seed] @ vectors[id_]))[:NEIGHBOURS]
        shown = [id_ for id_, p in predictions.items() if json.dumps(p["prompt"]) in prompt and id_ != seed]
        assert set(shown) == set(near) and len(near) == 3
        assert not any(predictions[id_]["target"] in prompt for id_ in near)


@pytest.mark.parametrize(("known", "calls"), [(2, 10), (13, 5)])
def test_llm2llm_shares_the_samples_among_wrong_train_rows_and_never_shows_the_wrong_answer(tmp_path, known, calls):
    ran = Ran(tmp_path, "llm2llm", predictor=FakePredictor(known=known, per_row=0.1), generation__batch_size=2)
    wrong = {p["id"]: p for p in ran.dir.read_jsonl("iteration_0/predictions_train.jsonl") if not p["correct"]}
    plans = ran.rows("plan")
    seeds = [slot["seed_id"] for plan in plans for slot in plan["slots"]]
    assert len(plans) == calls and len(seeds) == 10 and set(seeds) <= set(wrong)
    assert max(Counter(seeds).values()) == 10 // calls
    for plan in plans:
        prompt, failure = ran.prompt_of(plan), wrong[plan["slots"][0]["seed_id"]]
        assert failure["target"] in prompt and "no idea" not in prompt
        assert f"{len(plan['slots'])} in all and no two alike" in prompt


def test_many_samples_of_one_wrong_row_are_asked_for_in_batches(tmp_path):
    for name in ("llm2llm", "llms_as_instructors"):
        ran = Ran(tmp_path / name, name, predictor=FakePredictor(known=17, per_row=0.1), iterations=1)
        sizes = [len(plan["slots"]) for plan in ran.rows("plan")]
        assert sum(sizes) == 10 and max(sizes) == 3  # generation.batch_size
        assert ran.metrics["accounting"]["accepted"] == 10


def test_a_rewording_is_compared_by_what_was_reworded(tmp_path):
    """The choices, which AugGPT keeps, do not make a rewording a repetition; the same words do."""
    row = {"id": "r", "question": "What is its name?", "choices": ["a", "b"], "answer": "A"}
    rows = SimpleNamespace(own_words=str)
    run_ = SimpleNamespace(method=get_method("auggpt"), task=SimpleNamespace(reworded="question"), rows=rows)
    assert Run.novelty(run_, row) == "What is its name?"


def test_an_instruction_that_all_rows_share_does_not_make_a_rewording_a_repetition(tmp_path):
    directory, task, instruction = RunDir(tmp_path), get_task("jsonl"), " ".join(f"rule{k}" for k in range(40))
    rows = [{"id": f"r{k}", "prompt": f"{instruction} What is {k} and {k}?", "answer": "1"} for k in range(20)]
    directory.write_json("data/manifest.json", {"train": directory.write_jsonl("data/train.jsonl", rows)})
    run_ = SimpleNamespace(method=get_method("auggpt"), task=task, rows=Rows(directory, task))
    assert Run.novelty(run_, {"prompt": f"{instruction} Add 3 to 3."}) == "Add 3 to 3."


def test_a_baselines_repetition_is_asked_for_again_and_told(tmp_path):
    def copies(role: str, item: str, attempt: int, text: str) -> str:
        if attempt or not item.startswith("t1/generate/t1-e-b0"):
            return text
        (sample,) = json.loads(text)
        row = json.loads((tmp_path / "sums/train.jsonl").read_text().splitlines()[0])
        return json.dumps([{**sample, **row}])

    ran = Ran(tmp_path, "llm2llm", teacher=FakeTeacher(mangle=copies), iterations=1)
    again = [(attempt, prompt) for _, item, attempt, prompt in ran.teacher.prompts if item == "t1/generate/t1-e-b0"]
    assert [attempt for attempt, _ in again] == [0, 1]
    assert "FEEDBACK_ON_THE_PREVIOUS_ATTEMPT" in again[1][1] and "FEEDBACK" not in again[0][1]
    assert ran.metrics["accounting"]["accepted"] == 10


@pytest.mark.parametrize("name", ["llms_as_instructors", "llms_as_instructors_contrastive", "llm2llm", "pada"])
def test_a_method_that_needs_failures_ends_without_any(name, tmp_path):
    ran = Ran(tmp_path, name, predictor=FakePredictor(known=100))
    splits = "0 on validation, 0 on train" if name == "pada" else "0 on train"
    expected = f"after round 0 there is no failure left to learn from: {splits}"
    assert ran.metrics["stop_reason"] == expected and not ran.teacher.prompts


def test_pada_with_both_branches_off_says_that_nothing_is_left_to_learn_from(tmp_path):
    ran = Ran(tmp_path, "pada", patterns__enabled=False, train_errors__enabled=False)
    assert "both switched off" in ran.metrics["stop_reason"] and not ran.teacher.prompts


def test_a_note_tells_of_train_errors_that_start_many_samples(tmp_path):
    ran = Ran(tmp_path, "pada", predictor=FakePredictor(known=17, per_row=0.1), iterations=1)
    wrong = [p for p in ran.dir.read_jsonl("iteration_0/predictions_train.jsonl") if not p["correct"]]
    assert len(wrong) == 1 and "round 1: 10 samples start from 1 train error" in ran.metrics["notes"]


def test_a_note_tells_of_strategies_without_a_sample(tmp_path):
    ran = Ran(tmp_path, "pada_random_strategies", iterations=1, generation__ratio=0.1, patterns__min_clusters=5)
    drafted = ran.rows("strategies")
    assert len(drafted) >= 5
    said = f"round 1: {len(drafted) - 1} of {len(drafted)} strategies get none of the 1 samples"
    assert said in ran.metrics["notes"]


@pytest.mark.parametrize("name", ["auggpt", "vanilla_repeated", "pada_random_strategies"])
def test_a_method_that_needs_no_failures_goes_on_without_any(name, tmp_path):
    ran = Ran(tmp_path, name, predictor=FakePredictor(known=100))
    assert ran.metrics["accounting"]["accepted"] == 20


def test_random_strategies_come_from_no_failure_and_differ_between_rounds_and_seeds(tmp_path):
    ran, other = (
        Ran(tmp_path / "one", "pada_random_strategies"),
        Ran(tmp_path / "two", "pada_random_strategies", seed=1),
    )
    names = [[p["category_name"] for p in r.rows("patterns", t)] for r in (ran, other) for t in (1, 2)]
    assert all(2 <= len(found) <= 10 and set(found) <= {name for name, _ in WEAKNESSES} for found in names)
    assert len({tuple(found) for found in names}) > 1
    analyst = "".join(ran.asked("analyst"))
    for failure in ran.dir.read_jsonl("iteration_0/predictions_validation.jsonl"):
        assert failure["prompt"] not in analyst
    assert not any(prompt.startswith("Analyze these") for prompt in ran.asked("analyst"))
    assert {s["branch"] for s in ran.rows("synthetic_accepted")} == {"pattern", "error"}
    with_pattern = [s for s in ran.rows("synthetic_accepted") if s["branch"] == "pattern"]
    assert len(with_pattern) == 5 and all(s["pattern_id"] for s in with_pattern)


def test_ablations_switch_one_part_of_pada_off(tmp_path):
    """Table 2: without generalization patterns, without train errors, without quality control."""
    without = {
        "patterns": Ran(tmp_path / "p", "pada", patterns__enabled=False, iterations=1),
        "errors": Ran(tmp_path / "e", "pada", train_errors__enabled=False, iterations=1),
        "quality": Ran(tmp_path / "q", "pada", quality__enabled=False, iterations=1),
    }
    for ran in without.values():
        assert ran.metrics["accounting"]["requested"] == ran.metrics["accounting"]["accepted"] == 10
    branches = {part: {s["branch"] for s in ran.rows("synthetic_accepted")} for part, ran in without.items()}
    assert branches == {"patterns": {"error"}, "errors": {"pattern"}, "quality": {"pattern", "error"}}
    assert not without["patterns"].asked("analyst") and not without["quality"].asked("judge")
    assert "GOT_WRONG" not in "".join(without["errors"].asked())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_named_in_a_configuration(name):
    assert RunConfig.model_validate({"method": name}).method == name
