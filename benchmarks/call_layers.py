"""Where a teacher call's processor time goes: the same calls by each layer of the client, from the socket upwards.

    python -m benchmarks.call_layers [--calls 1000]

64 threads, 50 ms a call, loopback server. From httpx on each line holds all that the line before does; OpenAI's client
is asked as this project has it asked (teacher/openai_client.py). Not part of `make bench`.
"""

import argparse
import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.peers.running import CONCURRENCY, Server, prompts
from rich.console import Console

from pada_graph.config import Limits, Model, Models
from pada_graph.teacher.journaled import JournaledTeacher
from pada_graph.teacher.models import load_chat_model
from pada_graph.teacher.retries import within

LATENCY = 0.05


def layers(server: Server, folder: Path) -> dict[str, Callable[[str], Any]]:
    """What asks one prompt, by name."""
    model = Model.model_validate({"model": "openai:bench", "base_url": server.base_url, "api_key": "none"})
    chat: Any = load_chat_model(model, concurrency=CONCURRENCY)
    limits = Limits(concurrency=CONCURRENCY)
    teacher = JournaledTeacher(Models(analyst=model), limits, folder / "teacher_calls.sqlite", ("analyst",))
    address = f"{server.base_url}/chat/completions"
    host = server.base_url.split("/")[2]
    own, items = threading.local(), itertools.count()

    def body(prompt: str) -> dict[str, Any]:
        return {"model": "bench", "messages": [{"role": "user", "content": prompt}]}

    def bare(prompt: str) -> Any:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(host)
        own.connection.request("POST", address, json.dumps(body(prompt)), {"Content-Type": "application/json"})
        return json.loads(own.connection.getresponse().read())

    return {
        "http.client": bare,
        "httpx": lambda prompt: chat.client.with_raw_response._client._client.post(address, json=body(prompt)).json(),
        "OpenAI's client": lambda prompt: chat.client.with_raw_response.create(**body(prompt)).parse(),
        "ChatOpenAI": chat.invoke,
        "a limit for the whole reply": lambda prompt: within(600, lambda: chat.invoke(prompt)),
        "journal, budget, gate": lambda prompt: teacher.ask("analyst", prompt, item=str(next(items))),
    }


def main() -> None:
    """Print milliseconds of processor time a call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    asked = list(prompts(parser.parse_args().calls).values())
    with Server(LATENCY) as server, tempfile.TemporaryDirectory() as folder:
        for name, ask in layers(server, Path(folder)).items():
            with ThreadPoolExecutor(CONCURRENCY) as pool:
                list(pool.map(ask, asked[:CONCURRENCY]))  # connections are made
                before = time.process_time()
                list(pool.map(ask, asked))
                took = (time.process_time() - before) / len(asked)
            Console().print(f"{name:28} {took * 1000:5.1f} ms", highlight=False)


if __name__ == "__main__":
    main()
