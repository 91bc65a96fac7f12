"""A refusal for its content is one item's, as a stop reason or as HTTP 400; other permanent errors stop the run."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from pada_graph.config import Limits, Models
from pada_graph.errors import StoppedError
from pada_graph.services import Reply
from pada_graph.teacher.ask import ask_items
from pada_graph.teacher.journaled import JournaledTeacher
from tests.fake_provider import Answer, FakeProvider

REFUSED = {
    "openai code": ("openai", Answer("no", status=400, error="content_policy_violation")),
    "azure code": ("openai", Answer("no", status=400, error="content_filter")),
    "openai flagged": ("openai", Answer("no", status=400, error="invalid_prompt")),
    "words": ("openai", Answer("Output blocked by content filtering policy", status=400)),
    "bedrock words": (
        "bedrock", Answer("The prompt was blocked by our content filters", status=400, error="ValidationException"),
    ),
}  # fmt: skip
STOPPED = {
    "wrong setting": ("openai", Answer("temperature is not supported", status=400, error="unsupported_value")),
    "too long": ("openai", Answer("too many tokens", status=400, error="context_length_exceeded")),
    "account": ("openai", Answer("Your account violates our content policy", status=403)),
    "bedrock": ("bedrock", Answer("The provided model identifier is invalid", status=400, error="ValidationException")),
}


def teacher_for(provider: FakeProvider, dialect: str, folder: Path) -> JournaledTeacher:
    model = getattr(provider, dialect)()
    return JournaledTeacher(Models(analyst=model, generator=model, judge=model), Limits(), folder / "calls.sqlite")


@pytest.mark.parametrize("case", REFUSED)
def test_a_400_about_the_prompts_content_is_a_refusal_of_the_item_and_is_asked_once(case: str, tmp_path: Path) -> None:
    dialect, answer = REFUSED[case]
    with FakeProvider(lambda request: answer) as provider:
        for _ in range(2):  # the second time from the journal
            teacher = teacher_for(provider, dialect, tmp_path)
            assert teacher.ask("generator", "a poisoned row", item="a") == Reply("", "content_filter", 0, 0)
            assert teacher.usage()["generator"]["calls"] == 1
            teacher.close()
        assert len(provider.requests) == 1


@pytest.mark.parametrize("case", STOPPED)
def test_any_other_permanent_error_stops_the_run(case: str, tmp_path: Path) -> None:
    dialect, answer = STOPPED[case]
    with FakeProvider(lambda request: answer) as provider:
        teacher = teacher_for(provider, dialect, tmp_path)
        with pytest.raises(StoppedError, match="refused the call"):
            teacher.ask("generator", "hello", item="a")
        teacher.close()


class Named(BaseModel):
    sample_id: str


class Refusing:
    """Answers for all ids of a prompt, or refuses it whole if a poisoned one is among them."""

    def __init__(self, poisoned: set[str], stop: str = "content_filter"):
        self.poisoned, self.stop = poisoned, stop
        self.asked: list[list[str]] = []

    def ask(self, role, prompt, *, item, attempt=0):
        ids = re.findall(r"s\d+", prompt.partition("\n")[0])
        self.asked.append(ids)
        if self.poisoned & set(ids):
            return Reply("", self.stop, 1, 0)
        return Reply(json.dumps([{"sample_id": id_} for id_ in ids]), "stop", 1, 1)


IDS = [f"s{k}" for k in range(1, 11)]


@pytest.mark.parametrize("stop", ["content_filter", "refusal", "guardrail_intervened"])
@pytest.mark.parametrize("poison", IDS)
def test_one_poisoned_id_costs_itself_alone_and_eight_calls_at_most(poison: str, stop: str) -> None:
    teacher = Refusing({poison}, stop)
    items = ask_items(teacher, "generator", item="b", ids=IDS, prompt=" ".join, schema=Named, reasks=0)
    assert set(items.found) == set(IDS) - {poison}
    assert items.refused == {poison} == set(items.problems)
    assert stop in items.problems[poison]
    assert len(teacher.asked) <= 9


def test_a_batch_of_poison_alone_takes_two_calls_a_sample_and_is_not_asked_again() -> None:
    teacher = Refusing(set(IDS))
    items = ask_items(teacher, "judge", item="b", ids=IDS, prompt=" ".join, schema=Named, reasks=2)
    assert items.refused == set(IDS) and len(teacher.asked) == 2 * len(IDS) - 1


def test_each_part_is_journaled_under_its_own_name_and_each_sample_has_its_prompts_hash() -> None:
    teacher = Refusing({"s1"})
    items = ask_items(teacher, "generator", item="b", ids=IDS[:4], prompt=" ".join, schema=Named, reasks=0)
    assert teacher.asked == [IDS[:4], ["s1", "s2"], ["s3", "s4"], ["s1"], ["s2"]]
    assert items.prompts["s3"] == items.prompts["s4"] != items.prompts["s2"]
