"""The endpoint behind notebook 03 in tests: a scripted server, no LLM. It answers every prompt about unit changes.

For a reader without an endpoint: `python -m tests.notebooks.stand_in [PORT]`.
"""

import json
import re
import sys
import threading
from contextlib import suppress
from itertools import count

from tests.fake_provider import FakeProvider, Request
from tests.fakes import json_blocks

KINDS = [("minutes", "hours", 60), ("days", "weeks", 7), ("pieces", "dozens", 12), ("centimetres", "metres", 100)]
PORT = 8091  # where the notebook asks
_fresh = count(21)  # amounts that no row of the notebook has


def stand_in(port: int = 0) -> FakeProvider:
    """The server, to be used as a context manager; port 0: any that is free."""
    return FakeProvider(_answer, port)


def _answer(request: Request) -> str:
    blocks = json_blocks(request.prompt)
    match request.prompt.split()[:2]:
        case ["Analyze", _]:
            return json.dumps([_analysis(sample) for sample in blocks[0]])
        case ["Please", "analyze"]:
            scenario = blocks[0][0]["scenario_category"]
            said = {"category_name": scenario, "error_pattern": f"The factor of {scenario} is not applied."}
            return json.dumps({**said, "representative_samples": [blocks[0][0]["sample_id"]]})
        case ["Based", _]:
            return json.dumps([_strategy(pattern["category_name"]) for pattern in blocks[0]])
        case ["Please", "generate"]:
            examples = blocks[0] if "TRAINING_ERROR" in request.prompt else blocks[1]
            return json.dumps([{"based_on_example": example["example_id"], **_row(example)} for example in examples])
    good = {"adherence": 8, "utility": 8, "relevance": 9, "feedback": ""}
    return json.dumps([{"sample_id": sample["sample_id"], **good} for sample in blocks[-1]])


def _kind(text: str) -> tuple[str, str, int]:
    return next((kind for kind in KINDS if kind[0] in text), KINDS[0])


def _analysis(sample: dict[str, str]) -> dict[str, str]:
    small, large, factor = _kind(sample["USER_QUERY"])
    cause = f"The response does not multiply the {large} by {factor}."
    return {"sample_id": sample["sample_id"], "error_cause": cause, "scenario_category": f"{large} to {small}"}


def _strategy(name: str) -> dict[str, object]:
    approach = f"Ask for the change of {name} with whole amounts."
    return {"category_name": name, "strategy_name": name, "generation_approach": approach, "key_elements": [name]}


def _row(example: dict[str, str]) -> dict[str, str]:
    small, large, factor = _kind(json.dumps(example))
    amount = next(_fresh)
    asked = re.sub(r"\s+", " ", f"Somebody counts {amount} {large} in all. Give the same in {small}.")
    return {"prompt": asked, "answer": str(amount * factor)}


if __name__ == "__main__":
    with stand_in(int(sys.argv[1]) if len(sys.argv) > 1 else PORT) as server, suppress(KeyboardInterrupt):
        print(f"Answering at {server.url}/v1. Ctrl-C ends it.", flush=True)
        threading.Event().wait()
