"""A thousand rows from a bad provider: only the poisoned ones are missing, and each is named with its reason."""

import json
import threading
from pathlib import Path

import pytest
from benchmarks.growth import EverySecond

from pada_graph import RunConfig, run
from pada_graph.accounting import FATES
from pada_graph.config import Limits, Models
from pada_graph.teacher.journaled import JournaledTeacher
from tests.fake_provider import Answer, FakeProvider, Request
from tests.fakes import FakeTeacher, fake_services, json_blocks, jsonl, write_sums
from tests.provider_tools import Clock

ROWS, BATCH, BURST, BETWEEN = 1000, 10, 4, 40


class BadProvider:
    """Answers in form, but for 1 % poisoned rows, 5 % malformed and 5 % cut replies, and bursts of 429.

    A poisoned row is one that no request about it is answered for: the provider answers 400, or its filter ends the
    reply, or the reply lacks that sample.
    """

    def __init__(self, poisoned: list[str]):
        self.poisoned = {prompt: ("400", "filter", "lacking")[k % 3] for k, prompt in enumerate(poisoned)}
        self.refusals = self.malformed = self.cut = self.throttled = 0
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        """Answer one request; all but the bursts depends on its words alone."""
        with self._lock:
            self._count += 1
            if self._count % BETWEEN < BURST:
                self.throttled += 1
                return Answer("slow down", status=429, headers={"Retry-After": "0"})
        values = FakeTeacher()._answer(request.prompt, request.sha256, 0)
        if request.prompt.startswith("Please generate"):
            kinds = {kind for prompt, kind in self.poisoned.items() if prompt in request.prompt}
            if "400" in kinds:
                self.refusals += 1
                return Answer("Your request was flagged", status=400, error="content_policy_violation")
            if "filter" in kinds:
                self.refusals += 1
                return Answer("", stop="content_filter")
            values = [
                v for v, example in zip(values, examples(request.prompt), strict=True) if example not in self.poisoned
            ]
        text = json.dumps(values)
        match int(request.sha256[:8], 16) % 20:
            case 0:
                self.malformed += 1
                return Answer(text.replace('"', "", 3) if len(text) % 2 else "As an assistant, I would rather not.")
            case 1:
                self.cut += 1
                return Answer(text[: len(text) * 2 // 3], stop="length")
        return Answer(text)


def examples(prompt: str) -> list[str]:
    """The questions of the train rows that a prompt asks to start from."""
    blocks = json_blocks(prompt)
    rows = blocks[0] if "TRAINING_ERROR" in prompt else blocks[1]
    return [row.get("QUESTION/TASK", row)["prompt"] for row in rows]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().replace(monkeypatch)


@pytest.mark.slow
def test_of_a_thousand_rows_only_the_poisoned_ones_are_missing_and_each_is_named(tmp_path: Path, no_waiting) -> None:
    sums = write_sums(tmp_path / "sums", ROWS, 60, 60)
    poisoned = [row["prompt"] for row in jsonl(sums / "train.jsonl")[3::100]]
    provider_script = BadProvider(poisoned)
    with FakeProvider(provider_script) as provider:
        model = provider.openai()
        sizes = {"train_size": ROWS, "validation_size": 60, "test_size": 60}
        settings = RunConfig.model_validate(
            {
                "task": "jsonl",
                "iterations": 1,
                "data": {"source": str(sums), "match": "number", **sizes},
                "generation": {"ratio": 1.0, "batch_size": BATCH},
                "limits": {"concurrency": 8},
            }
        )
        models = Models(analyst=model, generator=model, judge=model)
        teacher = JournaledTeacher(models, Limits(concurrency=8), tmp_path / "calls.sqlite")
        services = fake_services(teacher=teacher, predictor=EverySecond())
        metrics = run(settings, tmp_path / "run", services=services)
    assert len(poisoned) == ROWS // 100
    assert min(provider_script.refusals, provider_script.malformed, provider_script.cut, provider_script.throttled) > 5

    books = metrics["accounting"]
    assert books["requested"] == ROWS == sum(books[fate] for fate in FATES)
    folder = tmp_path / "run/iteration_1"
    questions = {row["id"]: row["prompt"] for row in jsonl(tmp_path / "run/data/train.jsonl")}
    slots = [slot for batch in jsonl(folder / "plan.jsonl") for slot in batch["slots"]]
    doomed = {slot["sample_id"] for slot in slots if questions[slot["seed_id"]] in poisoned}
    rejected = {line["sample_id"]: line for line in jsonl(folder / "rejected.jsonl")}
    assert len(doomed) >= 5 and set(rejected) == doomed
    assert {provider_script.poisoned[questions[line["seed_id"]]] for line in rejected.values()} == {
        "400",
        "filter",
        "lacking",
    }
    for line in rejected.values():
        kind = provider_script.poisoned[questions[line["seed_id"]]]
        assert line["fate"] == "failed"
        assert ("content_filter" in line["reason"]) == (kind != "lacking"), line
        assert line["reason"]
    accepted = {sample["id"] for sample in jsonl(folder / "synthetic_accepted.jsonl")}
    assert accepted == {slot["sample_id"] for slot in slots} - doomed
