"""The leakage guard on a model's own rephrasings of real held-out questions.

Run: python benchmarks/rephrase_held_out.py OUT --data FOLDER [--base-url URL] [--runs RUN_DIR ...]

A local LLM rewrites a seeded choice of validation and test questions (of at most 60 words: it is slow) into
OUT/rephrased.jsonl; the rows' licences keep both out of this repository. Read them and write a "label" into each line:
"copy" (asks the same, in whatever words) or "other" (another question, another answer, or none). Run the script again:
it prints how many the guard finds, of all replies and of the copies. Negatives are real train rows and, with --runs,
what a generator wrote in finished runs. Neither the threshold nor the number rule was set on these.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from leakage_guard import DEFAULT, false_alarms, guard_of, real_questions

from pada_graph.config import Limits, Model, Models
from pada_graph.near_duplicates import normalise, numbers
from pada_graph.rundir import RunDir
from pada_graph.tasks import get_task
from pada_graph.teacher.journaled import JournaledTeacher

PROMPT = """Here is a {kind}. Write the same {kind} in other words: it must ask for exactly the same thing and have \
the same answer. Keep every number, name and unit. Do not answer it. If choices follow it, write each of them in other \
words on a line of its own. Reply with the rewritten {kind} alone.

{text}"""
KINDS = {"gsm8k": "word problem", "arc_challenge": "question", "squad": "question"}
COUNTS = {"gsm8k": 25, "arc_challenge": 25, "squad": 60}  # HellaSwag's texts are four times as long
LONGEST = 60  # words
RULES = ("ngram", "embedding", "both")


def ask(out: Path, data: Path, base_url: str) -> None:
    """Have some questions of each task rewritten into out/rephrased.jsonl."""
    model = Model.model_validate({"model": "openai:local", "base_url": base_url, "api_key": "none", "temperature": 0.7})
    teacher = JournaledTeacher(Models(generator=model), Limits(concurrency=4), out / "teacher_calls.sqlite")
    chosen: list[tuple[str, str, str]] = []
    for name, count in COUNTS.items():
        held_out, _ = real_questions(data, name)
        short = [(name, id_, text) for id_, text in held_out.items() if len(text.split()) <= LONGEST]
        random.Random(f"rephrase {name}").shuffle(short)
        chosen += short[:count]

    def rewritten(question: tuple[str, str, str]) -> dict[str, str]:
        name, id_, text = question
        reply = teacher.ask("generator", PROMPT.format(kind=KINDS[name], text=text), item=f"{name}/{id_}")
        return {"task": name, "id": id_, "question": text, "rephrased": reply.text.strip(), "label": ""}

    with ThreadPoolExecutor(4) as pool:
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in pool.map(rewritten, chosen)]
    teacher.close()
    (out / "rephrased.jsonl").write_text("".join(lines), encoding="utf-8")


def measure(lines: list[dict[str, Any]], data: Path, runs: list[RunDir]) -> None:
    """Print recall for all replies and for the copies, what was missed and why, and the false alarms."""
    alarms: Counter[str] = Counter()
    negatives: Counter[str] = Counter()
    for name in COUNTS:
        held_out, train = real_questions(data, name)
        own = [line for line in lines if line["task"] == name]
        for rule in RULES:
            hits = guard_of(held_out, train, rule, DEFAULT).check([line["rephrased"] for line in own])
            for line, hit in zip(own, hits, strict=True):
                line[rule] = hit is not None
        alarms["train rows"] += false_alarms(held_out, train).total()
        negatives["train rows"] += len(train)
        written = [text for run in runs for text in generated(run, name, held_out)]
        alarms["generated samples"] += sum(map(bool, guard_of(held_out, train, "both", DEFAULT).check(written)))
        negatives["generated samples"] += len(written)
    labelled = [line for line in lines if line["label"]]
    table("all replies", lines)
    if labelled:
        table("labelled copies", [line for line in labelled if line["label"] == "copy"])
        reworded = [line for line in labelled if line["label"] == "copy" and not same_words(line)]
        table("of them not word for word", reworded)
        table("labelled other questions", [line for line in labelled if line["label"] == "other"])
        missed = [line for line in labelled if line["label"] == "copy" and not line["both"]]
        changed = sum(numbers(line["question"]) != numbers(line["rephrased"]) for line in missed)
        print(f"\ncopies missed: {len(missed)}, {changed} of them for their numbers, the others for their cosine")
        found = sum(line["both"] for line in labelled if line["label"] == "copy")
        flagged = sum(line["both"] for line in labelled)
        print(f"precision among the replies: {found} of {flagged}")
        for kind, count in alarms.items():
            print(f"{kind} dropped: {count} of {negatives[kind]}; precision with them: {found / (flagged + count):.3f}")


def generated(run: RunDir, task: str, held_out: Container[str]) -> list[str]:
    """The questions of a run's drafts on this task, but for those that start from a row that is held out here."""
    if run.read_json("resolved_config.json")["task"] != task:
        return []
    files = sorted(run.root.glob("iteration_*/synthetic_raw.jsonl"))
    drafts = [draft for path in files for draft in run.read_jsonl(path) if draft["row"] is not None]
    rows = [draft["row"] for draft in drafts if draft["seed_id"] not in held_out]
    return list(dict.fromkeys(map(get_task(task).question, rows)))


def same_words(line: dict[str, Any]) -> bool:
    return normalise(line["question"]) == normalise(line["rephrased"])


def table(title: str, lines: list[dict[str, Any]]) -> None:
    print(f"\n{title:28}" + "".join(f"{rule:>14}" for rule in RULES))
    for name in [*COUNTS, ""]:
        own = [line for line in lines if not name or line["task"] == name]
        cells = (f"{sum(line[rule] for line in own)} of {len(own)}" for rule in RULES)
        print(f"{name or 'all tasks':28}" + "".join(f"{cell:>14}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the rephrasings")
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets, one folder each")
    parser.add_argument("--base-url", default="http://127.0.0.1:8091/v1", help="OpenAI-compatible endpoint")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="run directories whose drafts are negatives")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not (arguments.out / "rephrased.jsonl").exists():
        ask(arguments.out, arguments.data, arguments.base_url)
    text = (arguments.out / "rephrased.jsonl").read_text(encoding="utf-8")
    measure([json.loads(line) for line in text.splitlines()], arguments.data, [RunDir(path) for path in arguments.runs])


if __name__ == "__main__":
    main()
