"""Fault matrix, rows 11, 21, 22, 28, 29, 31: what the data are, or become, however odd."""

import gzip
import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pada_graph import run
from pada_graph.errors import InputError
from pada_graph.near_duplicates import normalise
from pada_graph.rundir import RunDir
from pada_graph.services import Completion
from tests.fakes import (
    FakeEmbedder,
    FakeTeacher,
    FakeTrainer,
    fake_services,
    json_blocks,
    jsonl,
    new_problem,
    write_sums,
)
from tests.faults.loop_run import balanced, config

SPLITS = ("train", "validation", "test")


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return write_sums(tmp_path / "sums")


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Knowing:
    """A student that is right on every prompt that is not among `wrong`."""

    def __init__(self, wrong: Sequence[str]):
        self.wrong = set(wrong)

    def predict(self, adapter, prompts, *, max_new_tokens, stop):
        for index, prompt in enumerate(prompts):
            a, b = map(int, re.findall(r"\d+", prompt)[:2])
            yield Completion(index, "no idea" if prompt in self.wrong else str(a + b), truncated=False)


# ------------------------------------------------------------------------------------------- 11: copies and duplicates


def test_row_11_copies_of_seed_of_one_another_and_of_held_out_rows_are_dropped_and_logged(sums, tmp_path):
    """The generator writes copies alone, verbatim, re-cased and re-spaced, but for one new sample a batch."""
    splits = {split: jsonl(sums / f"{split}.jsonl") for split in ("train", "validation", "test")}
    changes = [str, str.upper, lambda text: "\n " + text.replace(" ", "\t  ")]
    same = new_problem("everybody's")

    def echo(role, item, attempt, text):
        if role != "generator":
            return text
        samples = json.loads(text)
        number = sum(item.encode()) + attempt
        sources = [splits["validation"][number % 12], splits["test"][number % 12], splits["train"][number % 20], same]
        for k, (sample, source) in enumerate(zip(samples, [*sources, same], strict=False)):
            sample.update(prompt=changes[(number + k) % 3](source["prompt"]), answer=source["answer"])
        return json.dumps(samples)

    teacher = FakeTeacher(mangle=echo)
    settings = config(sums, generation__batch_size=5, quality__threshold=2, generation__ratio=1.0)
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    books = metrics["accounting"]
    assert balanced(books) and books["requested"] == 20
    assert (books["contaminated"], books["accepted"]) == (8, 1)  # of all batches the new sample stays once
    assert books["duplicate"] == 11
    kinds = {overlap["kind"] for overlap in jsonl(tmp_path / "run/iteration_1/overlaps.jsonl")}
    assert {"ngram", "round"} < kinds and kinds & {"seed", "train"}
    trained = [normalise(row["prompt"]) for row in jsonl(tmp_path / "run/iteration_1/train.jsonl")]
    held_out = {normalise(row["prompt"]) for split in ("validation", "test") for row in splits[split]}
    assert len(trained) == len(set(trained)) == 21 and not held_out & set(trained)


# --------------------------------------------------------------------------------------- 21: nothing, or little, to do


def no_empty_list(teacher: FakeTeacher) -> bool:
    return all(
        block != [] for *_, prompt in teacher.prompts for block in json_blocks(prompt) if "IMPROVEMENT" not in prompt
    )


@pytest.mark.parametrize(
    ("wrong", "branches", "said"),
    [
        ((), set(), "there is no failure left to learn from: 0 on validation, 0 on train"),
        (("validation",), {"pattern"}, "no train errors to learn from; the pattern branch takes the whole share"),
        (("train",), {"error"}, "no strategy to follow; the error branch takes the whole share"),
    ],
    ids=["all right", "train all right", "validation all right"],
)
def test_row_21_a_branch_without_errors_is_skipped_and_says_why(sums, tmp_path, wrong, branches, said):
    teacher = FakeTeacher()
    prompts = [row["prompt"] for split in wrong for row in jsonl(sums / f"{split}.jsonl")]
    services = fake_services(teacher=teacher, predictor=Knowing(prompts))
    metrics = run(config(sums), tmp_path / "run", services=services)
    assert any(said in words for words in (metrics["stop_reason"], *metrics["notes"]))
    roles = {role for role, *_ in teacher.prompts}
    assert ("analyst" in roles) == ("validation" in wrong) and no_empty_list(teacher)
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl") if branches else []
    assert {sample["branch"] for sample in accepted} == branches
    assert metrics["accounting"]["accepted"] == (10 if branches else 0) and bool(teacher.prompts) == bool(branches)


@pytest.mark.parametrize("failures", [1, 2, 3, 5])
def test_row_21_a_handful_of_validation_errors_is_analysed_whole(sums, tmp_path, failures):
    wrong = [row["prompt"] for row in jsonl(sums / "validation.jsonl")[:failures]]
    teacher = FakeTeacher()
    services = fake_services(teacher=teacher, predictor=Knowing(wrong))
    metrics = run(config(sums), tmp_path / "run", services=services)
    folder = tmp_path / "run/iteration_1"
    clusters, clustering = jsonl(folder / "clusters.jsonl"), json.loads((folder / "clustering.json").read_text())
    assert len(jsonl(folder / "analyses.jsonl")) == failures == sum(len(c["failure_ids"]) for c in clusters)
    assert clustering["k"] == len(clusters) and all(cluster["failure_ids"] for cluster in clusters)
    assert failures > 3 or (clustering["k"], clustering["method"]) == (1, "single")
    assert metrics["accounting"]["accepted"] == 10 and no_empty_list(teacher)


# ----------------------------------------------------------------------------------------- 22: vectors without clusters


class Vectors(FakeEmbedder):
    """Analyses, which are the texts that name a kind, get what `make` makes of their number; questions as ever."""

    def __init__(self, make):
        self.make = make

    def embed(self, texts):
        vectors = super().embed(texts)
        if all(text.startswith("kind: ") for text in texts):
            return self.make(len(texts)).astype(np.float32)
        return vectors


def narrow_cone(count: int) -> np.ndarray:
    """Structureless: kneed finds no elbow, 20 times of 20 (isotropic noise around one direction)."""
    vectors = np.random.default_rng(0).normal(size=(count, 768)) * 0.01 + np.eye(1, 768)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("make", "method"),
    [(narrow_cone, "silhouette"), (lambda count: np.tile(np.eye(1, 8), (count, 1)), "single")],
    ids=["no elbow", "identical"],
)
def test_row_22_without_an_elbow_or_with_identical_analyses_there_are_clusters_all_the_same(
    sums, tmp_path, make, method
):
    wrong = [row["prompt"] for row in jsonl(sums / "validation.jsonl")]
    services = fake_services(embedder=Vectors(make), predictor=Knowing(wrong))
    metrics = run(config(sums), tmp_path / "run", services=services)
    clustering = json.loads((tmp_path / "run/iteration_1/clustering.json").read_text())
    clusters = jsonl(tmp_path / "run/iteration_1/clusters.jsonl")
    assert clustering["method"] == method and type(clustering["k"]) is int and clustering["k"] == len(clusters)
    assert sum(len(cluster["failure_ids"]) for cluster in clusters) == 12
    assert metrics["accounting"]["accepted"] == 10


class NotFinite(FakeEmbedder):
    """NaN for the texts that `chosen` picks."""

    def __init__(self, chosen):
        self.chosen = chosen

    def embed(self, texts):
        vectors = super().embed(texts)
        vectors[[self.chosen(text) for text in texts]] = np.nan
        return vectors


@pytest.mark.parametrize("chosen", [lambda text: text.startswith("kind: "), lambda text: text.startswith("What is ")])
def test_row_22_embeddings_that_are_not_finite_stop_the_run_before_anything_is_compared_with_them(
    sums, tmp_path, chosen
):
    """Every comparison with NaN is False: a guard that did not look would let all overlaps pass."""
    services = fake_services(embedder=NotFinite(chosen))
    with pytest.raises(InputError, match=r"patterns\.embedder: .*not finite; choose another one"):
        run(config(sums), tmp_path / "run", services=services)
    assert not (tmp_path / "run/iteration_1/synthetic_accepted.jsonl").exists()


# --------------------------------------------------------------------------------------- 28, 29: leaks, and overlapping


def test_row_28_planted_strings_of_validation_reach_no_generator_no_judge_and_no_training_file(sums, tmp_path):
    """Each validation row holds twelve words of its own; the analyst quotes them wherever it may write."""
    rows = jsonl(sums / "validation.jsonl")
    words = [f"{chr(97 + k)}{letter}ra" for k in range(12) for letter in "bcdfghjklmnp"]
    planted = [" ".join(words[k * 12 : k * 12 + 12]) for k in range(len(rows))]
    rows = [{**row, "prompt": f"{row['prompt']} ({plant})"} for row, plant in zip(rows, planted, strict=True)]
    write(sums / "validation.jsonl", rows)
    everything = " ".join(planted)
    turns = iter(range(10**6))
    lock = threading.Lock()

    def quote(role, item, attempt, text):
        with lock:
            plant = planted[next(turns) % len(planted)]
        if "analyze" in item:
            return json.dumps([{**one, "error_cause": f"It fails on: {plant}"} for one in json.loads(text)])
        if "categorize" in item:
            return json.dumps({**json.loads(text), "error_pattern": everything, "representative_samples": planted})
        if "draft_strategy" in item and item.endswith("/0"):
            return json.dumps([{**json.loads(text)[0], "generation_approach": f"Write more like: {plant}"}])
        return text

    teacher = FakeTeacher(mangle=quote)
    metrics = run(config(sums, iterations=2), tmp_path / "run", services=fake_services(teacher=teacher))
    assert any("repeats the held-out row" in note for note in metrics["notes"])
    shown = [prompt for role, _, _, prompt in teacher.prompts if role != "analyst"]
    assert len(shown) > 8 and not [plant for plant in planted if any(plant in prompt for prompt in shown)]
    for iteration in (1, 2):
        trained = (tmp_path / f"run/iteration_{iteration}/train.jsonl").read_text(encoding="utf-8")
        assert not [plant for plant in planted if plant in trained]
    assert metrics["accounting"]["accepted"] == 20


def test_row_29_rows_that_stand_in_two_splits_are_refused_at_load_or_left_out_by_rule(sums, tmp_path):
    train, test = jsonl(sums / "train.jsonl"), jsonl(sums / "test.jsonl")
    stolen = {"prompt": f"  {test[4]['prompt'].upper()}", "answer": test[4]["answer"]}
    write(sums / "train.jsonl", [*train, stolen])
    write(sums / "validation.jsonl", [*jsonl(sums / "validation.jsonl"), test[5]])
    trainer = FakeTrainer()
    all_rows = {"data__train_size": 21, "data__validation_size": 13}
    with pytest.raises(
        InputError, match=r"overlap a held-out split: .*validation\.jsonl, line 13.*data\.overlap: drop"
    ):
        run(config(sums, **all_rows), tmp_path / "run", services=fake_services(trainer=trainer))
    assert trainer.jobs == []
    run(config(sums, data__overlap="drop", method="vanilla"), tmp_path / "run", services=fake_services())
    used = {split: {normalise(r["prompt"]) for r in jsonl(tmp_path / f"run/data/{split}.jsonl")} for split in SPLITS}
    assert not used["train"] & used["test"] and not used["validation"] & used["test"]
    assert [len(rows) for rows in used.values()] == [20, 12, 12]


def test_row_29_articles_of_squad_never_stand_in_two_splits(tmp_path):
    def rows(article, *numbers):
        answers = {"text": ["Oregon"], "answer_start": [0]}
        questions = [f"{article} {new_problem(f'{article}{n}')['prompt']}" for n in numbers]
        return [{"title": article, "context": "Oregon", "question": text, "answers": answers} for text in questions]

    folder = tmp_path / "squad"
    folder.mkdir()
    write(folder / "train.jsonl", rows("owls", 1, 2, 3) + rows("bats", 1, 2))
    write(folder / "validation.jsonl", rows("bats", 3, 4) + rows("cats", 1, 2))
    sizes = {"data__train_size": 5, "data__validation_size": 2, "data__test_size": 2}
    settings = config(folder, task="squad", method="vanilla", **sizes)
    with pytest.raises(InputError, match=r"train row .* belongs to the same group as .*data\.overlap: drop"):
        run(settings, tmp_path / "run", services=fake_services())
    settings = config(folder, task="squad", method="vanilla", data__overlap="drop", **{**sizes, "data__train_size": 3})
    run(settings, tmp_path / "run", services=fake_services())
    titles = [{row["title"] for row in jsonl(tmp_path / f"run/data/{split}.jsonl")} for split in SPLITS]
    assert titles[0] == {"owls"} and len(titles[1]) == len(titles[2]) == 1 and titles[1] != titles[2]


# ------------------------------------------------------------------------------------------------------ 31: odd files


ODD = "Na\u00efve \U0001f469\u200d\U0001f680 \u202eabc\u2028\u0085 <|im_end|> ```"


def test_row_31_bom_crlf_gzip_emoji_line_separators_and_a_megabyte_go_through_the_whole_loop(sums, tmp_path):
    """The odd text stands in every train and validation row, and comes back from the generator."""
    for split in ("train", "validation"):
        rows = [{**row, "prompt": f"{row['prompt']} {ODD}"} for row in jsonl(sums / f"{split}.jsonl")]
        rows[0]["prompt"] += " x" * 500_000
        text = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (sums / f"{split}.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    test = (sums / "test.jsonl").read_bytes()
    (sums / "test.jsonl").unlink()
    (sums / "test.jsonl.gz").write_bytes(gzip.compress(test))

    def odd(role, item, attempt, text):
        if role != "generator":
            return text
        return json.dumps([{**one, "prompt": f"{one['prompt']} {ODD}"} for one in json.loads(text)], ensure_ascii=False)

    teacher = FakeTeacher(mangle=odd)
    metrics = run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 10
    trained = RunDir(tmp_path / "run").read_jsonl("iteration_1/train.jsonl")
    assert len(trained) == 30 and all(ODD in row["prompt"] for row in trained)
    assert max(len(row["prompt"]) for row in trained) > 1_000_000
    assert (tmp_path / "run/report.html").read_text(encoding="utf-8").count("\U0001f680") > 0


BAD_LINES = {
    "missing field": (b'{"prompt": "What is 1 plus 2?"}', 'field "answer" must be a string, but is missing'),
    "wrong type": (b'{"prompt": ["p"], "answer": "3"}', 'field "prompt" must be a string, but is of type list'),
    "lone surrogate": (b'{"prompt": "\\ud83d is 1 plus 2?", "answer": "3"}', "holds a lone surrogate"),
    "cut": (b'{"prompt": "What is 1 plus 2?", "answ', "not valid JSON"),
    "latin-1": (b'{"prompt": "caf\xe9 1 plus 2?", "answer": "3"}', "not UTF-8 text"),
    "utf-16": ('{"prompt": "p 1 plus 2?", "answer": "3"}'.encode("utf-16"), "not UTF-8 text"),
    "null byte": (b'{"prompt": "p\x00", "answer": "3"}', "not valid JSON"),
    "no object": (b'"What is 1 plus 2?"', "found a JSON str"),
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_row_31_a_bad_row_is_refused_by_file_and_line_before_anything_starts(sums, tmp_path, line):
    raw, message = BAD_LINES[line]
    path = sums / "validation.jsonl"
    path.write_bytes(path.read_bytes() + raw + b"\n")
    trainer = FakeTrainer()
    with pytest.raises(InputError, match=re.escape(f"{path}, line 13: ")) as error:
        run(config(sums), tmp_path / "run", services=fake_services(trainer=trainer))
    assert message in str(error.value) and trainer.jobs == []


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\r\n\r\n \n"])
def test_row_31_an_empty_file_is_named(sums, tmp_path, content):
    (sums / "test.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=r"test holds no rows, too few for test\. Add rows"):
        run(config(sums), tmp_path / "run", services=fake_services())
