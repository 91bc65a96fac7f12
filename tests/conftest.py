"""Settings every test shares: no network for models, strict checkpoints; what tests of teacher calls use."""

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


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
