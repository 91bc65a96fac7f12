"""What a teacher that repeats held-out rows gets past the guard in whole runs: nothing that its recall leaves open."""

import inspect
import json
import re
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pada_graph import RunConfig, run
from pada_graph.clustering import SentenceEmbedder
from pada_graph.near_duplicates import normalise
from pada_graph.nodes.run import Rows
from pada_graph.rundir import RunDir
from pada_graph.services import Completion
from pada_graph.tasks import get_task
from tests.fakes import FakeEmbedder, FakeTeacher, fake_services, jsonl, new_problem, write_sums

CANARY = "violet herons seldom borrow copper ladders while distant bells count winter evenings"
PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "rephrasings.jsonl").read_text(encoding="utf-8").splitlines()
]


def config(folder: Path, sizes=(20, 12, 12), **changes) -> RunConfig:
    """A small run on a jsonl data set."""
    train, validation, test = sizes
    raw = {
        "task": "jsonl",
        "iterations": 1,
        "data": {"source": str(folder), "train_size": train, "validation_size": validation, "test_size": test},
        "generation": {"batch_size": 3},
        "quality": {"enabled": False},
    }
    return RunConfig.model_validate(raw | changes)


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return write_sums(tmp_path / "sums")


class BagOfWords(FakeEmbedder):
    """Texts of the same words, in any order, have the same vector. Counts the texts of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        with self._lock:
            self.calls.append(len(texts))
        return super().embed([" ".join(sorted(normalise(text).split())) for text in texts])


def echoing(rows: list[dict], change) -> FakeTeacher:
    """A generator that writes nothing but changed copies of `rows`, each row once before any comes again."""
    lock, drawn = threading.Lock(), iter(range(10**6))

    def echo(role, item, attempt, text):
        if role != "generator":
            return text
        with lock:
            samples = json.loads(text)
            for sample in samples:
                row = rows[next(drawn) % len(rows)]
                sample.update(prompt=change(row["prompt"]), answer=row["answer"])
            return json.dumps(samples)

    return FakeTeacher(mangle=echo)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda text: text, "ngram"),
        (str.upper, "ngram"),
        (lambda text: "\n " + text.replace(" ", "\t  "), "ngram"),
        (lambda text: " ".join(reversed(text.split())), "embedding"),
    ],
    ids=["verbatim", "recased", "respaced", "reordered"],
)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_teacher_that_echoes_held_out_rows_gets_none_of_them_accepted(sums, tmp_path, split, change, kind):
    teacher = echoing(jsonl(sums / f"{split}.jsonl"), change)
    metrics = run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher, embedder=BagOfWords()))
    assert metrics["accounting"]["contaminated"] == metrics["accounting"]["requested"] == 10
    overlaps = jsonl(tmp_path / "run/iteration_1/overlaps.jsonl")
    assert Counter((o["subject"], o["kind"]) for o in overlaps) == {("sample", kind): 40}  # four attempts
    assert all(overlap["with_id"].startswith(f"{split}-") for overlap in overlaps)
    rejected = jsonl(tmp_path / "run/iteration_1/rejected.jsonl")
    assert [(entry["fate"], entry["overlap"]) for entry in rejected] == [("contaminated", kind)] * 10


@pytest.mark.slow
def test_rephrased_rows_pass_only_as_far_as_the_measured_recall_leaves_room(tmp_path):
    """The whole loop with real embeddings: every copy of rephrasings.jsonl is offered once."""
    copies = [pair for pair in PAIRS if pair["leak"]]
    folder = write_sums(tmp_path / "data", train=20, validation=1, test=12)
    originals = list(dict.fromkeys(pair["original"] for pair in copies))
    write(folder / "validation.jsonl", [{"prompt": text, "answer": "unknown"} for text in originals])
    teacher = echoing([{"prompt": pair["rephrased"], "answer": "unknown"} for pair in copies], str)
    settings = config(folder, (20, len(originals), 12), generation={"ratio": len(copies) / 20, "batch_size": 10})

    class Unable:
        def predict(self, adapter, prompts, *, max_new_tokens, stop):
            yield from (Completion(index, "no idea", truncated=False) for index in range(len(prompts)))

    embedder = SentenceEmbedder("builtin:minilm")
    services = fake_services(teacher=teacher, predictor=Unable(), embedder=embedder)
    metrics = run(settings, tmp_path / "run", services=services)
    accepted = {s["row"]["prompt"] for s in jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")}
    passed = [pair["kind"] for pair in copies if pair["rephrased"] in accepted]
    assert metrics["accounting"]["requested"] == len(copies)
    assert len(passed) <= 0.08 * len(copies)  # measured recall: 0.93
    assert set(passed) <= {"synonyms", "renamed"}


def test_a_planted_string_reaches_no_generator_and_no_training_file(sums, tmp_path):
    """Every teacher role says it wherever it can; each validation and test row holds it."""
    for split in ("validation", "test"):
        rows = jsonl(sums / f"{split}.jsonl")
        write(sums / f"{split}.jsonl", [{**row, "prompt": f"{row['prompt']} {CANARY}."} for row in rows])

    def babble(role, item, attempt, text):
        value = json.loads(text)
        if role == "judge":
            return text  # sees no held-out row
        if role == "generator":
            if attempt == 0:
                value[0]["prompt"] = f"What do we know: {CANARY.upper()}!"
                value[-1]["prompt"] = jsonl(sums / "test.jsonl")[0]["prompt"]
        elif "draft_strategy" in item and item.endswith("/0"):
            value[0]["key_elements"] = ["short sentences", f"say that {CANARY}"]
        elif "categorize" in item:
            value["error_pattern"] += f" ({CANARY})"
        elif "analyze" in item:
            value[0]["error_cause"] += CANARY
        return json.dumps(value)

    teacher = FakeTeacher(mangle=babble, rating=lambda item, attempt: 5.0 if attempt == 0 else 9.0)
    settings = config(sums, iterations=2, quality={}, patterns={"analysis_batch": 4})
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    shown = [prompt for role, _, _, prompt in teacher.prompts if role != "analyst"]
    assert len(shown) > 20 and any("too close to well-known text" in prompt for prompt in shown)
    assert not [prompt for prompt in shown if CANARY in normalise(prompt)]
    assert not [prompt for prompt in shown if "validation-" in prompt or "test-" in prompt]
    trained = sorted((tmp_path / "run").glob("iteration_*/train.jsonl"))
    assert len(trained) == 3 and not [path for path in trained if CANARY in normalise(path.read_text())]
    assert any("repeats the held-out row" in note for note in metrics["notes"])
    kinds = Counter(
        (overlap["subject"], overlap["kind"]) for overlap in jsonl(tmp_path / "run/iteration_1/overlaps.jsonl")
    )
    assert kinds["strategy", "ngram"] == 1 and kinds["sample", "ngram"] >= 4


def test_a_planted_answer_reaches_no_generator_and_no_training_file(sums, tmp_path):
    """New questions with held-out answers, and answers that the task refuses and quotes in its fault."""
    for split in ("validation", "test"):
        write(sums / f"{split}.jsonl", [{**row, "answer": f"{CANARY} 7"} for row in jsonl(sums / f"{split}.jsonl")])
    fine = f"{CANARY} 7"

    def leak(role, item, attempt, text):
        samples = json.loads(text)
        if role == "generator" and attempt < 3:
            samples[0]["answer"] = fine
            samples[-1]["answer"] = ["list", CANARY]
        return json.dumps(samples)

    teacher = FakeTeacher(mangle=leak)
    settings = config(sums, quality={"max_regenerations": 3}, patterns={"analysis_batch": 4})
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    shown = [prompt for role, _, _, prompt in teacher.prompts if role != "analyst"]
    assert any("too close to well-known text" in prompt for prompt in shown)
    assert not [prompt for prompt in shown if CANARY in normalise(prompt)]
    trained = sorted((tmp_path / "run").glob("iteration_*/train.jsonl"))
    assert len(trained) == 2 and not [path for path in trained if CANARY in normalise(path.read_text())]
    assert metrics["accounting"]["accepted"] == 10


def test_new_problems_with_a_held_out_calculation_are_no_leak(sums, tmp_path):
    """Twelve figures and signs in a row: many problems come down to the same steps."""
    steps = "5 * 2 = 10 10 - 4 = 6 6 + 3 = 9 9 - 1 = 8"
    for split in ("validation", "test"):
        write(sums / f"{split}.jsonl", [{**row, "answer": steps} for row in jsonl(sums / f"{split}.jsonl")])

    def same_steps(role, item, attempt, text):
        return json.dumps([{**s, "answer": steps} for s in json.loads(text)]) if role == "generator" else text

    metrics = run(config(sums), tmp_path / "run", services=fake_services(teacher=FakeTeacher(mangle=same_steps)))
    assert metrics["accounting"]["accepted"] == 10


def test_a_fault_that_quotes_a_held_out_answer_is_not_passed_on(sums, tmp_path):
    secret = f"{CANARY} 7"
    for split in ("validation", "test"):
        rows = jsonl(sums / f"{split}.jsonl")
        write(sums / f"{split}.jsonl", [{**row, "prompt": f"{row['prompt']} {CANARY}."} for row in rows])

    def invalid(role, item, attempt, text):
        samples = json.loads(text)
        if role == "generator" and attempt == 0:
            samples[0]["answer"] = secret  # not a number: the task's message quotes it
        return json.dumps(samples)

    teacher = FakeTeacher(mangle=invalid, rating=lambda item, attempt: 5.0 if attempt == 0 else 9.0)
    settings = config(sums, quality={}, patterns={"analysis_batch": 4})
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"match": "number"})})
    run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    retries = [prompt for role, _, attempt, prompt in teacher.prompts if role == "generator" and attempt == 1]
    assert retries and all("too close to well-known text" in prompt for prompt in retries)
    assert not [prompt for prompt in retries if CANARY in normalise(prompt)]


def test_an_instruction_that_every_row_repeats_is_no_overlap(sums, tmp_path):
    """A user's own rows often begin with the same hundred words and end with the same form of answer."""
    before = " ".join(f"instruction{number}" for number in range(100))
    after = "Think about it step by step and then give the answer as a plain number."
    for split in ("train", "validation", "test"):
        rows = jsonl(sums / f"{split}.jsonl")
        write(sums / f"{split}.jsonl", [{**row, "prompt": f"{before}\n{row['prompt']}\n{after}"} for row in rows])

    def in_form(role, item, attempt, text):
        samples = json.loads(text)
        if role == "generator":
            samples = [{**sample, "prompt": f"{before}\n{sample['prompt']}\n{after}"} for sample in samples]
        return json.dumps(samples)

    teacher = FakeTeacher(mangle=in_form)
    metrics = run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher, embedder=BagOfWords()))
    assert metrics["accounting"]["accepted"] == metrics["accounting"]["requested"] == 10
    assert jsonl(tmp_path / "run/data/overlaps.jsonl") == []
    assert jsonl(tmp_path / "run/iteration_1/overlaps.jsonl") == []


def test_a_strategy_that_rephrases_a_held_out_row_is_dropped(sums, tmp_path):
    secret = jsonl(sums / "test.jsonl")[3]["prompt"]

    def hint(role, item, attempt, text):
        if "draft_strategy" not in item:
            return text
        reordered = " ".join(reversed(secret.split()))
        return json.dumps([{**json.loads(text)[0], "generation_approach": f"Use sums.\n{reordered}\nVary names."}])

    teacher = FakeTeacher(mangle=hint)
    run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher, embedder=BagOfWords()))
    assert jsonl(tmp_path / "run/iteration_1/strategies.jsonl") == []
    overlaps = jsonl(tmp_path / "run/iteration_1/overlaps.jsonl")
    assert overlaps and {(o["subject"], o["kind"]) for o in overlaps} == {("strategy", "embedding")}


def test_a_sample_that_hardly_differs_from_its_seed_is_a_duplicate_and_told_so(sums, tmp_path):
    train = {row["prompt"] for row in jsonl(sums / "train.jsonl")}

    def copy_seed(role, item, attempt, text):
        return text if role != "generator" or attempt else json.dumps(
            [{**sample, "prompt": f"Well, {seeds[sample['based_on_example']]}"} for sample in json.loads(text)]
        )  # fmt: skip

    class Copying(FakeTeacher):
        def ask(self, role, prompt, *, item, attempt=0):
            if role == "generator":
                for line in prompt.splitlines():
                    for found in train:
                        if found in line:
                            seeds.setdefault("e1", found)
            return super().ask(role, prompt, item=item, attempt=attempt)

    seeds: dict[str, str] = {}
    settings = config(sums, quality={}, generation={"ratio": 0.05, "batch_size": 1}, train_errors={"enabled": False})
    teacher = Copying(mangle=copy_seed)
    run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    overlaps = jsonl(tmp_path / "run/iteration_1/overlaps.jsonl")
    assert [(o["kind"], o["attempt"], o["similarity"]) for o in overlaps] == [("seed", 0, 0.909)]
    second = next(prompt for role, _, attempt, prompt in teacher.prompts if role == "generator" and attempt == 1)
    assert "it hardly differs from the example it starts from" in second


def test_samples_of_earlier_rounds_and_of_other_batches_are_not_repeated(sums, tmp_path):
    same = [new_problem("again")]
    metrics = run(
        config(sums, iterations=2), tmp_path / "run", services=fake_services(teacher=echoing(same, str.upper))
    )
    first, second = (jsonl(tmp_path / f"run/iteration_{t}/overlaps.jsonl") for t in (1, 2))
    assert {overlap["kind"] for overlap in first} == {"round"}
    assert {overlap["kind"] for overlap in second} == {"accepted"}
    rejected = (jsonl(tmp_path / f"run/iteration_{t}/rejected.jsonl") for t in (1, 2))
    assert [{entry["overlap"] for entry in entries} for entries in rejected] == [{"round"}, {"accepted"}]
    books = metrics["accounting"]
    assert (books["accepted"], books["duplicate"], books["requested"]) == (1, 19, 20)


def test_parallel_batches_share_one_embedding_of_the_held_out_rows(sums, tmp_path):
    embedder = BagOfWords()
    teacher = echoing(jsonl(sums / "test.jsonl"), str)
    run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher, embedder=embedder))
    assert embedder.calls.count(24) == 1  # 12 validation and 12 test rows
    attempts = sum(batch["attempts"] for batch in jsonl(tmp_path / "run/iteration_1/batches.jsonl"))
    assert sum(1 <= call <= 3 for call in embedder.calls) >= attempts > 4


def test_the_test_split_is_opened_by_the_final_evaluation_and_the_guard_alone(sums, tmp_path, monkeypatch):
    openers = set()
    read = Rows._read

    def recorded(self, split):
        if split == "test":
            openers.add(next(f.function for f in inspect.stack() if f.function in ("finalize", "_held_out", "invoke")))
        return read(self, split)

    monkeypatch.setattr(Rows, "_read", recorded)
    monkeypatch.setattr(Rows, "__init__", uncached)
    run(config(sums, method="vanilla"), tmp_path / "vanilla", services=fake_services())
    assert openers == {"finalize"}
    run(config(sums), tmp_path / "pada", services=fake_services())
    assert openers == {"finalize", "_held_out"}


CACHED = Rows.__init__


def uncached(self: Rows, directory: RunDir, task) -> None:
    """Rows that read a split anew each time, so that every reader shows."""
    CACHED(self, directory, task)
    self.split = self._read


def test_no_other_file_names_the_test_split():
    """`finalize` and the guard's index are the two readers; the rest of the graph never spells the split's name."""
    nodes = Path(inspect.getfile(Rows)).parent
    naming = {path.name for path in nodes.glob("*.py") if '"test"' in path.read_text(encoding="utf-8")}
    assert naming == {"run.py", "orchestrator.py"}
    assert get_task("jsonl").pools["test"] == "test"


def test_the_names_of_both_held_out_splits_are_used_by_no_other_file():
    """`HELD_OUT` is how `Rows` indexes both; whoever imports it could read the test split without naming it."""
    package = Path(inspect.getfile(Rows)).parents[1]
    naming = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bHELD_OUT\b", path.read_text(encoding="utf-8"))
    }
    assert naming == {"nodes/run.py"}
