"""Settings every test shares: no network for models, strict checkpoints; what tests of teacher calls use."""

import os
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None, derandomize=True, print_blob=True)  # a slow moment is no failure
settings.load_profile("tests")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_worker_niceness", "0")  # beside another test's process Ray's would get a tenth of a core
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each worker has its core


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays in one worker, for its fixtures' sake, and Ray's files in the same one: they would meet."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "ray" if "/test_ray" in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own accounts are taken away."""
    from tests.provider_tools import forget_accounts

    forget_accounts(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> object:
    """A `Clock` in the place of the real one: naps take no time."""
    from tests.provider_tools import Clock

    return Clock().replace(monkeypatch)
