"""The plan in words: a table by role, the student's tokens, and what the numbers rest on."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from pada_graph.config import Limits, RunConfig
from pada_graph.methods import round_roles, rounds
from pada_graph.plan.estimate import Plan, all_roles
from pada_graph.plan.grading import GRADED
from pada_graph.plan.student import Range, added
from pada_graph.teacher.prices import dollars

ASSUMPTIONS = (
    "Low: no teacher is asked, as where the student has no failure to learn from.\n"
    "Expected: half of the validation answers are wrong, half of the batches are sent back once, one reply in ten is "
    "asked again, 4 bytes a token.\n"
    "Max: every round, every re-ask and every regeneration, replies up to the model's max_tokens (4,096 where none is "
    "set), a token for every byte of a prompt, and texts of a model come back as at most twice their tokens.\n"
    "Not counted: what a provider refuses for its content is asked again in halves, at most 2 B - 1 calls for a batch "
    "of B samples."
)
GRADING_ALONE = (
    "Low: no teacher is asked, as where every answer is in the reference's words.\n"
    "Expected: one reply in ten is asked again, 4 bytes a token.\n"
    "Max: every answer is graded and every re-ask made, replies up to the model's max_tokens (4,096 where none is "
    "set), a token for every byte of a prompt."
)
NOBODY_ASKED = (
    "No teacher is asked.\n"
    "Low: the student's answers are empty. Expected: as long as the rows' own. Max: as long as is allowed."
)


def print_plan(console: Console, config: RunConfig, plan: Plan) -> None:
    """Print the table, the student's tokens, the assumptions, and whether the limits will stop the run."""
    console.soft_wrap = True
    rows = ", ".join(f"{count} {split}" for split, count in plan.rows.items())
    console.print(
        f"{config.method} on {config.task_name}, rounds: {rounds(config)}; rows: {rows}. Nothing was asked or trained.",
        markup=False,
        soft_wrap=False,
    )
    for note in plan.notes:
        console.print(f"Data: {note}.", markup=False)
    table = Table("", "", "low", "expected", "max", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for role, needs in [*plan.roles.items(), *([("all roles", all_roles(plan))] if plan.roles else [])]:
        table.add_row(role, "calls", *_counts(needs.calls))
        table.add_row("", "tokens in", *_counts(needs.input_tokens))
        table.add_row("", "tokens out", *_counts(needs.output_tokens))
        table.add_row("", "dollars", *(["unknown"] * 3 if needs.usd is None else _amounts(needs.usd)))
    table.add_row("student", "tokens trained", *_counts(plan.training_tokens))
    table.add_row("", "tokens predicted", *_counts(plan.prediction_tokens))
    console.print(table)
    for role, needs in plan.roles.items():
        price = "price unknown: give it with limits.prices" if needs.usd is None else f"price: {needs.price}"
        console.print(f"{role}: {needs.model}, {price}", markup=False)
    console.print("Expected is the column to read; max is the worst case, not a likely bill.", style="bold")
    console.print(_assumptions(config, plan), soft_wrap=False)
    if config.data.match == "judge":
        console.print(
            f"Expected of the grading: {GRADED:.0%} of the student's answers are sent to the judge, one a call."
        )
    console.print(f"Student tokens are counted by {plan.counted_by}.", markup=False, soft_wrap=False)
    for warning in warnings(config.limits, plan):
        console.print(warning, style="bold", soft_wrap=False)


def _assumptions(config: RunConfig, plan: Plan) -> str:
    if not plan.roles:
        return NOBODY_ASKED
    return ASSUMPTIONS if round_roles(config) else GRADING_ALONE


def warnings(limits: Limits, plan: Plan) -> list[str]:
    """Whether the limits will, or may, stop the run before its end."""
    found = []
    everything = all_roles(plan)
    for name, limit, needed, show in (
        ("max_calls", limits.max_calls, everything.calls, "{:,.0f}".format),
        ("max_usd", limits.max_usd, everything.usd, dollars),
        ("max_tokens", limits.max_tokens, added(everything.input_tokens, everything.output_tokens), "{:,.0f}".format),
    ):
        if limit is None:
            continue
        if needed is None:
            found.append(f"limits.{name}: cannot be kept, since a price is unknown; `run` will refuse it.")
            continue
        if limit < needed.expected:
            found.append(
                f"limits.{name}: {show(limit)} is less than expected ({show(needed.expected)}); the run will probably "
                "stop there, resumable."
            )
        elif limit < needed.max:
            found.append(f"limits.{name}: {show(limit)} should do, but may stop the run, resumable.")
    return found


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values; dollars are null where a price is unknown."""
    return {**asdict(plan), "all_roles": asdict(all_roles(plan))}


def _counts(needed: Range) -> list[str]:
    return [f"{value:,.0f}" for value in (needed.low, needed.expected, needed.max)]


def _amounts(needed: Range) -> list[str]:
    return [dollars(value) for value in (needed.low, needed.expected, needed.max)]
