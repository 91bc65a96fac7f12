"""What the peers' scripts share: their arguments, the rows they read and those they write.

ROWS has a line {"id", "prompt"} a row and OUT gets a line {"id", "text"} a row, text null for what was lost. A script
asks each row once, CONCURRENCY at a time, with the settings that suit its library best.

--parse: a reply is to be an object {"answer": string}; one that is not is asked again, or dropped where the library has
no other way. --resume: FOLDER keeps what was answered, and another run with the same FOLDER asks for the rest; without
it, a library that is faster without a cache has none.
"""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL = "bench"
KEY = "not-a-real-key"
RETRIES = 20  # of a throttled call, where a number has to be given
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TELEMETRY_ENABLED": "False",
    "NEMO_TELEMETRY_ENABLED": "false",
    "OPENAI_API_KEY": KEY,
}


@dataclass(frozen=True)
class Job:
    """What a script is to do."""

    base_url: str
    rows: dict[str, str]  # id -> prompt
    out: Path
    folder: Path
    concurrency: int
    parse: bool
    resume: bool

    def write(self, texts: Mapping[str, str | None]) -> None:
        """Write OUT; ids without a text are lost."""
        lines = [json.dumps({"id": id_, "text": texts.get(id_)}) for id_ in self.rows]
        self.out.write_text("\n".join(lines) + "\n")


def job(**variables: str) -> Job:
    """Read the command line; set what keeps libraries offline and silent, and further environment variables.

    To be called before a library is imported.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("base_url")
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--parse", action="store_true")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(QUIET)
    os.environ.update({name: value.format(folder=given.folder.resolve()) for name, value in variables.items()})
    rows = [json.loads(line) for line in given.rows.read_text().splitlines()]
    return Job(**{**vars(given), "rows": {row["id"]: row["prompt"] for row in rows}})


def answer(text: object) -> str | None:
    """The text, if it is an object {"answer": string} and nothing else."""
    try:
        value = json.loads(str(text))
    except ValueError:
        return None
    return str(text) if isinstance(value, dict) and isinstance(value.get("answer"), str) else None
