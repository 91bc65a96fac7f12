"""Secrets in log records, with every SDK at DEBUG."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pada_graph.config import Model
from pada_graph.errors import StoppedError
from pada_graph.teacher.logs import hide_secrets
from tests.fake_provider import FakeProvider
from tests.provider_tools import KEYS, echo, teacher_for

SESSION = "session-token/that+is=long-0123456789"


pytestmark = pytest.mark.usefixtures("no_cloud")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that is logged at DEBUG; SDKs set levels of their own, so every logger is opened."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    root.addHandler(handler)
    monkeypatch.setattr(root, "level", logging.DEBUG)
    monkeypatch.setattr(logging.Logger, "isEnabledFor", lambda self, level: True)
    yield text
    root.removeHandler(handler)


def test_openai_keys_are_in_no_log(tmp_path: Path, log: io.StringIO) -> None:
    headers = {"X-Gateway-Token": "gateway-token-0123"}
    with FakeProvider(echo) as provider:
        model = provider.openai(default_headers=headers)
        teacher_for(model, tmp_path).ask("judge", "hi", item="a")
        assert provider.requests[0].headers["x-gateway-token"] == "gateway-token-0123"
    assert "chat/completions" in log.getvalue()
    for key in (*KEYS, "gateway-token-0123"):
        assert key not in log.getvalue()


def test_a_key_in_the_address_is_in_no_log(tmp_path: Path, log: io.StringIO) -> None:
    with FakeProvider(echo) as provider:
        model = provider.openai(default_query={"api-key": "query-key-0123"})
        teacher_for(model, tmp_path).ask("judge", "hi", item="a")
    assert "HTTP Request: POST" in log.getvalue() and "api-key=" in log.getvalue()
    assert "query-key-0123" not in log.getvalue()


def test_bedrock_keys_are_in_no_log(tmp_path: Path, log: io.StringIO) -> None:
    with FakeProvider(echo) as provider:
        model = provider.bedrock(aws_session_token=SESSION)
        teacher_for(model, tmp_path).ask("judge", "hi", item="a")
        assert provider.requests[0].headers["x-amz-security-token"] == SESSION
    assert "AWSPreparedRequest" in log.getvalue() and "CanonicalRequest" in log.getvalue()
    for key in (*KEYS, SESSION):
        assert key not in log.getvalue()


def test_session_token_that_only_the_sdk_knows_is_in_no_log(
    tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "credentials"
    profile.write_text(
        f"[default]\naws_access_key_id={KEYS[2]}\naws_secret_access_key={KEYS[1]}\naws_session_token={SESSION}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    with FakeProvider(echo) as provider:
        settings = {"model": "bedrock_converse:x.y", "provider": "meta", "endpoint_url": provider.url}
        model = Model.model_validate({**settings, "region_name": "us-east-1"})
        teacher_for(model, tmp_path / "run").ask("judge", "hi", item="a")
        assert provider.requests[0].headers["x-amz-security-token"] == SESSION
    assert "AWSPreparedRequest" in log.getvalue()
    for key in (*KEYS, SESSION):
        assert key not in log.getvalue()


def test_bedrock_api_key_of_the_environment_is_in_no_log(
    tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-token-0123456789")
    settings = {"model": "bedrock_converse:x.y", "provider": "meta", "endpoint_url": "http://127.0.0.1:9"}
    model = Model.model_validate({**settings, "region_name": "us-east-1"})
    with pytest.raises(StoppedError, match=r"Bearer .* requires an HTTPS endpoint"):  # botocore sends none over HTTP
        teacher_for(model, tmp_path).ask("judge", "hi", item="a")
    assert "Making request for OperationModel(name=Converse)" in log.getvalue()
    assert "bearer-token-0123456789" not in log.getvalue()


def test_tracebacks_and_arguments_of_records_are_covered_too(log: io.StringIO) -> None:
    hide_secrets({"api_key": "a-key-of-mine-0123"})
    logger = logging.getLogger("openai._base_client")
    logger.warning("%s was used", "a-key-of-mine-0123")
    try:
        raise ValueError("bad key a-key-of-mine-0123")
    except ValueError:
        logger.exception("it failed")
    assert "a-key-of-mine-0123" not in log.getvalue()
    assert "*** was used" in log.getvalue() and "ValueError: bad key ***" in log.getvalue()


def record_of(name: str) -> logging.LogRecord:
    hide_secrets({"api_key": "a-key-of-mine-0123"})
    event = {"event": "%s", "key": "a-key-of-mine-0123"}
    return logging.getLogger(name).makeRecord(name, logging.INFO, "file", 1, event, ("GET", 200), None)


@pytest.mark.parametrize("name", ["uvicorn.access", "structlog", "langgraph_api.server", "openaivec", "somebody.elses"])
def test_records_of_other_packages_keep_what_their_formatters_need(name: str) -> None:
    record = record_of(name)
    assert record.args == ("GET", 200) and isinstance(record.msg, dict)


@pytest.mark.parametrize("name", ["openai", "httpx", "botocore.auth", "langchain_aws.chat_models", "urllib3.util"])
def test_records_of_providers_clients_are_covered(name: str) -> None:
    record = record_of(name)
    assert "a-key-of-mine-0123" not in f"{record.msg} {record.args}"


def test_a_record_whose_arguments_do_not_fit_does_not_raise_in_whoever_logs(log: io.StringIO) -> None:
    hide_secrets({"api_key": "a-key-of-mine-0123"})
    logging.getLogger("urllib3").warning("%d retries", "a-key-of-mine-0123")
    assert "%d retries (with arguments that do not fit)" in log.getvalue()
    assert "a-key-of-mine-0123" not in log.getvalue()
    assert logging.makeLogRecord({"msg": "by queue", "name": "httpx"}).getMessage() == "by queue"
