"""Chat models that stream, as Studio makes them with `disable_streaming: false`: OpenAI's SSE, Bedrock's frames."""

from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from pada_graph.errors import StoppedError
from pada_graph.teacher.journaled import JournaledTeacher
from pada_graph.teacher.models import load_chat_model
from tests.fake_provider import Answer, FakeProvider, Request, frame
from tests.provider_tools import DIALECTS, Clock, echo, one_model, teacher_for

pytestmark = pytest.mark.usefixtures("no_cloud")


def test_frames_are_what_botocore_reads() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(frame("messageStop", {"stopReason": "end_turn"}))
    (event,) = buffer
    assert event.headers[":event-type"] == "messageStop"
    assert event.payload == b'{"stopReason": "end_turn"}'


@DIALECTS
@pytest.mark.parametrize("streaming", [False, True])
def test_invoke_and_stream_give_the_same_text_and_tokens(dialect: str, streaming: bool) -> None:
    with FakeProvider(echo) as provider:
        chat = load_chat_model(one_model(provider, dialect, disable_streaming=not streaming))
        whole = chat.invoke("two words")
        chunks = list(chat.stream("two words"))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk
    assert whole.text == streamed.text == "you said two words"
    assert streamed.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"] == 4
    assert (len([chunk for chunk in chunks if chunk.text]) > 1) == streaming
    assert [request.stream for request in provider.requests] == [False, streaming]


class State(TypedDict, total=False):
    text: str
    stop: str
    tokens: int


def ask_in_a_graph(teacher: JournaledTeacher) -> list[Any]:
    """One question from within a node, while somebody watches the tokens."""

    def ask(state: State) -> State:
        reply = teacher.ask("judge", "hi", item="a")
        return {"text": reply.text, "stop": reply.stop_reason, "tokens": reply.output_tokens}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    return list(builder.compile().stream({}, stream_mode=["messages", "values"]))


@DIALECTS
def test_a_graph_that_streams_messages_gets_tokens_and_the_journal_a_whole_reply(dialect: str, tmp_path: Path) -> None:
    with FakeProvider(lambda request: Answer("one two three", stop="length")) as provider:
        teacher = teacher_for(one_model(provider, dialect, disable_streaming=False), tmp_path)
        parts = ask_in_a_graph(teacher)
    pieces = [value[0].text for mode, value in parts if mode == "messages" and value[0].text]
    assert len(pieces) > 1 and "".join(pieces) == "one two three"
    assert parts[-1][1] == {"text": "one two three", "stop": "length", "tokens": 3}
    assert provider.requests[0].stream


FAULTS = [
    ("openai", Answer("slow", status=429)),
    ("openai", Answer("half of a reply that is longer", cut=300)),
    ("openai", Answer("half of a reply that is longer", cut=300, length=300)),  # looks like a clean end
    ("openai", Answer("overloaded", error="server_error")),
    ("bedrock", Answer("slow", status=429, error="ThrottlingException")),
    ("bedrock", Answer("oops", status=424, error="ModelErrorException")),
    ("bedrock", Answer("half of a reply that is longer", cut=300)),
    ("bedrock", Answer("half of a reply that is longer", cut=300, length=300)),
    ("bedrock", Answer("slow", error="throttlingException")),
    ("bedrock", Answer("oops", error="modelStreamErrorException")),
    ("bedrock", Answer("oops", error="internalServerException")),
]


@pytest.mark.parametrize(("dialect", "fault"), FAULTS)
def test_broken_streams_are_asked_again_and_never_used(
    dialect: str, fault: Answer, tmp_path: Path, clock: Clock
) -> None:
    def script(request: Request) -> Answer | str:
        return fault if request.nth < 2 else echo(request)

    with FakeProvider(script) as provider:
        teacher = teacher_for(one_model(provider, dialect, disable_streaming=False), tmp_path)
        parts = ask_in_a_graph(teacher)
    assert parts[-1][1]["text"] == "you said hi"
    assert [request.stream for request in provider.requests] == [True] * 3
    assert len(clock.naps) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Answer("Too long", status=400, error="ValidationException"),
        Answer("Not you", status=403, error="AccessDeniedException"),
        Answer("Too long", error="validationException"),
    ],
)
def test_refused_streams_stop_after_one_request(fault: Answer, tmp_path: Path, clock: Clock) -> None:
    with FakeProvider(lambda request: fault) as provider:
        teacher = teacher_for(provider.bedrock(disable_streaming=False), tmp_path)
        with pytest.raises(StoppedError, match="refused the call"):
            ask_in_a_graph(teacher)
    assert len(provider.requests) == 1 and provider.requests[0].stream
