"""Runs of the whole graph with a real JournaledTeacher against tests/fake_provider.py; the student is a fake."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pada_graph.config import Model, RunConfig
from pada_graph.services import Services
from pada_graph.teacher.journaled import JournaledTeacher
from tests.fake_provider import Answer, FakeProvider, Request, Script, tokens
from tests.fakes import FakeTeacher, fake_services, sums_config

Misbehave = Callable[[str, int, str], Answer | str]  # (prompt, its number, the proper answer) -> what is sent


def answering(misbehave: Misbehave = lambda prompt, number, text: text, rating: float = 9.0) -> Script:
    """A provider that answers all prompts in form; the same prompt always has the same proper answer.

    `number` counts how often that prompt came.
    """
    teacher = FakeTeacher(rating=lambda item, attempt: rating)

    def script(request: Request) -> Answer | str:
        name = hashlib.sha256(request.prompt.encode()).hexdigest()
        proper = json.dumps(teacher._answer(request.prompt, name, 0))
        return misbehave(request.prompt, request.nth, proper)

    return script


def paid_config(provider: FakeProvider, folder: Path, **changes: Any) -> RunConfig:
    """A small run on the sums in `folder`, its teachers at the provider; SECTION__KEY=value changes a key."""
    models = {role: provider.openai(role).model_dump() for role in ("analyst", "generator", "judge")}
    return sums_config(folder, **{"models": models, **changes})


def paid_services(config: RunConfig, run_dir: Path, **replaced: Any) -> Services:
    """Fakes, but for the teacher."""
    teacher = JournaledTeacher(config.models, config.limits, run_dir / "teacher_calls.sqlite")
    return fake_services(teacher=teacher, **replaced)


def with_limit(model: Model, max_tokens: int) -> dict[str, Any]:
    """A model's config with a limit on its replies."""
    return {**model.model_dump(), "max_tokens": max_tokens}


class Bill:
    """What a provider charges: a script that adds its tokens up as it answers."""

    def __init__(self, script: Script):
        self.script = script
        self.sent: list[tuple[str, int, int]] = []  # model, tokens in, tokens out of every answered request

    def __call__(self, request: Request) -> Answer | str:
        given = self.script(request)
        answer = Answer(given) if isinstance(given, str) else given
        if answer.status == 200 and not answer.drop:
            self.sent.append((request.model, tokens(request.prompt), tokens(answer.text)))
        return answer
