"""Put the accepted samples of a finished run to its judge unseen, as quality.verify_answers would have done.

Run: python benchmarks/verify_answers.py RUN_DIR OUT [--wrong ID ...] [--ambiguous ID ...]

Prints one line a sample: whether the judge's answer agrees, its answer, the sample's. Which of the two is wrong is for
a reader to say; the ids a reader found to be wrong or to have more than one answer give the table at the end. The
other samples are taken for right. RUN_DIR is only read; the calls are kept in OUT, and the same command asks none of
them again.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pada_graph.config import ROLES, Models
from pada_graph.config_file import parse_config
from pada_graph.nodes.verification import AnswerReply
from pada_graph.prompts import render
from pada_graph.rundir import RunDir
from pada_graph.tasks import get_task
from pada_graph.teacher.ask import ask_items
from pada_graph.teacher.journaled import JournaledTeacher


def verdicts(run: RunDir, out: Path) -> dict[str, bool]:
    """Whether the judge agrees with each accepted sample, by id; prints every answer."""
    config = parse_config(run.read_json("resolved_config.json"), str(run.root))
    task = get_task(config.task, config.data.match, config.unsafe_code_execution)
    files = sorted(run.root.glob("iteration_*/synthetic_accepted.jsonl"))
    samples = [sample for path in files for sample in run.read_jsonl(path)]
    size = config.generation.batch_size
    teacher = JournaledTeacher(with_keys(config.models), config.limits, out / "teacher_calls.sqlite")

    def asked(start):
        """One call for as many samples as a batch of the run had."""
        batch = {f"s{number}": sample for number, sample in enumerate(samples[start : start + size], start=1)}
        answers = ask_items(
            teacher,
            "judge",
            item=f"verify/{start}",
            ids=list(batch),
            prompt=lambda ids: render(
                "answer_verification",
                questions=[{"sample_id": id_, "question": task.prompt(batch[id_]["row"])} for id_ in ids],
            ),
            schema=AnswerReply,
        )
        return [(sample, answers.found.get(id_), answers.problems.get(id_)) for id_, sample in batch.items()]

    agrees: dict[str, bool] = {}
    with ThreadPoolExecutor(config.limits.concurrency) as pool:
        batches = pool.map(asked, range(0, len(samples), size))
        for sample, reply, problem in (found for batch in batches for found in batch):
            agrees[sample["id"]] = reply is not None and task.score(reply.answer, sample["row"]).correct
            word = "agrees" if agrees[sample["id"]] else "DISAGREES"
            said = repr(reply.answer) if reply else f"no answer: {problem}"
            print(sample["id"], word, said, repr(task.target(sample["row"])[-40:]), flush=True)
    teacher.close()
    return agrees


def with_keys(models: Models) -> Models:
    """The same models; those at an endpoint of the user's own get time, and a key, which runs do not keep."""
    keyed = {role: getattr(models, role) for role in ROLES}
    for role, model in keyed.items():
        if "base_url" in (model.model_extra or {}):
            keyed[role] = model.model_copy(update={"api_key": "none", "timeout": 1800})
    return Models(**keyed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("out", type=Path, help="folder for the calls' journal")
    parser.add_argument("--wrong", nargs="*", default=[], help="ids of samples whose answer is wrong, by a reader")
    parser.add_argument("--ambiguous", nargs="*", default=[], help="ids of samples with more than one answer, or none")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    agrees = verdicts(RunDir(arguments.run_dir), arguments.out)
    if unknown := {*arguments.wrong, *arguments.ambiguous} - set(agrees):
        parser.error(f"no such samples: {', '.join(sorted(unknown))}")
    right = [id_ for id_ in agrees if id_ not in {*arguments.wrong, *arguments.ambiguous}]
    print(f"\n{'by hand':12}{'samples':>9}{'agrees':>9}{'disagrees':>11}")
    for label, ids in (("wrong", arguments.wrong), ("ambiguous", arguments.ambiguous), ("right", right)):
        agreed = sum(agrees[id_] for id_ in ids)
        print(f"{label:12}{len(ids):9}{agreed:9}{len(ids) - agreed:11}")


if __name__ == "__main__":
    main()
