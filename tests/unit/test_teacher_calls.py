import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pada_graph.config import Limits, Model, Models
from pada_graph.errors import InputError, StoppedError
from pada_graph.teacher import retries
from pada_graph.teacher.journaled import JournaledTeacher, call_key
from pada_graph.teacher.models import load_chat_model
from tests.fake_provider import Answer, FakeProvider, Request, Script, TokenBucket, tokens
from tests.provider_tools import DIALECTS, KEYS, Clock, echo, one_model, teacher_for, unfinished

pytestmark = pytest.mark.usefixtures("no_cloud")


@pytest.fixture
def naps(clock: Clock) -> list[float]:
    return clock.naps


@DIALECTS
def test_reply_carries_text_stop_reason_and_tokens(dialect: str, tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        return Answer("one two three", stop="length" if "long" in request.prompt else "stop")

    with FakeProvider(script) as provider:
        teacher = teacher_for(one_model(provider, dialect), tmp_path)
        whole, cut = teacher.ask("judge", "two words", item="a"), teacher.ask("judge", "a long one", item="a")
    assert (whole.text, whole.stop_reason, whole.input_tokens, whole.output_tokens) == ("one two three", "stop", 2, 3)
    assert cut.stop_reason == "length"
    assert teacher.usage() == {"judge": {"calls": 2, "input_tokens": 5, "output_tokens": 6, "usd": None}}
    teacher.close()


@DIALECTS
@pytest.mark.parametrize("reason", ["content_filter", "guardrail_intervened"])
def test_other_stop_reasons_are_passed_on(dialect: str, reason: str, tmp_path: Path) -> None:
    with FakeProvider(lambda request: Answer("no", stop=reason)) as provider:
        assert teacher_for(one_model(provider, dialect), tmp_path).ask("judge", "x", item="a").stop_reason == reason


@DIALECTS
def test_null_temperature_is_not_sent(dialect: str, tmp_path: Path) -> None:
    with FakeProvider(echo) as provider:
        for temperature in (None, 0.7):
            model = one_model(provider, dialect, temperature=temperature)
            teacher_for(model, tmp_path).ask("judge", "x", item="a")
        sent = [
            request.body if dialect == "openai" else request.body.get("inferenceConfig", {})
            for request in provider.requests
        ]
    assert "temperature" not in sent[0]
    assert sent[1]["temperature"] == 0.7


@DIALECTS
def test_finished_call_is_answered_from_the_journal_after_reopening(dialect: str, tmp_path: Path) -> None:
    with FakeProvider(echo) as provider:
        model = one_model(provider, dialect)
        first = teacher_for(model, tmp_path)
        reply = first.ask("generator", "hello", item="batch-1")
        first.close()
        again = teacher_for(model, tmp_path)
        assert again.ask("generator", "hello", item="batch-1") == reply
        assert len(provider.requests) == 1
        again.ask("generator", "hello", item="batch-1", attempt=1)
        again.ask("generator", "hello", item="batch-2")
        again.ask("judge", "hello", item="batch-1")
        again.ask("generator", "hello!", item="batch-1")
        assert len(provider.requests) == 5
        assert again.usage()["generator"]["calls"] == 4


def test_key_depends_on_what_shapes_an_answer_and_on_no_secret() -> None:
    def key(**settings: object) -> str:
        return call_key("judge", Model.model_validate({"model": "openai:x", **settings}), "prompt", "item", 0)

    assert (
        key()
        == key(temperature=0.0)
        == key(api_key="one")
        == key(api_key="two", timeout=5, base_url="http://elsewhere")
    )
    assert len({key(), key(temperature=1), key(max_tokens=9), key(model="openai:y"), key(seed=1)}) == 5


TRANSIENT = [
    ("openai", Answer("slow down", status=429)),
    ("openai", Answer("oops", status=500)),
    ("openai", Answer("oops", status=503)),
    ("openai", Answer(drop=True)),
    ("openai", Answer(raw=b'{"choices": [')),
    ("openai", Answer("a reply of some length", cut=60)),
    ("openai", Answer("a reply of some length", length=60)),
    ("bedrock", Answer("slow down", status=429, error="ThrottlingException")),
    ("bedrock", Answer("oops", status=500, error="InternalServerException")),
    ("bedrock", Answer("oops", status=503, error="ServiceUnavailableException")),
    ("bedrock", Answer("oops", status=424, error="ModelErrorException")),
    ("bedrock", Answer("oops", status=429, error="ModelNotReadyException")),
    ("bedrock", Answer(drop=True)),
    ("bedrock", Answer("a reply of some length", cut=60)),
    ("bedrock", Answer("a reply of some length", length=60)),
]


def failing(times: int, answer: Answer) -> Script:
    return lambda request: answer if request.nth < times else echo(request)


@pytest.mark.parametrize(("dialect", "answer"), TRANSIENT)
def test_transient_errors_are_retried_by_one_layer(
    dialect: str, answer: Answer, tmp_path: Path, naps: list[float]
) -> None:
    with FakeProvider(failing(2, answer)) as provider:
        reply = teacher_for(one_model(provider, dialect), tmp_path).ask("analyst", "hi", item="a")
    assert reply.text == "you said hi"
    assert len(provider.requests) == 3
    assert len(naps) == 2


@pytest.mark.parametrize(("dialect", "answer"), TRANSIENT)
def test_lasting_transient_errors_stop_the_run_and_a_later_run_goes_on(
    dialect: str, answer: Answer, tmp_path: Path, naps: list[float]
) -> None:
    with FakeProvider(failing(retries.ATTEMPTS, answer)) as provider:
        teacher = teacher_for(one_model(provider, dialect), tmp_path)
        with pytest.raises(StoppedError, match=r"models\.analyst\.model.*same command again"):
            teacher.ask("analyst", "hi", item="a")
        assert len(provider.requests) == retries.ATTEMPTS
        lost = answer.status == 200  # without an error's status it may have been paid
        assert (teacher.journal.calls(), unfinished(teacher.journal)) == ((retries.ATTEMPTS, 1) if lost else (0, 0))
        assert teacher.ask("analyst", "hi", item="a").text == "you said hi"
        assert unfinished(teacher.journal) == 0


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        ("openai", Answer("late", status=408)),
        ("openai", Answer("late", status=504)),
        ("openai", Answer("late", status=524)),
        ("bedrock", Answer("late", status=504, error="GatewayTimeout")),
        ("bedrock", Answer("late", status=408, error="ModelTimeoutException")),
    ],
)
def test_a_reply_that_a_gateway_gave_up_may_be_paid_and_is_asked_for_once_more(
    dialect: str, answer: Answer, tmp_path: Path, naps: list[float]
) -> None:
    with FakeProvider(failing(retries.LATE_ATTEMPTS, answer)) as provider:
        teacher = teacher_for(one_model(provider, dialect), tmp_path)
        with pytest.raises(StoppedError, match="did not answer"):
            teacher.ask("analyst", "hi", item="a")
        assert len(provider.requests) == retries.LATE_ATTEMPTS
        assert teacher.journal.unanswered() == retries.LATE_ATTEMPTS
        assert teacher.ask("analyst", "hi", item="a").text == "you said hi"
        teacher.close()


@DIALECTS
def test_endless_retry_after_stops_at_once(dialect: str, tmp_path: Path, naps: list[float]) -> None:
    error = "ThrottlingException" if dialect == "bedrock" else ""
    answer = Answer("wait", status=429, error=error, headers={"Retry-After": "3600"})
    with FakeProvider(lambda request: answer) as provider, pytest.raises(StoppedError, match="in 3600 s"):
        teacher_for(one_model(provider, dialect), tmp_path).ask("analyst", "hi", item="a")
    assert len(provider.requests) == 1
    assert naps == []


@pytest.mark.parametrize(
    ("dialect", "answer", "fix"),
    [
        ("openai", Answer("Bad argument", status=400), "keys beside this setting"),
        ("openai", Answer("Incorrect API key provided: not-a-real-key-0123", status=401), "api_key"),
        ("openai", Answer("Not yours, sk-proj-abcdefghijk", status=403), "may use this model"),
        ("openai", Answer("No such model", status=404), "model's id"),
        ("openai", Answer("Pay first", status=429, error="insufficient_quota"), "quota"),
        ("bedrock", Answer("Too long", status=400, error="ValidationException"), "analysis_batch"),
        ("bedrock", Answer("AKIAFAKEFAKEFAKEFAKE may not", status=403, error="AccessDeniedException"), "model access"),
        ("bedrock", Answer("Bad token", status=403, error="UnrecognizedClientException"), "Check the credentials"),
        ("bedrock", Answer("End of life", status=404, error="ResourceNotFoundException"), "retired"),
        ("bedrock", Answer("Too much", status=400, error="ServiceQuotaExceededException"), "quota"),
    ],
)
def test_permanent_errors_stop_after_one_request_and_tell_no_secret(
    dialect: str, answer: Answer, fix: str, tmp_path: Path, naps: list[float]
) -> None:
    with FakeProvider(lambda request: answer) as provider:
        teacher = teacher_for(one_model(provider, dialect), tmp_path)
        with pytest.raises(StoppedError) as caught:
            teacher.ask("judge", "hi", item="a")
    assert len(provider.requests) == 1
    assert naps == []
    shown = "".join(traceback.format_exception(caught.value))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert fix in str(caught.value)
    assert "judge" in str(caught.value)
    assert "models.judge.model" in str(caught.value)
    for secret in (*KEYS, "sk-proj-abcdefghijk"):
        assert secret not in shown
        assert secret.encode() not in stored
    assert teacher.journal.calls() == 0  # a refused call is not paid


def test_key_of_the_environment_is_not_told_either(
    tmp_path: Path, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-environment")
    with FakeProvider(lambda request: Answer(f"Bad key {request.headers['authorization']}", status=401)) as provider:
        model = Model.model_validate({"model": "openai:x", "base_url": f"{provider.url}/v1"})
        with pytest.raises(StoppedError) as caught:
            teacher_for(model, tmp_path).ask("judge", "hi", item="a")
        assert provider.requests[0].headers["authorization"] == "Bearer key-of-the-environment"
    assert "key-of-the-environment" not in "".join(traceback.format_exception(caught.value))


CHILD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pada_graph.config import Limits, Model, Models
from pada_graph.teacher.journaled import JournaledTeacher
model = Model.model_validate_json(sys.argv[1])
teacher = JournaledTeacher(Models(analyst=model, generator=model, judge=model), Limits(), Path(sys.argv[2]))
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda number: teacher.ask("judge", str(number), item="a"), range(400)))
"""


def test_killed_run_repeats_no_finished_call(tmp_path: Path) -> None:
    with FakeProvider(lambda request: Answer(f"re {request.prompt}", delay=0.01)) as provider:
        model = provider.openai()
        path = tmp_path / "teacher_calls.sqlite"
        child = subprocess.Popen([sys.executable, "-c", CHILD, model.model_dump_json(), str(path)])
        while len(provider.requests) < 60 and child.poll() is None:
            time.sleep(0.01)
        child.kill()
        child.wait()
        teacher = teacher_for(model, tmp_path)
        outstanding = unfinished(teacher.journal)
        finished = teacher.usage()["judge"]["calls"]
        replies = [teacher.ask("judge", str(number), item="a").text for number in range(100)]
    assert replies == [f"re {number}" for number in range(100)]
    assert outstanding <= 8
    assert finished >= 60 - 8
    repeated = sum(count - 1 for count in provider.counts.values())
    assert repeated <= outstanding
    assert unfinished(teacher.journal) == 0


def test_connection_refused_is_transient(tmp_path: Path, naps: list[float]) -> None:
    with FakeProvider(echo) as provider:
        openai, bedrock = provider.openai(), provider.bedrock()
    for model in (openai, bedrock):
        with pytest.raises(StoppedError, match="did not answer"):
            teacher_for(model, tmp_path).ask("judge", "hi", item="a")
    assert len(naps) == 2 * (retries.ATTEMPTS - 1)


def test_lost_replies_count_towards_max_calls(tmp_path: Path, naps: list[float]) -> None:
    with FakeProvider(lambda request: Answer(drop=True)) as provider:
        teacher = teacher_for(provider.openai(), tmp_path, max_calls=3)
        with pytest.raises(StoppedError, match=r"limits\.max_calls"):
            teacher.ask("judge", "hi", item="a")
    assert len(provider.requests) == teacher.journal.calls() == 3


def test_calls_that_wait_are_not_sent_once_the_provider_refuses_all(tmp_path: Path) -> None:
    with FakeProvider(lambda request: Answer("who?", status=401, delay=0.2)) as provider:
        teacher = teacher_for(provider.openai(), tmp_path, concurrency=2)
        teacher.load()

        def ask(number: int) -> str:
            with pytest.raises(StoppedError) as caught:
                teacher.ask("judge", str(number), item="a")
            return str(caught.value)

        with ThreadPoolExecutor(16) as pool:
            messages = set(pool.map(ask, range(16)))
        assert len(provider.requests) <= 4
        assert len(messages) == 1 and "api_key" in messages.pop()
        provider.script = echo
        assert teacher.ask("judge", "later", item="a").text == "you said later"


def test_a_prompt_that_is_refused_does_not_stop_others_that_wait(tmp_path: Path) -> None:
    def script(request: Request) -> Answer | str:
        return Answer("no", status=400) if request.prompt == "0" else Answer(echo(request), delay=0.05)

    with FakeProvider(script) as provider:
        teacher = teacher_for(provider.openai(), tmp_path, concurrency=1)

        def ask(number: int) -> bool:
            try:
                return bool(teacher.ask("judge", str(number), item="a"))
            except StoppedError:
                return False

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == [False] + [True] * 7


def test_a_token_bucket_is_used_up_but_not_hammered(tmp_path: Path) -> None:
    """Without the shrinking, 64 callers get so many 429s that some give up."""
    bucket = TokenBucket(lambda request: Answer(echo(request), delay=0.05), rate=25)
    with FakeProvider(bucket) as provider:
        teacher = teacher_for(provider.openai(), tmp_path, concurrency=64)
        teacher.load()
        started = time.monotonic()
        with ThreadPoolExecutor(64) as pool:
            texts = list(pool.map(lambda number: teacher.ask("judge", str(number), item="a").text, range(120)))
        wall = time.monotonic() - started
    assert texts == [f"you said {number}" for number in range(120)]
    assert wall < 3 * (120 - 25) / 25
    assert 0 < bucket.throttled < 110  # of which 39 are the first 64 callers' own
    assert teacher.journal.calls() == 120


def test_max_calls_stops_before_the_call_and_holds_over_restarts(tmp_path: Path) -> None:
    with FakeProvider(echo) as provider:
        teacher = teacher_for(provider.openai(), tmp_path, max_calls=2)
        teacher.ask("judge", "1", item="a")
        teacher.ask("judge", "2", item="a")
        teacher.ask("judge", "2", item="a")
        teacher.close()
        again = teacher_for(provider.openai(), tmp_path, max_calls=2)
        with pytest.raises(StoppedError, match=r"limits\.max_calls"):
            again.ask("judge", "3", item="a")
        assert len(provider.requests) == 2
        assert again.ask("judge", "1", item="a").text == "you said 1"
        assert teacher_for(provider.openai(), tmp_path, max_calls=3).ask("judge", "3", item="a").text == "you said 3"


def test_max_calls_holds_among_threads(tmp_path: Path) -> None:
    with FakeProvider(lambda request: Answer("x", delay=0.02)) as provider:
        teacher = teacher_for(provider.openai(), tmp_path, max_calls=5)

        def ask(number: int) -> bool:
            try:
                teacher.ask("judge", str(number), item="a")
            except StoppedError:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            answered = sum(pool.map(ask, range(16)))
    assert answered == len(provider.requests) == 5


@DIALECTS
def test_64_threads_ask_at_once_within_the_concurrency(dialect: str, tmp_path: Path) -> None:
    with FakeProvider(lambda request: Answer(f"re {request.prompt}", delay=0.02)) as provider:
        teacher = teacher_for(one_model(provider, dialect), tmp_path, concurrency=8)
        start = threading.Barrier(64)

        def ask(number: int) -> str:
            start.wait()
            return teacher.ask("judge", f"question {number}", item="a").text

        with ThreadPoolExecutor(64) as pool:
            replies = list(pool.map(ask, range(64)))
    assert replies == [f"re question {number}" for number in range(64)]
    assert max(provider.counts.values()) == 1
    assert 2 <= provider.peak <= 8
    assert teacher.usage()["judge"]["calls"] == 64
    assert teacher.usage()["judge"]["output_tokens"] == 64 * tokens("re question 1")
    assert unfinished(teacher.journal) == 0


def test_models_are_made_at_the_first_question_and_once_a_role(tmp_path: Path) -> None:
    models = Models(analyst=Model(model="nobody:x"), generator=Model(model="nobody:x"), judge=Model(model="nobody:x"))
    teacher = JournaledTeacher(models, Limits(), tmp_path / "calls.sqlite")
    assert teacher.usage() == {}
    with pytest.raises(InputError, match=r"models\.generator\.model: nobody:x.*provider:model"):
        teacher.ask("generator", "hi", item="a")
    assert unfinished(teacher.journal) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "openai:x"}, r"models\.judge\.model: openai:x .*OPENAI_API_KEY"),
        ({"model": "openai:x", "api_key": KEYS[0], "base_ur": "http://x"}, r"models\.judge\.base_ur: .*'base_url'"),
        ({"model": "openai:x", "api_key": KEYS[0], "max_tokens": KEYS[0]}, r"models\.judge: .*max_tokens"),
        ({"model": "bedrock_converse:x"}, r"models\.judge\.model: .*AWS_REGION"),
        ({"model": "bedrock_converse:x", "region_name": "us-east-1"}, r"models\.judge\.model: .*AWS_PROFILE"),
        ({"model": "bedrock_converse:x", "credentials_profile_name": "nobody"}, r"models\.judge\.model: .*nobody"),
        ({"model": "nobody:x"}, r"models\.judge\.model: .*openai:NAME"),
        ({"model": "gguf:/no/such/file"}, r"models\.judge: .*/no/such/file"),
        ({"model": f"gguf:{__file__}"}, r"models\.judge: .*not a GGUF file"),
        ({"model": f"gguf:{__file__}", "nctx": 1}, r"models\.judge\.nctx: .*'n_ctx'"),
    ],
)
@pytest.mark.filterwarnings("ignore:WARNING")
def test_unusable_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_chat_model(Model.model_validate(settings), setting="models.judge")
    assert not any(key in "".join(traceback.format_exception(caught.value)) for key in KEYS)


@pytest.mark.parametrize(
    ("package", "model", "extra"),
    [
        ("langchain_openai", "openai:x", "openai"),
        ("langchain_aws", "bedrock_converse:x", "bedrock"),
        ("boto3", "bedrock_converse:x", "bedrock"),
    ],
)
def test_missing_package_names_the_extra(package: str, model: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from langchain.chat_models import base

    base._get_chat_model_creator.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    settings = {"model": model, "region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    with pytest.raises(InputError, match=rf"pip install 'pada-graph\[{extra}\]'"):
        load_chat_model(Model.model_validate(settings if extra == "bedrock" else {"model": model, "api_key": "x"}))
