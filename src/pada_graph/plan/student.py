"""The student's tokens: what passes through training and through prediction, whole run."""

from dataclasses import dataclass

from pada_graph.config import RunConfig
from pada_graph.methods import get_method
from pada_graph.plan.calls import most_batches
from pada_graph.plan.texts import Texts
from pada_graph.teacher.budget import reply_bound


@dataclass(frozen=True)
class Range:
    """A number of which only bounds are known, and what to expect."""

    low: float
    expected: float
    max: float


def added(*ranges: Range) -> Range:
    """The sum of several."""
    return Range(sum(r.low for r in ranges), sum(r.expected for r in ranges), sum(r.max for r in ranges))


ACCEPTED = 0.8  # share of the synthetic samples that is expected to pass


def training_tokens(config: RunConfig, texts: Texts, rounds: int) -> Range:
    """All rows of every iteration, times the epochs.

    Low: the run ends after vanilla fine-tuning. Max: every sample is accepted and as long as its reply allows.
    """
    real, longest = sum(texts.trained), max(texts.trained)
    synthetic = round(config.generation.ratio * config.data.train_size)
    trainings = rounds * (rounds + 1) / 2  # of one round's samples: D_syn accumulates
    usual = ACCEPTED * synthetic * real / len(texts.trained)
    most = synthetic * longest + 2 * reply_bound(config.models.generator) * most_batches(config)
    epochs = config.student.training.epochs
    return Range(
        round(epochs * real),
        round(epochs * ((rounds + 1) * real + trainings * usual)),
        round(epochs * ((rounds + 1) * real + trainings * most)),
    )


def prediction_tokens(config: RunConfig, texts: Texts, rounds: int) -> Range:
    """Prompts and answers: validation untuned and in every iteration, test at the end, train for a round that uses it.

    Low: the run ends after vanilla fine-tuning, and answers are empty. Max: answers as long as allowed.
    """

    def tokens(times: dict[str, int], answer: float, allowed: int) -> int:
        return round(
            sum(n * (texts.asked[s] + answer * texts.answered[s] + allowed * texts.rows[s]) for s, n in times.items())
        )

    whole = times_answered(config, rounds)
    short = {split: min(times, 2 if split != "train" else 1) for split, times in whole.items()}
    return Range(tokens(short, 0, 0), tokens(whole, 1, 0), tokens(whole, 0, texts.answer_limit))


def times_answered(config: RunConfig, rounds: int) -> dict[str, int]:
    """How often each split is answered in a run of all its rounds."""
    before = rounds * ("train" in get_method(config.method).learns_from(config))
    return {"validation": rounds + 2, "train": before, "test": 3 if rounds else 2}
