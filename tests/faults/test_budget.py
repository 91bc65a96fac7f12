"""Row 30 of the fault matrix: a budget in calls, dollars, tokens or hours is reached."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pada_graph import run
from pada_graph.config import Limits, Models
from pada_graph.errors import InputError, StoppedError
from pada_graph.teacher.journaled import JournaledTeacher
from tests.fake_provider import Answer, FakeProvider
from tests.fakes import write_sums
from tests.paid_runs import Bill, answering, paid_config, paid_services, with_limit
from tests.provider_tools import unfinished

PRICE = {"input": 10.0, "output": 30.0}  # dollars per million tokens


@pytest.fixture
def price_file(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text(json.dumps({"models": {f"openai:{role}": PRICE for role in ("analyst", "generator", "judge")}}))
    return str(file)


def charged(bill: Bill) -> float:
    return sum(sent * PRICE["input"] + received * PRICE["output"] for _, sent, received in bill.sent) / 1e6


def used(bill: Bill) -> int:
    return sum(sent + received for _, sent, received in bill.sent)


def ledger(teacher: JournaledTeacher) -> float:
    return sum(role["usd"] or 0.0 for role in teacher.usage().values())


@pytest.mark.parametrize("limit", ["max_calls", "max_usd", "max_tokens"])
def test_row_30_a_budget_stops_the_run_before_the_call_that_would_exceed_it_and_raising_it_goes_on(
    tmp_path, price_file, limit
):
    sums, bill = write_sums(tmp_path / "sums"), Bill(answering())
    with FakeProvider(bill) as provider:
        models = {role: with_limit(provider.openai(role), 200) for role in ("analyst", "generator", "judge")}
        config = paid_config(provider, sums, models=models, limits__prices=price_file)
        whole = run(config, tmp_path / "whole", services=paid_services(config, tmp_path / "whole"))
        spending = {
            "max_calls": lambda: len(bill.sent),
            "max_usd": lambda: charged(bill),
            "max_tokens": lambda: used(bill),
        }
        asked, cost, needed = len(bill.sent), charged(bill), spending[limit]()
        assert sum(usage["usd"] for usage in whole["teacher"].values()) == pytest.approx(cost)
        bill.sent.clear()
        root = tmp_path / "run"
        stops = 0
        for share in (0.4, 0.7, 2.0):
            allowed = share * needed if limit == "max_usd" else int(share * needed)
            limits = config.limits.model_copy(update={limit: allowed})
            limited = config.model_copy(update={"limits": limits})
            services = paid_services(limited, root)
            try:
                metrics = run(limited, root, services=services)
            except StoppedError as stop:
                stops += 1
                assert f"limits.{limit}" in str(stop) and "same command again" in str(stop)
                assert 0 < spending[limit]() <= allowed
            assert ledger(services.teacher) == pytest.approx(charged(bill))
            services.teacher.close()
        assert stops == 2
        assert metrics["accounting"] == whole["accounting"]
        assert len(bill.sent) == asked  # finished calls were not repeated


def test_row_30_sixty_four_calls_in_flight_do_not_exceed_a_dollar_limit(tmp_path, price_file):
    def slowly(prompt, number, text):
        return Answer(" ".join(["word"] * (10 + len(prompt) % 90)), delay=0.01)

    bill = Bill(lambda request: slowly(request.prompt, 0, ""))
    with FakeProvider(bill) as provider:
        models = Models.model_validate(dict.fromkeys(Models.model_fields, with_limit(provider.openai("judge"), 100)))
        limits = Limits(concurrency=64, prices=price_file, max_usd=0.2)
        teacher = JournaledTeacher(models, limits, tmp_path / "calls.sqlite")
        start = threading.Barrier(64)

        def ask(number: int) -> int:
            start.wait()
            for again in range(10):
                try:
                    teacher.ask("judge", f"question {'x' * number}", item=f"{number}/{again}")
                except StoppedError as stop:
                    assert "limits.max_usd" in str(stop)
                    return again
            return 10

        with ThreadPoolExecutor(64) as pool:
            answered = sum(pool.map(ask, range(64)))
        assert 0.9 * limits.max_usd < charged(bill) <= limits.max_usd  # neither exceeded nor left lying
        assert answered == len(bill.sent) == teacher.usage()["judge"]["calls"]
        assert ledger(teacher) == pytest.approx(charged(bill))
        assert provider.peak > 4
        assert unfinished(teacher.journal) == 0


def test_row_30_a_dollar_limit_is_sent_to_the_provider_as_a_limit_of_the_reply(tmp_path, price_file):
    with FakeProvider(lambda request: "a b") as provider:
        models = Models.model_validate(dict.fromkeys(Models.model_fields, provider.openai("judge").model_dump()))
        for number, limits in enumerate((Limits(prices=price_file, max_usd=1), Limits(prices=price_file))):
            teacher = JournaledTeacher(models, limits, tmp_path / "calls.sqlite")
            teacher.ask("judge", "the same question", item="a")  # the second time from the journal
            teacher.ask("judge", "another", item=f"b{number}")
            teacher.close()
        sent = [r.body.get("max_tokens", r.body.get("max_completion_tokens")) for r in provider.requests]
        assert sent == [4096, 4096, None]


def test_row_30_calls_that_a_kill_left_open_count_as_paid(tmp_path, price_file):
    bill = Bill(lambda request: "a b")
    with FakeProvider(bill) as provider:
        models = Models.model_validate(dict.fromkeys(Models.model_fields, with_limit(provider.openai("judge"), 100)))
        free = JournaledTeacher(models, Limits(prices=price_file), tmp_path / "calls.sqlite")
        free.ask("judge", "first", item="a")
        free.close()
        with sqlite3.connect(tmp_path / "calls.sqlite") as journal:
            journal.execute("UPDATE calls SET status = 'started', input_tokens = NULL, output_tokens = NULL")
        (tmp_path / "heads.json").unlink()  # which would say that the call had been finished
        once = 0.0045  # 5 bytes and the chat's frame at 10, 100 tokens of reply at 30 dollars a million: 0.00369
        again = JournaledTeacher(models, Limits(prices=price_file, max_usd=once), tmp_path / "calls.sqlite")
        with pytest.raises(StoppedError, match=r"\$0\.0037 of \$0\.0045 are spent"):
            again.ask("judge", "other", item="b")
        assert len(bill.sent) == 1
        again.close()


def test_row_30_a_dollar_limit_without_a_price_is_refused_before_anything_starts(tmp_path):
    sums = write_sums(tmp_path / "sums")
    with FakeProvider(answering()) as provider:
        config = paid_config(provider, sums, limits__max_usd=1.0, student={"model": "builtin:tiny"})
        file = tmp_path / "config.yaml"
        file.write_text(config.model_dump_json())
        command = [sys.executable, "-c", "from pada_graph.cli import main; main()", "run", str(file), "--run-dir"]
        result = subprocess.run(
            [*command, str(tmp_path / "run")], capture_output=True, text=True, env=os.environ, timeout=120, check=False
        )
        assert result.returncode == 2, result.stderr
        for words in ("limits.max_usd", "models.generator.model: openai:generator", "prices.yaml", "limits.prices"):
            assert words in result.stderr
        assert not provider.requests and not (tmp_path / "run/data").exists()
        teacher = JournaledTeacher(config.models, config.limits, tmp_path / "calls.sqlite")
        with pytest.raises(InputError, match=r"limits\.max_usd"):
            teacher.ask("judge", "hello", item="a")
        assert not provider.requests
        teacher.close()


def test_row_30_a_budget_that_is_just_enough_does_not_stop_the_run(tmp_path):
    sums, bill = write_sums(tmp_path / "sums"), Bill(answering())
    with FakeProvider(bill) as provider:
        config = paid_config(provider, sums)
        run(config, tmp_path / "whole", services=paid_services(config, tmp_path / "whole"))
        asked = len(bill.sent)
        exact = config.model_copy(update={"limits": config.limits.model_copy(update={"max_calls": asked})})
        metrics = run(exact, tmp_path / "exact", services=paid_services(exact, tmp_path / "exact"))
    assert metrics["stop_reason"] == "all 2 rounds are done"


def test_row_30_time_that_is_up_stops_the_run_and_more_of_it_goes_on(tmp_path):
    def slowly(prompt, number, text):
        return Answer(text, delay=1.4 if len(bill.sent) < 8 else 0)

    sums, bill = write_sums(tmp_path / "sums"), Bill(answering(slowly))
    with FakeProvider(bill) as provider:
        config = paid_config(provider, sums, limits__concurrency=1, iterations=1)

        def session(hours: float) -> dict:
            limited = config.model_copy(update={"limits": config.limits.model_copy(update={"max_hours": hours})})
            return run(limited, tmp_path / "run", services=paid_services(limited, tmp_path / "run"))

        with pytest.raises(StoppedError, match=r"limits\.max_hours: the run has taken .* same command again"):
            session(8 / 3600)
        first = len(bill.sent)
        assert 0 < first < 8  # eight seconds, set-up included
        with pytest.raises(StoppedError, match=r"limits\.max_hours"):  # sessions add up: nothing is asked
            session(8 / 3600)
        assert len(bill.sent) == first
        metrics = session(1)
        whole = run(config, tmp_path / "whole", services=paid_services(config, tmp_path / "whole"))
        assert metrics["accounting"] == whole["accounting"]
        assert len(bill.sent) == 2 * sum(usage["calls"] for usage in whole["teacher"].values())
        assert session(1e-9) == metrics  # a finished run needs no time
