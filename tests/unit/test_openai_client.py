"""OpenAI's client without its typed requests and responses: the same requests, the same messages, the same errors."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain.chat_models import init_chat_model

from pada_graph.teacher import openai_client
from pada_graph.teacher.models import load_chat_model
from pada_graph.teacher.provider_errors import is_transient
from tests.fake_provider import Answer, FakeProvider
from tests.provider_tools import teacher_for

pytestmark = pytest.mark.usefixtures("no_cloud")

SETTINGS: dict[str, Any] = {
    "temperature": 0.7, "max_tokens": 99, "seed": 3, "top_p": 0.9, "stop": ["END"], "frequency_penalty": 0.1,
    "model_kwargs": {"user": "somebody"},
}  # fmt: skip


def typed(model: Any) -> Any:
    """The chat model as LangChain makes it."""
    settings = {name: value for name, value in model.model_extra.items() if name != "temperature"}
    return init_chat_model(model.model, temperature=model.temperature, max_retries=0, **settings)


def completion(**message: Any) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
             "prompt_tokens_details": {"cached_tokens": 3},
             "completion_tokens_details": {"reasoning_tokens": 2}}  # fmt: skip
    found = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "f",
             "service_tier": "default", "choices": [choice], "usage": usage, "unknown_to_the_client": [1]}  # fmt: skip
    return json.dumps(found).encode()


@pytest.mark.parametrize("settings", [{}, SETTINGS, {"extra_body": {"top_k": 4}}])
def test_requests_are_those_of_the_typed_client(settings: dict[str, Any]) -> None:
    with FakeProvider(lambda request: "ok") as provider:
        model = provider.openai(**settings)
        for chat in (load_chat_model(model), typed(model)):
            chat.invoke("héllo \u2028 {braces}")
        plain, usual = provider.requests
    assert plain.body == usual.body
    sent = [
        {name: value for name, value in request.headers.items() if name != "x-stainless-read-timeout"}
        for request in (plain, usual)
    ]
    assert sent[0] == sent[1]


def test_an_organisations_admin_key_goes_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "the-admin-key")
    with FakeProvider(lambda request: "ok") as provider:
        load_chat_model(provider.openai()).invoke("hi")
        with_key = provider.requests[-1]
        chat: Any = load_chat_model(provider.openai())
        chat.client.with_raw_response._client.api_key = ""
        with suppress(openai.OpenAIError, TypeError):  # whichever way it says that a key is missing
            chat.invoke("hi")
    assert with_key.headers["authorization"] != "Bearer the-admin-key"
    assert not any("the-admin-key" in str(request.headers) for request in provider.requests)


@pytest.mark.parametrize(
    "message", [{"content": "four words of reply"}, {"content": None, "refusal": "I will not."}, {"content": ""}]
)
def test_messages_are_those_of_the_typed_client(message: dict[str, Any]) -> None:
    raw = completion(**message)
    with FakeProvider(lambda request: Answer(raw=raw)) as provider:
        plain, usual = (chat.invoke("hi") for chat in (load_chat_model(provider.openai()), typed(provider.openai())))
    assert plain.text == usual.text and plain.usage_metadata == usual.usage_metadata
    for name in ("finish_reason", "model_name", "model_provider", "service_tier", "id"):
        assert plain.response_metadata[name] == usual.response_metadata[name]
    assert plain.additional_kwargs.get("refusal") == usual.additional_kwargs.get("refusal") == message.get("refusal")


def test_a_refusal_is_no_text_for_the_run(tmp_path: Path) -> None:
    raw = completion(content=None, refusal="I will not.")
    with FakeProvider(lambda request: Answer(raw=raw)) as provider:
        reply = teacher_for(provider.openai(), tmp_path).ask("judge", "hi", item="a")
    assert (reply.stop_reason, reply.text) == ("refusal", "")


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b'"text"', b"{}", b'{"choices": null}', b'{"choices": [7]}', b'{"choices": [{"message": 7}]}',
     b'{"choices": [{"message": null}]}', b'{"error": {"message": "no"}}', b'{"choices": [', b"<html>"],
)  # fmt: skip
def test_what_is_no_completion_is_an_error_and_asked_again_or_not_as_with_the_typed_client(raw: bytes) -> None:
    with FakeProvider(lambda request: Answer(raw=raw)) as provider:
        again = []
        for chat in (load_chat_model(provider.openai()), typed(provider.openai())):
            with pytest.raises(Exception, match=r".*") as caught:
                chat.invoke("hi")
            again.append(is_transient(caught.value))
    assert again[0] == again[1]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_errors_are_of_the_typed_clients_classes(status: int) -> None:
    with FakeProvider(lambda request: Answer("no", status=status, headers={"Retry-After": "7"})) as provider:
        kinds = []
        for chat in (load_chat_model(provider.openai()), typed(provider.openai())):
            with pytest.raises(openai.APIStatusError) as caught:
                chat.invoke("hi")
            kinds.append((type(caught.value), caught.value.response.headers["Retry-After"]))
    assert kinds[0] == kinds[1]


def test_json_that_calls_itself_text_is_read() -> None:
    raw = completion(content="plain")
    with FakeProvider(lambda request: Answer(raw=raw, headers={"Content-Type": "text/plain"})) as provider:
        assert load_chat_model(provider.openai()).invoke("hi").text == "plain"


def test_classes_that_derive_from_it_keep_the_typed_client() -> None:
    with FakeProvider(lambda request: "ok") as provider:
        settings = {"azure_endpoint": provider.url, "api_version": "1", "api_key": "x", "azure_deployment": "d"}
        azure = load_chat_model(type(provider.openai()).model_validate({"model": "azure_openai:m", **settings}))
        own = load_chat_model(provider.openai())
    assert isinstance(own.client, openai_client.Completions)
    assert not isinstance(azure.client, openai_client.Completions)
