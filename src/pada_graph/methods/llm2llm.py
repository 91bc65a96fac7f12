"""LLM2LLM (Lee et al., arXiv 2403.15042): one new sample for a train row that the student has wrong, round by round.

The generator sees the row with its right answer and writes one like it; the student's wrong answer is not shown. Only
rows of D_train are augmented, never synthetic ones, and every round trains from the base model: both hold for all
methods here. Repetitions are asked for again, by our guard's measure (near_duplicates.py) where the authors' is
ROUGE-L > 0.95. There is no judge.

Here the wrong rows are gone through again and again until the round's number of samples is reached, so that budgets are
equal; there a round has as many samples as the student has errors. There: temperature 1.0, ten rounds of full
fine-tuning.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pada_graph.config import RunConfig
from pada_graph.methods.base import Method, Question, Start, requested
from pada_graph.prompts import render
from pada_graph.state import Branch, Split, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class Llm2Llm(Method):
    """One call a sample."""

    needs_failures = True
    branch: ClassVar[Branch] = "error"

    def learns_from(self, config: RunConfig) -> tuple[Split, ...]:
        """Train errors."""
        return ("train",)

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """One batch a sample."""
        return [("error", 1)] * requested(config) if wrong else []

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """The wrong rows in random order, again from the first when all had their turn."""
        total = requested(run.config, len(run.rows.split("train")))
        return [
            (None, [seed])
            for seed in run.sample(list(run.train_errors(iteration)), total, iteration, "seeds", "errors")
        ]

    def prompt_name(self, branch: Branch) -> str:
        """Our own words, to the same purpose as the authors'."""
        return "llm2llm"

    def prompt(self, run: "Run", question: Question) -> str:
        """One sample like the seed."""
        (seed,) = question.seeds.values()
        return render(
            self.prompt_name("error"),
            example=run.task.example(seed["row"]),
            ids=list(question.slots),
            fields=run.task.generated_fields,
            feedback=question.feedback,
        )


METHOD = Llm2Llm()
