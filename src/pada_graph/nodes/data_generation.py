"""The Data Generation Agent (A.3): plan the batches and write their samples.

A generator sees rows of D_train, a strategy and feedback; nothing in this file can open another split.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from pada_graph.accounting import check_requested
from pada_graph.errors import InputError
from pada_graph.methods.base import Generating, Question, Start, requested
from pada_graph.nodes.collection import read_plans
from pada_graph.nodes.run import Run
from pada_graph.state import (
    BatchInput,
    BatchName,
    BatchPlan,
    BatchState,
    BatchUpdate,
    Branch,
    Draft,
    PadaState,
    RoundState,
    RoundUpdate,
    Seed,
    Slot,
    Strategy,
)
from pada_graph.teacher.ask import Items, ask_items


class SampleReply(BaseModel):
    """One generated sample: its id or the example it starts from, and the task's own fields (Figures 5 and 6)."""

    model_config = ConfigDict(extra="allow")


def plan_batches(state: PadaState, run: Run) -> PadaState:
    """Share the round's synthetic samples out: as many as half of D_train has rows (3.2), started as the method does.

    PaDA-Agent starts half from its patterns, evenly over the clusters, and half from train errors (methods/pada.py).
    A strategy whose approach a reviewer has emptied is not followed.
    """
    iteration, config = state["iteration"], run.config
    strategies = [
        s for s in state.get("strategies", []) if s["iteration"] == iteration and s["generation_approach"].strip()
    ]
    _write_patterns(state, run, strategies)
    starts = run.method.starts(run, iteration, strategies)
    batches = _batches(run, iteration, starts)
    total = requested(config, len(run.rows.split("train"))) if starts else 0
    samples = [slot["sample_id"] for batch in batches for slot in batch["slots"]]
    check_requested(f"the plan of round {iteration}", samples, total)
    plan = run.dir.write_jsonl(f"{run.dir.iteration(iteration)}/plan.jsonl", batches)
    run.emit("plan_batches", iteration=iteration, batches=len(batches), samples=total)
    notes = _uneven(run, iteration, starts, strategies)
    instead = "; the {} branch takes the whole share" if starts else ""
    if run.method.pattern_analysis and config.patterns.enabled and not strategies:
        notes.append(f"round {iteration}: no strategy to follow{instead.format('error')}")
    if "train" in run.method.learns_from(config) and not run.train_errors(iteration):
        notes.append(f"round {iteration}: no train errors to learn from{instead.format('pattern')}")
    return {"plan": plan, "notes": notes}


def _uneven(run: Run, iteration: int, starts: Sequence[Start], strategies: Sequence[Strategy]) -> list[str]:
    """What a reader should know of a round's shares: strategies without a sample, train errors that start several."""
    notes, followed = [], {strategy for strategy, _ in starts if strategy}
    if followed and (left := len(strategies) - len(followed)):
        samples = sum(len(part) for strategy, part in starts if strategy)
        notes.append(f"round {iteration}: {left} of {len(strategies)} strategies get none of the {samples} samples")
    seeds = [seed for strategy, part in starts if strategy is None for seed in part]
    if run.method.branch == "error" and len(seeds) > len(set(seeds)):
        errors = len(set(seeds))
        notes.append(f"round {iteration}: {len(seeds)} samples start from {errors} train error{'s' * (errors > 1)}")
    return notes


def open_batches(state: RoundState, run: Run) -> RoundUpdate:
    """Read the round's plan, so that its batches can be sent out with their slots.

    Raises:
        InputError: the file is not the plan that the state belongs to.
    """
    return {"batches": read_plans(run, state["plan"])}


def open_batch(state: BatchName, run: Run) -> BatchInput:
    """Find a batch of the run by its name, and give it ids of its own: the run's files stay as they are.

    Raises:
        InputError: no round of the run has planned such a batch; names those that were. Or it follows no strategy
            that could be worded otherwise.
    """
    plans: dict[str, BatchPlan] = {
        plan["batch_id"]: plan
        for t in run.dir.iterations()
        for plan in run.dir.rows_so_far(f"iteration_{t}/plan.jsonl")
    }
    if state["batch_id"] not in plans:
        raise InputError(
            f"{run.dir.root}: has planned no batch {state['batch_id']!r}. Its batches: {', '.join(plans) or 'none'}."
        )
    plan = plans[state["batch_id"]]
    strategies = run.dir.rows_so_far(f"{run.dir.iteration(plan['iteration'])}/strategies.jsonl")
    strategy = next((s for s in strategies if s["strategy_id"] == plan["strategy_id"]), None)
    if approach := (state.get("generation_approach") or "").strip():
        if strategy is None:
            raise InputError(
                f"batch {plan['batch_id']} follows no strategy: leave generation_approach empty, or name a batch of "
                "the pattern branch."
            )
        strategy = {**strategy, "generation_approach": approach}
    slots: list[Slot] = [{**slot, "sample_id": f"studio-{slot['sample_id']}"} for slot in plan["slots"]]
    return {
        "run_dir": state["run_dir"],
        "plan": {**plan, "batch_id": f"studio-{plan['batch_id']}", "slots": slots},
        "strategy": strategy,
    }


def _batches(run: Run, iteration: int, starts: Sequence[Start]) -> list[BatchPlan]:
    """Give every batch and every sample its id."""
    numbers: Counter[str] = Counter()
    plans: list[BatchPlan] = []
    for strategy_id, seeds in starts:
        branch: Branch = "pattern" if strategy_id else run.method.branch
        name = strategy_id or f"t{iteration}-{branch[0]}"
        batch_id = f"{name}-b{numbers[name]}"
        numbers[name] += 1
        slots: list[Slot] = [
            {"sample_id": f"{batch_id}-{k}", "seed_id": seed_id} for k, seed_id in enumerate(seeds, start=1)
        ]
        plans.append(
            {"iteration": iteration, "batch_id": batch_id, "branch": branch, "strategy_id": strategy_id, "slots": slots}
        )
    return plans


def _write_patterns(state: PadaState, run: Run, strategies: list[Strategy]) -> None:
    folder = run.dir.iteration(state["iteration"])
    patterns = [p for p in state.get("patterns", []) if p["iteration"] == state["iteration"]]
    run.dir.write_jsonl(f"{folder}/patterns.jsonl", patterns)
    run.dir.write_jsonl(f"{folder}/strategies.jsonl", strategies)


def generate_batch(state: BatchState, run: Run) -> BatchUpdate:
    """Generate(x_i, strategy_k, feedback_i) or Generate(e_i, feedback_i) for one batch (A.3, Figures 5 and 6).

    A reply that is malformed, cut off or incomplete leaves slots without a sample, which counts against the batch; it
    is not asked again here, because regeneration with feedback is the loop's own business. Only what the provider
    refuses is told apart at once: a refusal of ten samples may be about one of them.
    """
    plan = state["plan"]
    attempt = state["attempt"] + 1 if "attempt" in state else 0
    seeds = state.get("seeds") or training_seeds(plan, run)
    by_id = {seed["id"]: seed for seed in seeds}
    slots = {example_id(slot["sample_id"]): slot for slot in plan["slots"] if slot["sample_id"] in asked_for(state)}
    method = run.method
    if not isinstance(method, Generating):
        repeated = [_repeated(slot, by_id[slot["seed_id"]], attempt) for slot in slots.values()]
        return {"seeds": seeds, "attempt": attempt, "drafts": repeated, "refused": []}

    def prompt(ids: Sequence[str]) -> str:
        some = {id_: slots[id_] for id_ in ids}
        return method.prompt(run, Question(plan, state["strategy"], some, by_id, state.get("feedback", "")))

    answer = ask_items(
        run.services.teacher,
        "generator",
        item=f"t{plan['iteration']}/generate/{plan['batch_id']}",
        attempt=attempt,
        ids=list(slots),
        prompt=prompt,
        schema=SampleReply,
        id_field=method.id_field,
        reasks=0,
    )
    drafts = [_written(run, method, answer, id_, slot, by_id[slot["seed_id"]], attempt) for id_, slot in slots.items()]
    refused = [*state.get("refused", []), *(slots[id_]["sample_id"] for id_ in slots if id_ in answer.refused)]
    return {"seeds": seeds, "attempt": attempt, "drafts": drafts, "refused": refused}


def _repeated(slot: Slot, seed: Seed, attempt: int) -> Draft:
    """The train row itself, as a sample."""
    return {
        "sample_id": slot["sample_id"],
        "seed_id": slot["seed_id"],
        "row": {**seed["row"], "id": slot["sample_id"]},
        "fault": None,
        "fate": "ok",
        "attempt": attempt,
        "prompt_sha256": "",
        "overlap": None,
    }


def _written(
    run: Run, method: Generating, answer: Items[SampleReply], id_: str, slot: Slot, seed: Seed, attempt: int
) -> Draft:
    """The sample that the generator wrote for a slot, or why there is none."""
    draft = _repeated(slot, seed, attempt)
    draft |= {"row": None, "fault": answer.problems.get(id_), "fate": "failed", "prompt_sha256": answer.prompts[id_]}
    if id_ not in answer.found:
        return draft
    try:
        row = method.row(run, _fields(answer.found[id_], method.id_field), seed["row"])
    except InputError:  # of this machine, not of the sample: HumanEval needs a sandbox
        raise
    except ValueError as error:
        return {**draft, "fault": str(error)}
    return {**draft, "row": {**row, "id": slot["sample_id"]}, "fate": "ok"}


def _fields(reply: SampleReply, id_field: str) -> dict[str, Any]:
    """The task's fields of a generated object."""
    return {name: value for name, value in (reply.model_extra or {}).items() if name != id_field}


def asked_for(state: BatchState) -> list[str]:
    """Ids of the samples that the attempt at hand writes: at first all of the batch, then what is open."""
    return state["open"] if "open" in state else [slot["sample_id"] for slot in state["plan"]["slots"]]


def example_id(sample_id: str) -> str:
    """What a prompt calls the example of a slot: "e3" for the batch's third.

    A generator names its sample by the example: samples with ids of their own get numbered on by small models.
    """
    return f"e{sample_id.rpartition('-')[2]}"


def training_seeds(plan: BatchPlan, run: Run) -> list[Seed]:
    """The train rows a batch starts from, with the student's wrong answers in the error branch."""
    wrong = run.train_errors(plan["iteration"]) if plan["branch"] == "error" else {}
    seeds = dict.fromkeys(slot["seed_id"] for slot in plan["slots"])
    return [{"id": id_, "row": run.rows.train[id_], "wrong_answer": wrong.get(id_)} for id_ in seeds]
