"""Rows 1 to 5 of the fault matrix (docs/reliability.md): a provider that throttles, fails, refuses, hangs, loses."""

import logging
import socket
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest

from pada_graph import cli, run
from pada_graph.errors import StoppedError
from pada_graph.nodes import open as opening
from pada_graph.teacher import retries
from pada_graph.teacher.journal import Journal
from tests.fake_provider import Answer, FakeProvider, Request
from tests.fakes import fake_services, write_sums
from tests.graph.test_loop import config
from tests.provider_tools import (
    DIALECTS,
    KEYS,
    Clock,
    echo,
    in_form,
    one_model,
    teacher_for,
    unfinished,
)

pytestmark = pytest.mark.usefixtures("no_cloud")


def throttled(dialect: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer("slow down", status=429, error="ThrottlingException" if dialect == "bedrock" else "", headers=named)


ASKED = {
    "seconds": lambda: {"retry_after": "7"},
    "milliseconds": lambda: {"retry_after_ms": "7000", "retry_after": "60"},
    "date": lambda: {"retry_after": formatdate(time.time() + 7.9, usegmt=True)},
}


@DIALECTS
@pytest.mark.parametrize("form", ASKED)
@pytest.mark.parametrize("failures", [1, 3])
def test_row_01_throttled_calls_wait_as_asked_and_succeed(
    dialect: str, form: str, failures: int, tmp_path: Path, clock: Clock
) -> None:
    def script(request: Request) -> Answer | str:
        return throttled(dialect, **ASKED[form]()) if request.nth < failures else echo(request)

    with FakeProvider(script) as provider:
        teacher = teacher_for(one_model(provider, dialect), tmp_path)
        assert teacher.ask("analyst", "hi", item="a").text == "you said hi"
    assert len(provider.requests) == failures + 1
    asked = (6 if form == "date" else 7) * failures  # a date has no fractions of seconds
    assert asked <= clock.now - 1000 <= 10 * failures
    assert (teacher.journal.calls(), unfinished(teacher.journal)) == (1, 0)  # what was throttled was not paid


def run_with(provider: FakeProvider, dialect: str, tmp_path: Path) -> dict:
    teacher = teacher_for(one_model(provider, dialect), tmp_path / "run")
    settings = config(tmp_path / "sums", iterations=1)
    return run(settings, tmp_path / "run", services=fake_services(teacher=teacher))


LASTING = {
    "openai": [Answer("oops", status=status) for status in (500, 502, 503)] + [Answer("x" * 500, cut=200)],
    "bedrock": [
        Answer("oops", status=424, error="ModelErrorException"),
        Answer("oops", status=500, error="InternalServerException"),
        Answer("x" * 500, cut=200),
    ],
}


@DIALECTS
def test_row_02_a_failing_provider_stops_the_run_which_resumes_when_it_is_well(
    dialect: str, tmp_path: Path, clock: Clock
) -> None:
    write_sums(tmp_path / "sums")
    ill = True

    def script(request: Request) -> Answer | str:
        if ill and request.prompt.startswith("Please generate"):
            return LASTING[dialect][request.nth % len(LASTING[dialect])]
        return in_form(request)

    with FakeProvider(script) as provider:
        with pytest.raises(StoppedError, match=r"models\.generator\.model\).*same command again"):
            run_with(provider, dialect, tmp_path)
        done = {request.sha256 for request in provider.requests if not request.prompt.startswith("Please generate")}
        assert max(provider.counts.values()) == retries.ATTEMPTS
        asked = {sha256: provider.counts[sha256] for sha256 in done}
        assert len(asked) > 3
        ill = False
        metrics = run_with(provider, dialect, tmp_path)
        assert metrics["accounting"]["accepted"] == metrics["accounting"]["requested"] == 10
        assert {sha256: provider.counts[sha256] for sha256 in done} == asked  # nothing finished is asked again


def test_row_02_the_command_line_says_so_with_exit_status_one(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sums(tmp_path / "sums")
    with FakeProvider(lambda request: Answer("oops", status=500)) as provider:
        services = fake_services(teacher=teacher_for(provider.openai(), tmp_path / "run"))
        monkeypatch.setattr(opening, "default_services", lambda *_: services)
        monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
        (tmp_path / "config.yaml").write_text(config(tmp_path / "sums", iterations=1).model_dump_json())
        command = ["pada-graph", "run", str(tmp_path / "config.yaml"), "--run-dir", str(tmp_path / "run")]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            cli.main()
    assert left.value.code == 1
    error = capsys.readouterr().err
    assert "models.analyst.model" in error and "The same command goes on from here." in error
    assert "Traceback" not in error


REFUSALS = [
    ("openai", Answer("Bad argument", status=400), "keys beside this setting"),
    ("openai", Answer("Incorrect API key provided: not-a-real-key-0123", status=401), "api_key"),
    ("openai", Answer("Not for not-a-real-key-0123", status=403), "may use this model"),
    ("openai", Answer("No such model", status=404), "model's id"),
    ("openai", Answer("Too many tokens", status=400, error="context_length_exceeded"), "analysis_batch"),
    ("bedrock", Answer("Input is too long", status=400, error="ValidationException"), "analysis_batch"),
    ("bedrock", Answer("AKIAFAKEFAKEFAKEFAKE may not", status=403, error="AccessDeniedException"), "model access"),
    ("bedrock", Answer("End of life", status=404, error="ResourceNotFoundException"), "retired"),
]


@pytest.mark.parametrize(("dialect", "fault", "fix"), REFUSALS)
def test_row_03_refusals_stop_at_once_name_the_setting_and_tell_no_secret(
    dialect: str, fault: Answer, fix: str, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sums(tmp_path / "sums")
    log = tmp_path / "run/debug.log"
    log.parent.mkdir()
    handler = logging.FileHandler(log)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore2", "botocore", "urllib3", "langchain_aws"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    root.addHandler(handler)
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]
    try:
        with FakeProvider(lambda request: fault) as provider, pytest.raises(StoppedError) as caught:
            run_with(provider, dialect, tmp_path)
    finally:
        root.removeHandler(handler)
        handler.close()
    assert set(provider.counts.values()) == {1}
    assert clock.naps == []
    assert "models.analyst.model" in str(caught.value) and fix in str(caught.value)
    assert {"openai": "/chat/completions", "bedrock": "/converse"}[dialect] in log.read_text()  # the SDKs did log
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [*(path.read_bytes() for path in written), "".join(traceback.format_exception(caught.value)).encode()]
    assert len(written) > 5
    for key in KEYS:
        assert [text[:80] for text in texts if key.encode() in text] == []


@DIALECTS
def test_row_04_a_refused_connection_is_tried_again_and_then_stops_the_run(
    dialect: str, tmp_path: Path, clock: Clock
) -> None:
    with FakeProvider(echo) as provider:
        model = one_model(provider, dialect)
    teacher = teacher_for(model, tmp_path)
    with pytest.raises(StoppedError, match="did not answer"):
        teacher.ask("judge", "hi", item="a")
    assert len(clock.naps) == retries.ATTEMPTS - 1
    assert teacher.journal.calls() == 0  # nothing reached anybody


@DIALECTS
def test_row_04_a_connection_that_is_never_accepted_times_out(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "sleep", lambda seconds: None)
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    with socket.socket() as deaf, FakeProvider(echo) as provider:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # fill the queue: the kernel drops what comes after
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(deaf.getsockname())
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        place = {"base_url": f"{address}/v1"} if dialect == "openai" else {"endpoint_url": address}
        teacher = teacher_for(one_model(provider, dialect, timeout=1, **place), tmp_path)
        teacher.load()
        started = time.monotonic()
        with pytest.raises(StoppedError, match="did not answer"):
            teacher.ask("judge", "hi", item="a")
        assert 1.9 < time.monotonic() - started < 20
        for client in waiting:
            client.close()
    assert teacher.journal.calls() == 0


SLOW = {"silent": Answer("x", delay=90), "dripping": Answer("x", drip=0.4)}


@DIALECTS
@pytest.mark.parametrize("slow", ["silent", "dripping"])
def test_row_04_a_silent_or_dripping_provider_is_left_in_time(
    dialect: str, slow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "sleep", lambda seconds: None)
    with FakeProvider(lambda request: SLOW[slow]) as provider:  # the dripping reply takes more than 50 s
        teacher = teacher_for(one_model(provider, dialect, timeout=1), tmp_path)
        teacher.load()
        started = time.monotonic()
        with pytest.raises(StoppedError, match="did not answer"):
            teacher.ask("judge", "hi", item="a")
        assert time.monotonic() - started < 25
        assert len(provider.requests) == 2


@DIALECTS
def test_row_05_a_reply_that_comes_too_late_costs_one_more_call_and_the_journal_shows_it(
    dialect: str, tmp_path: Path
) -> None:
    def script(request: Request) -> Answer | str:
        late = request.nth == 0 and int(request.prompt) % 2
        return Answer("late", delay=12) if late else f"re {request.prompt}"

    with FakeProvider(script) as provider:
        teacher = teacher_for(one_model(provider, dialect, timeout=4), tmp_path)
        teacher.load()
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda number: teacher.ask("judge", str(number), item="a").text, range(8)))
    assert replies == [f"re {number}" for number in range(8)]
    assert max(provider.counts.values()) == 2
    assert teacher.journal.calls() == len(provider.requests) == 12
    assert teacher.usage()["judge"]["calls"] == 8
    assert unfinished(teacher.journal) == 0


def test_row_05_a_provider_that_is_always_late_is_asked_twice_and_then_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "sleep", lambda seconds: None)
    late = True
    with FakeProvider(lambda request: Answer("done", delay=30 if late else 0)) as provider:
        teacher = teacher_for(provider.openai(timeout=3), tmp_path)
        with pytest.raises(StoppedError, match="did not answer"):
            teacher.ask("judge", "hi", item="a")
        teacher.close()
        journal = Journal(tmp_path / "teacher_calls.sqlite")
        assert (len(provider.requests), journal.calls(), unfinished(journal)) == (2, 2, 1)
        late = False
        assert teacher.ask("judge", "hi", item="a").text == "done"
        assert (len(provider.requests), teacher.journal.calls(), unfinished(teacher.journal)) == (3, 3, 0)
        assert teacher.usage()["judge"]["calls"] == 1
