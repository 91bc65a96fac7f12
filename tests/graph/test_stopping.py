"""A session that has to stop sends no further teacher call and starts no further node; a later one starts clean."""

import asyncio
import contextvars
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pada_graph import build_graph, lock, run, stopping
from pada_graph.errors import StoppedError
from tests.fake_provider import Answer, FakeProvider
from tests.fakes import FakePredictor, FakeTeacher, FakeTrainer, fake_services, write_sums
from tests.graph.test_loop import config
from tests.provider_tools import echo, teacher_for

MANY = {"iterations": 1, "generation__ratio": 3.0, "generation__batch_size": 2, "limits__concurrency": 3}


@pytest.fixture(scope="module")
def sums(tmp_path_factory) -> Path:
    return write_sums(tmp_path_factory.mktemp("data") / "sums")


class Struck(FakeTeacher):
    """At the first rating it is struck; every call that is asked for afterwards takes a while."""

    def __init__(self, strike):
        super().__init__()
        self.strike, self.struck, self.later = strike, threading.Lock(), 0

    def ask(self, role, prompt, *, item, attempt=0):
        if self.struck.locked():
            self.later += 1
            time.sleep(0.3)
        elif "quality_control" in item and self.struck.acquire(blocking=False):
            self.strike()
            time.sleep(0.3)
        return super().ask(role, prompt, item=item, attempt=attempt)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def fail() -> None:
    raise StoppedError("the provider refused this one")


@pytest.fixture(autouse=True)
def ctrl_c():
    """What an interactive session has; a process that a script sent to the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def whole(sums, tmp_path) -> int:
    teacher = FakeTeacher()
    run(config(sums, **MANY), tmp_path / "whole", services=fake_services(teacher=teacher))
    return len(teacher.prompts)


@pytest.mark.parametrize("bare", [False, True])
def test_an_interrupt_is_told_to_the_nodes_of_the_inner_graph(sums, tmp_path, whole, bare):
    settings, teacher, before = config(sums, **MANY), Struck(interrupt), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        if bare:
            graph = build_graph(fake_services(teacher=teacher))
            limits = {"max_concurrency": 4}
            graph.invoke({"run_dir": str(tmp_path / "run")}, limits, context=settings)
        else:
            run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    assert teacher.later <= 6 and len(teacher.prompts) < whole / 2  # without the stop: all of the round
    assert signal.getsignal(signal.SIGINT) is before
    if not bare:  # a later session starts clean
        assert run(settings, tmp_path / "run", services=fake_services())["accounting"]["requested"] == 60


def test_after_a_nodes_first_error_no_other_node_starts_and_that_error_is_the_one_reported(sums, tmp_path, whole):
    teacher = Struck(fail)
    with pytest.raises(StoppedError, match="the provider refused this one"):
        run(config(sums, **MANY), tmp_path / "run", services=fake_services(teacher=teacher))
    assert teacher.later <= 6 and len(teacher.prompts) < whole / 2


def test_a_session_that_stops_sends_nothing_and_the_next_one_does(tmp_path):
    with FakeProvider(echo) as provider:
        teacher = teacher_for(provider.openai(), tmp_path)
        with lock.locked(tmp_path) as session:
            with lock.at_work(tmp_path):
                teacher.ask("judge", "hi", item="a")
            with pytest.raises(ValueError, match="the first"), lock.at_work(tmp_path):
                lock.stop(session, ValueError("the first"))
                assert teacher.ask("judge", "hi", item="a").text == "you said hi"  # what is recorded is given
                with pytest.raises(StoppedError, match="stopping: the first"):
                    teacher.ask("judge", "hi", item="b")
                raise KeyError("a later one")
            with pytest.raises(ValueError, match="the first"), lock.at_work(tmp_path):
                raise AssertionError("a node started")
        assert (len(provider.requests), teacher.journal.calls()) == (1, 1)
        with lock.locked(tmp_path), lock.at_work(tmp_path):
            teacher.ask("judge", "hi", item="b")
        assert len(provider.requests) == 2
        teacher.close()


@pytest.mark.parametrize("status", [429, 500])
def test_a_call_that_waits_for_the_provider_ends_soon_after_its_session_has_to_stop(tmp_path, status):
    stop = stopping.Stop()

    def ask():
        stopping.current.set(stop)
        teacher.ask("judge", "hi", item="a")

    with FakeProvider(lambda request: Answer("later", status=status, headers={"Retry-After": "60"})) as provider:
        teacher = teacher_for(provider.openai(), tmp_path)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(contextvars.copy_context().run, ask)
            while not provider.requests and not waiting.done():
                time.sleep(0.01)
            stop.tell(StoppedError("the disk is full"))
            with pytest.raises(StoppedError, match="stopping: the disk is full"):
                waiting.result(30)
        assert (len(provider.requests), teacher.journal.calls()) == (1, 0)  # refused: nothing is paid
        teacher.close()


class Long(FakeTrainer):
    """Takes a step at a time, and is interrupted in the second one."""

    steps = 0

    def train(self, job, progress):
        for self.steps in range(1, 50):
            if self.steps == 2:
                interrupt()
            progress({"step": self.steps, "steps": 50, "loss": 1.0})
            time.sleep(0.05)
        super().train(job, progress)


def test_an_interrupt_ends_training_and_prediction_at_their_next_step(sums, tmp_path):
    trainer = Long()
    with pytest.raises(KeyboardInterrupt):
        run(config(sums), tmp_path / "run", services=fake_services(trainer=trainer))
    assert trainer.steps < 20

    class Slow(FakePredictor):
        given = 0

        def predict(self, *args, **kwargs):
            for completion in super().predict(*args, **kwargs):
                self.given += 1
                if self.given == 2:
                    interrupt()
                time.sleep(0.05)
                yield completion

    predictor = Slow()
    with pytest.raises(KeyboardInterrupt):
        run(config(sums), tmp_path / "run", services=fake_services(predictor=predictor))
    assert predictor.given < 10


def test_a_session_that_ends_under_a_node_at_work_closes_its_teacher_after_it(sums, tmp_path):
    from langgraph.checkpoint.memory import InMemorySaver

    from tests.graph.test_resume import PaidTeacher

    at_work, go_on, told = threading.Event(), threading.Event(), []

    class Slow(PaidTeacher):
        def ask(self, role, prompt, *, item, attempt=0):
            at_work.set()
            assert go_on.wait(30)
            reply = super().ask(role, prompt, item=item, attempt=attempt)
            told.append("answered")
            return reply

        def close(self):
            told.append("closed")
            super().close()

    teacher = Slow(tmp_path / "run")
    graph = build_graph(fake_services(teacher=teacher), InMemorySaver())
    settings, thread = config(sums, iterations=1), {"configurable": {"thread_id": "t"}, "max_concurrency": 1}

    async def cancelled() -> None:
        task = asyncio.ensure_future(graph.ainvoke({"run_dir": str(tmp_path / "run")}, thread, context=settings))
        while not at_work.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert told == []
        go_on.set()
        while "closed" not in told:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(cancelled(), 60))
    assert told[-1] == "closed" and "answered" in told
