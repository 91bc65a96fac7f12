"""What the judge's grading of the student's answers asks for (`data.match: judge`), whole run."""

from pada_graph.config import RunConfig
from pada_graph.plan.round import Assumptions, Cost, Written
from pada_graph.plan.student import times_answered
from pada_graph.plan.texts import Texts
from pada_graph.teacher.budget import CHAT_FRAME, reply_bound

GRADED = 0.8  # share of the answers that are neither the reference's own words nor what was graded before


def grading(config: RunConfig, texts: Texts, rounds: int, a: Assumptions) -> Cost:
    """A call for each answer that is not the reference's own words; as `a` has it, or at most."""
    cost = Cost()
    if config.data.match != "judge":
        return cost
    longest = reply_bound(config.models.judge)
    reply = longest if a.bounds else min(Written().grade, longest)
    for split, times in times_answered(config, rounds).items():
        rows = texts.graded[split]
        answer = a.rewritten * texts.answer_limit if a.bounds else texts.answered[split] / len(rows)
        shown = texts.prompts["answer_grading"] + a.measure(rows) + a.overhead
        sent = shown / a.bytes_per_token + CHAT_FRAME + answer
        calls = len(rows) * times * (1 if a.bounds else GRADED) * a.replies(1)
        cost += Cost(calls, calls * sent, calls * reply)
    return cost
