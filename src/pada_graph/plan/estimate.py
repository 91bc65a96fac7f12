"""The plan: calls, tokens and dollars of each role, and the student's tokens, as low, expected and max.

Low and max are bounds: a student without failures ends a run before its first call, and no run has more than all its
rounds at their costliest (round.py). Expected is no bound, but what the assumptions in round.py make of the run.
"""

from dataclasses import dataclass

from pada_graph.config import Role, RunConfig
from pada_graph.methods import rounds, used_roles
from pada_graph.plan.grading import grading
from pada_graph.plan.round import Cost, costliest_round, expected_round, likely, worst
from pada_graph.plan.student import Range, added, prediction_tokens, training_tokens
from pada_graph.plan.texts import read_texts
from pada_graph.teacher.prices import Price, prices


@dataclass(frozen=True)
class RolePlan:
    """One role of the teacher."""

    model: str
    calls: Range
    input_tokens: Range
    output_tokens: Range
    usd: Range | None  # None: the price is unknown
    price: str = ""  # where the price comes from


@dataclass(frozen=True)
class Plan:
    """What a run will ask for."""

    rows: dict[str, int]  # of each split
    notes: list[str]  # rows that are not used, and rows that were left out
    roles: dict[Role, RolePlan]  # those that the run may ask
    training_tokens: Range  # every epoch counted
    prediction_tokens: Range  # prompts and answers
    counted_by: str  # how student tokens were counted


def make_plan(config: RunConfig) -> Plan:
    """Estimate a run from its configuration and rows; asks no teacher and trains nothing.

    Raises:
        InputError: the data or `limits.prices` cannot be used.
    """
    texts, price = read_texts(config), prices(config.models, config.limits)
    count = rounds(config)
    expected = {role: cost.times(count) for role, cost in expected_round(config, texts).items()}
    most = {role: cost.times(count) for role, cost in costliest_round(config, texts).items()}
    expected["judge"] += grading(config, texts, count, likely(config))
    most["judge"] += grading(config, texts, count, worst(config))
    roles = {role: _role(config, role, expected[role], most[role], price[role]) for role in used_roles(config)}
    training, prediction = training_tokens(config, texts, count), prediction_tokens(config, texts, count)
    return Plan(texts.rows, texts.notes, roles, training, prediction, texts.student)


def _role(config: RunConfig, role: Role, expected: Cost, most: Cost, price: Price | None) -> RolePlan:
    def between(usual: float, bound: float) -> Range:
        return Range(0, min(round(usual), round(bound)), round(bound))

    sent, received = (
        between(expected.input_tokens, most.input_tokens),
        between(expected.output_tokens, most.output_tokens),
    )
    usd = None if price is None else Range(0, *(price.usd(round(i), round(o)) for i, o in _pairs(sent, received)))
    calls = between(expected.calls, most.calls)
    return RolePlan(getattr(config.models, role).model, calls, sent, received, usd, _origin(price))


def _pairs(sent: Range, received: Range) -> tuple[tuple[float, float], tuple[float, float]]:
    return (sent.expected, received.expected), (sent.max, received.max)


def _origin(price: Price | None) -> str:
    if price is None:
        return ""
    where = f"{price.source}, {price.checked}" if price.checked else price.source or "limits.prices"
    return f"{_rate(price.input)} in, {_rate(price.output)} out for a million tokens ({where})"


def _rate(usd: float) -> str:
    return f"${usd:.2f}" if round(usd, 2) == usd else f"${usd:g}"


def all_roles(plan: Plan) -> RolePlan:
    """The sum over the roles."""
    needs = list(plan.roles.values())
    bills = [role.usd for role in needs if role.usd is not None]
    return RolePlan(
        "",
        added(*(role.calls for role in needs)),
        added(*(role.input_tokens for role in needs)),
        added(*(role.output_tokens for role in needs)),
        added(*bills) if len(bills) == len(needs) else None,
    )
