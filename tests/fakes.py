"""Stand-ins for the services, for tests of the graph. They count what they are asked and misbehave on request."""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pada_graph.config import Role, RunConfig
from pada_graph.services import Completion, Progress, Reply, Services, TrainJob, Usage


def jsonl(path: Path) -> list[Any]:
    """The rows of a JSONL file; a line separator of Unicode ends no line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def json_blocks(prompt: str) -> list[Any]:
    """All JSON values that begin a line of a prompt."""
    decoder, values, position = json.JSONDecoder(), [], 0
    for match in re.finditer(r"^(?=[\[{])", prompt, flags=re.MULTILINE):
        if match.start() >= position:
            value, position = decoder.raw_decode(prompt, match.start())
            values.append(value)
    return values


class FakeTeacher:
    """Answers each of the prompts in form; `rating` and `mangle` make it misbehave."""

    def __init__(
        self,
        rating: Callable[[str, int], float] = lambda item, attempt: 9.0,
        mangle: Callable[[Role, str, int, str], str] = lambda role, item, attempt, text: text,
        stop_at: int | None = None,
    ):
        self.rating, self.mangle, self.stop_at = rating, mangle, stop_at
        self.prompts: list[tuple[Role, str, int, str]] = []
        self._lock = threading.Lock()

    def ask(self, role: Role, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        with self._lock:
            self.prompts.append((role, item, attempt, prompt))
            if self.stop_at is not None and len(self.prompts) > self.stop_at:
                raise KilledError
        text = self.mangle(role, item, attempt, json.dumps(self._answer(prompt, item, attempt)))
        return Reply(text, "stop", len(prompt) // 4, len(text) // 4)

    def usage(self) -> dict[Role, Usage]:
        calls = Counter(role for role, *_ in self.prompts)
        return {role: {"calls": n, "input_tokens": n, "output_tokens": n, "usd": None} for role, n in calls.items()}

    def close(self) -> None:
        pass

    def _answer(self, prompt: str, item: str, attempt: int) -> Any:
        blocks = json_blocks(prompt)
        if prompt.startswith("Analyze these"):
            return [
                {
                    "sample_id": s["sample_id"],
                    "error_cause": f"cause {len(s['USER_QUERY']) % 3}",
                    "scenario_category": "kind",
                }
                for s in blocks[0]
            ]
        if prompt.startswith("Please analyze"):
            return {"category_name": "a kind", "error_pattern": "goes wrong", "representative_samples": ["v1"]}
        if prompt.startswith("Based on these"):
            return [
                {
                    "category_name": blocks[0][0]["category_name"],
                    "strategy_name": "more of it",
                    "generation_approach": "write more of that kind",
                    "key_elements": ["that kind"],
                }
            ]
        if prompt.startswith("Please generate"):
            examples = blocks[0] if "TRAINING_ERROR" in prompt else blocks[1]
            ids = [example["example_id"] for example in examples]
            return [{"based_on_example": id_, **new_problem(f"{item}/{attempt}/{id_}")} for id_ in ids]
        if prompt.startswith("Please rephrase"):
            text = json.loads(prompt.partition("TEXT_TO_REPHRASE")[2].splitlines()[1])
            words = [f"In other words, of which {id_}{attempt} is one: {text}" for id_ in asked_ids(prompt)]
            return [{"sample_id": id_, "prompt": word} for id_, word in zip(asked_ids(prompt), words, strict=True)]
        if prompt.startswith(("Please act as a teacher", "Please write")):
            return [{"sample_id": id_, **new_problem(f"{item}/{attempt}/{id_}")} for id_ in asked_ids(prompt)]
        if prompt.startswith("Please answer"):
            sums = {q["sample_id"]: re.findall(r"\d+", q["question"])[-2:] for q in blocks[0]}
            return [{"sample_id": id_, "answer": str(int(a) + int(b))} for id_, (a, b) in sums.items()]
        if prompt.startswith("Please grade"):
            (graded,) = blocks
            same = graded["reference_answer"] in graded["answer"].split()
            return {"comparison": f"{graded['answer']!r} is not it", "correct": same}
        value = self.rating(item, attempt)
        return [
            {
                "sample_id": p["sample_id"],
                "adherence": value,
                "utility": value,
                "relevance": value,
                "feedback": f"try {attempt}",
            }
            for p in blocks[-1]
        ]


def asked_ids(prompt: str) -> list[str]:
    """The ids that a baseline's prompt gives to its samples."""
    return re.findall(r'"(e\d+)"', re.findall(r'^- "sample_id": (.*)$', prompt, re.MULTILINE)[-1])


class KilledError(BaseException):
    """The process dies here."""


def new_problem(name: str) -> dict[str, str]:
    """A word problem of the jsonl task, different for every name."""
    a, b = (int(hashlib.sha256(f"{name}{k}".encode()).hexdigest()[:6], 16) for k in "ab")
    return {"prompt": f"What is {a} plus {b}?", "answer": str(a + b)}


class FakeEmbedder:
    """Unit vectors by the words' hash: equal texts are equal, others far apart."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        vectors = np.stack([np.random.default_rng(seed).normal(size=16) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class FakeTrainer:
    """Writes the number of rows it was trained on as its adapter."""

    def __init__(self) -> None:
        self.jobs: list[TrainJob] = []

    def train(self, job: TrainJob, progress: Progress) -> None:
        self.jobs.append(job)
        rows = job.rows.read_text(encoding="utf-8").count("\n")
        job.adapter.mkdir(parents=True, exist_ok=True)
        (job.adapter / "rows.json").write_text(json.dumps(rows))
        progress({"step": 1, "steps": 1, "loss": 1.0})


class FakePredictor:
    """Right on the first `known` prompts of a split plus one for each training row; wrong on the others."""

    def __init__(self, known: int = 2, per_row: float = 0.1):
        self.known, self.per_row = known, per_row
        self.calls: list[tuple[Path | None, int]] = []

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        self.calls.append((adapter, len(prompts)))
        rows = json.loads((adapter / "rows.json").read_text()) if adapter else 0
        right = self.known + int(rows * self.per_row)
        for index, prompt in reversed(list(enumerate(prompts))):
            a, b = map(int, re.findall(r"\d+", prompt)[:2])
            yield Completion(index, str(a + b) if index < right else "no idea", truncated=False)


def fake_services(**replaced: Any) -> Services:
    """All four fakes, some replaced."""
    return Services(
        **{
            "teacher": FakeTeacher(),
            "embedder": FakeEmbedder(),
            "trainer": FakeTrainer(),
            "predictor": FakePredictor(),
            **replaced,
        }
    )


def write_sums(folder: Path, train: int = 20, validation: int = 12, test: int = 12) -> Path:
    """A jsonl data set of sums, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        rows = [new_problem(f"{split}{k}") for k in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def sums_config(folder: Path, **changes: Any) -> RunConfig:
    """Two rounds on the rows that `write_sums` makes; section__key=value changes a setting."""
    raw: dict[str, Any] = {
        "task": "jsonl",
        "iterations": 2,
        "data": {"source": str(folder), "train_size": 20, "validation_size": 12, "test_size": 12, "match": "number"},
        "generation": {"batch_size": 3},
        "patterns": {"analysis_batch": 4},
    }
    for key, value in changes.items():
        section, _, leaf = key.partition("__")
        if leaf:
            raw.setdefault(section, {})[leaf] = value
        else:
            raw[key] = value
    return RunConfig.model_validate(raw)
