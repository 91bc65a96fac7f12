"""Put the accepted samples of a finished run to its judge unseen, as quality.verify_answers would have done.

Run: python benchmarks/verify_answers.py RUN_DIR

Prints one line a sample: whether the judge's answer agrees, its answer, the sample's. Which of the two is wrong is for
a reader to say.
"""

import sys
import tempfile
from pathlib import Path

from pada_graph.config import parse_config
from pada_graph.nodes.verification import AnswerReply
from pada_graph.prompts import render
from pada_graph.rundir import RunDir
from pada_graph.tasks import get_task
from pada_graph.teacher.ask import ask_items
from pada_graph.teacher.models import JournaledTeacher


def main() -> None:
    run = RunDir(Path(sys.argv[1]))
    config = parse_config(run.read_json("resolved_config.json"), sys.argv[1])
    config = config.model_copy(update={"models": config.models.model_copy(update={"judge": with_key(config)})})
    task = get_task(config.task, config.data.match, config.unsafe_code_execution)
    samples = [
        s for path in sorted(run.root.glob("iteration_*/synthetic_accepted.jsonl")) for s in run.read_jsonl(path)
    ]
    size, agreed = config.generation.batch_size, 0
    with tempfile.TemporaryDirectory() as folder:
        teacher = JournaledTeacher(config.models, config.limits, Path(folder) / "teacher_calls.sqlite")
        for start in range(0, len(samples), size):
            batch = {f"s{number}": sample for number, sample in enumerate(samples[start : start + size], start=1)}
            answers = ask_items(
                teacher,
                "judge",
                item=f"verify/{start}",
                ids=list(batch),
                prompt=lambda ids, batch=batch: render(
                    "answer_verification",
                    questions=[{"sample_id": id_, "question": task.prompt(batch[id_]["row"])} for id_ in ids],
                ),
                schema=AnswerReply,
            )
            for id_, sample in batch.items():
                reply = answers.found.get(id_)
                agrees = reply is not None and task.score(reply.answer, sample["row"]).correct
                agreed += agrees
                said = reply.answer if reply else answers.problems[id_]
                print(
                    sample["id"],
                    "agrees" if agrees else "DISAGREES",
                    repr(said),
                    repr(task.target(sample["row"])[-40:]),
                )
        teacher.close()
    print(f"{agreed} of {len(samples)} agree")


def with_key(config):
    """The judge; run directories hold no keys, and local endpoints take any."""
    judge = config.models.judge
    return judge.model_copy(update={"api_key": "none"}) if "base_url" in (judge.model_extra or {}) else judge


if __name__ == "__main__":
    main()
