"""What tests of teacher calls share: teachers that ask the fake provider, a clock that nobody waits for, keys."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pada_graph.config import Limits, Model, Models
from pada_graph.teacher import gate, retries
from pada_graph.teacher.journal import Journal
from pada_graph.teacher.journaled import JournaledTeacher
from tests.fake_provider import FakeProvider, Request
from tests.fakes import FakeTeacher

KEYS = ("not-a-real-key-0123", "not-a-real-secret-0123", "AKIAFAKEFAKEFAKEFAKE")
DIALECTS = pytest.mark.parametrize("dialect", ["openai", "bedrock"])


class Clock:
    """Stands still but for naps, which take no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def replace(self, monkeypatch: pytest.MonkeyPatch) -> "Clock":
        for module in (gate, retries):
            monkeypatch.setattr(module, "sleep", self.sleep)
            monkeypatch.setattr(module, "monotonic", lambda: self.now)
        return self


def forget_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's own accounts and proxies away."""
    for name in ("OPENAI_API_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


def one_model(provider: FakeProvider, dialect: str, **settings: object) -> Model:
    return provider.openai(**settings) if dialect == "openai" else provider.bedrock(**settings)


def teacher_for(model: Model, path: Path, **limit: int) -> JournaledTeacher:
    models = Models(analyst=model, generator=model, judge=model)
    return JournaledTeacher(models, Limits(**limit), path / "teacher_calls.sqlite")


def unfinished(journal: Journal) -> int:
    """Calls that were sent and never brought a reply: each may have been paid."""
    with closing(sqlite3.connect(journal.path)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM calls WHERE status = 'started'").fetchone()[0])


def echo(request: Request) -> str:
    return f"you said {request.prompt}"


def in_form(request: Request) -> str:
    """What a well-behaved model says to each of the loop's prompts; the same request gets the same reply."""
    return json.dumps(FakeTeacher()._answer(request.prompt, request.sha256, 0))
