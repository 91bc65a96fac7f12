"""What one round of augmentation costs each role, under assumptions: the expected round, and the costliest one.

The costliest round is a bound. Calls: every reply that may be asked again is, every batch is regenerated to the last,
with the number of clusters that makes most of it. Tokens: a token is at least one byte of text, a reply has as many
tokens as the model's settings allow (teacher/budget.py), and what a model wrote comes back in later prompts as at most
twice its tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from pada_graph.config import ROLES, Role, RunConfig
from pada_graph.methods import get_method
from pada_graph.methods.base import Generating, parts
from pada_graph.plan.calls import REASKS, failures, most_replies, wrong_rows
from pada_graph.plan.texts import BYTES_PER_TOKEN, Measure, Texts
from pada_graph.teacher.budget import CHAT_FRAME, reply_bound


@dataclass(frozen=True)
class Cost:
    """Calls and tokens."""

    calls: float = 0
    input_tokens: float = 0
    output_tokens: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        """The sum of both."""
        return Cost(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def times(self, count: float) -> "Cost":
        """That many of it."""
        return Cost(self.calls * count, self.input_tokens * count, self.output_tokens * count)


@dataclass(frozen=True)
class Written:
    """Tokens that a model writes for one sample, or for one whole reply."""

    analysis: float = 80
    pattern: float = 120
    strategy: float = 220
    rating: float = 60
    answer: float = 100
    grade: float = 50


@dataclass(frozen=True)
class Assumptions:
    """What turns a configuration and its texts into numbers."""

    bytes_per_token: float
    failing: float  # share of wrong answers
    attempts: float  # of a batch, regenerations included
    levels: float  # how often a sample is asked for within one question
    replies: Callable[[int], float]  # to a question about so many samples
    rewritten: float  # tokens in a prompt for each token that a model wrote
    measure: Measure  # of the lengths of rows
    overhead: float  # bytes of names, quotes and reasons around one sample
    feedback: float  # bytes about one sample, besides the judge's words
    bounds: bool  # replies are as long as they may be, instead of as `Written` says


def likely(config: RunConfig) -> Assumptions:
    """As a run may well go: see the numbers below, which `pada-graph plan` prints."""
    attempts = config.quality.max_regenerations + 1
    return Assumptions(
        bytes_per_token=BYTES_PER_TOKEN,
        failing=0.5,
        attempts=min(1.5, attempts),
        levels=1.1,
        replies=lambda ids: 1.1,
        rewritten=1,
        measure=fmean,
        overhead=120,
        feedback=150,
        bounds=False,
    )


def worst(config: RunConfig) -> Assumptions:
    """The most that can come, for each number by itself."""
    return Assumptions(
        bytes_per_token=1,
        failing=1,
        attempts=config.quality.max_regenerations + 1,
        levels=REASKS + 1,
        replies=most_replies,
        rewritten=2,
        measure=max,
        overhead=1000,
        feedback=4000,
        bounds=True,
    )


def expected_round(config: RunConfig, texts: Texts) -> Mapping[Role, Cost]:
    """A round as it may well go."""
    usual = likely(config)
    failed = failures(config, usual.failing)
    highest = get_method(config.method).most_strategies(config, failed)
    strategies = min(highest, (config.patterns.min_clusters + highest + 1) // 2)
    return _round(config, texts, usual, strategies, wrong_rows(config, usual.failing))


def costliest_round(config: RunConfig, texts: Texts) -> Mapping[Role, Cost]:
    """The costliest round, for each number by itself."""
    most = worst(config)
    found: dict[Role, Cost] = dict.fromkeys(ROLES, Cost())
    for strategies in range(get_method(config.method).most_strategies(config, failures(config, 1)) + 1):
        for wrong in {0, wrong_rows(config, 1)}:
            for role, cost in _round(config, texts, most, strategies, wrong).items():
                found[role] = Cost(
                    max(found[role].calls, cost.calls),
                    max(found[role].input_tokens, cost.input_tokens),
                    max(found[role].output_tokens, cost.output_tokens),
                )
    return found


def _round(config: RunConfig, texts: Texts, a: Assumptions, strategies: int, wrong: int) -> dict[Role, Cost]:
    """One round of augmentation with that many strategies, each against a cluster, and wrong train rows."""
    method = get_method(config.method)
    longest = {role: reply_bound(getattr(config.models, role)) for role in ROLES}
    usual = Written()
    answer = a.rewritten * texts.answer_limit if a.bounds else texts.answered["train"] / texts.rows["train"]

    def tokens(size: float) -> float:
        return size / a.bytes_per_token

    def reply(role: Role, written: float) -> float:
        return longest[role] if a.bounds else min(written, longest[role])

    def question(role: Role, prompt: str, extra: float, items: float, written: float, ids: int) -> Cost:
        """A question about `ids` samples: `extra` goes with every reply's prompt, `items` is the samples' share."""
        replies = a.replies(ids)
        fixed = tokens(texts.prompts[prompt]) + CHAT_FRAME + extra
        return Cost(replies, replies * fixed + a.levels * items, replies * reply(role, written))

    failed = failures(config, a.failing)
    analysed = parts(failed, config.patterns.analysis_batch)
    row = tokens(a.measure(texts.failure) + a.overhead) + 2 * answer
    cost: dict[Role, Cost] = dict.fromkeys(ROLES, Cost())
    for n in analysed:
        cost["analyst"] += question("analyst", "error_analysis", 0, n * row, usual.analysis * n, n)
    words = sum(a.replies(n) * reply("analyst", usual.analysis * n) for n in analysed) * a.rewritten
    per_cluster = (words + failed * tokens(a.overhead)) / max(1, strategies)
    pattern, strategy = (a.rewritten * reply("analyst", w) for w in (usual.pattern, usual.strategy))
    named = question("analyst", "pattern_categorization", 0, per_cluster, usual.pattern, 1)
    drafted = question("analyst", "strategy_drafting", 0, tokens(a.overhead) + pattern, usual.strategy, 1)
    cost["analyst"] += (named + drafted if failed else drafted).times(strategies)
    example, asked = (tokens(a.measure(sizes) + a.overhead) for sizes in (texts.example, texts.question))
    if not isinstance(method, Generating):
        return cost
    for branch, n in method.sizes(config, strategies, wrong):
        told = strategy if branch == "pattern" else 0.0
        wrongly = n * answer if branch == "error" else 0.0
        shown = n + method.extra_examples
        written = n * fmean(texts.example) / BYTES_PER_TOKEN
        feedback = n * tokens(a.feedback) + a.rewritten * a.replies(n) * reply("judge", usual.rating * n)
        sent = tokens(texts.prompts[method.prompt_name(branch)]) + CHAT_FRAME + told + shown * example + wrongly
        cost["generator"] += Cost(
            a.attempts, a.attempts * sent + (a.attempts - 1) * feedback, a.attempts * reply("generator", written)
        )
        sample = a.rewritten * reply("generator", written)
        if method.quality_control and config.quality.enabled:
            rated = question("judge", "quality_control", told, 2 * n * example + sample, usual.rating * n, n)
            cost["judge"] += rated.times(a.attempts)
        if method.quality_control and config.quality.verify_answers and not texts.proves_answers:
            checked = question("judge", "answer_verification", 0, n * asked + sample, usual.answer * n, n)
            cost["judge"] += checked.times(a.attempts)
            if config.data.match == "judge":
                own = a.rewritten * reply("judge", usual.answer)
                graded = question("judge", "answer_grading", 0, asked + example + own, usual.grade, 1)
                cost["judge"] += graded.times(n * a.attempts)
    return cost
