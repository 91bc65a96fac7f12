"""Whole runs for the fault matrix: a small data set of sums, and a provider on the loopback that may misbehave."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from pada_graph import RunConfig, run
from pada_graph.accounting import FATES
from pada_graph.config import ROLES, Models, Role
from pada_graph.teacher.journaled import JournaledTeacher
from tests.fake_provider import Answer, FakeProvider, Request
from tests.fakes import FakeTeacher, fake_services, sums_config

Mangle = Callable[[Role, Request, str], Answer | str]


def config(folder: Path, **changes: Any) -> RunConfig:
    """One round on the sums that `write_sums` makes."""
    return sums_config(folder, **{"iterations": 1, **changes})


def balanced(books: dict[str, int]) -> bool:
    """The identity: requested = accepted + rejected + failed + duplicate + contaminated."""
    return books["requested"] == sum(books[fate] for fate in FATES)


def run_over_http(settings: RunConfig, directory: Path, mangle: Mangle, **services: Any) -> tuple[Any, FakeProvider]:
    """Run with the real teacher, journal and HTTP client, against a provider whose answers `mangle` may spoil.

    Returns:
        metrics.json, and the provider with all its requests.
    """
    form = FakeTeacher(rating=lambda item, attempt: 10)

    def script(request: Request) -> Answer | str:
        role = next(role for role in ROLES if role == request.model)
        name = hashlib.sha256(request.prompt.encode()).hexdigest()[:12]
        return mangle(role, request, form.ask(role, request.prompt, item=name).text)

    with FakeProvider(script) as provider:
        models = Models(**{role: provider.openai(role) for role in ROLES})
        settings = settings.model_copy(update={"models": models})
        journal = directory / "teacher_calls.sqlite"
        with closing(JournaledTeacher(models, settings.limits, journal)) as teacher:
            metrics = run(settings, directory, services=fake_services(teacher=teacher, **services))
    return metrics, provider
