"""LLM2LLM (Lee et al., arXiv 2403.15042): one new sample for a train row that the student has wrong, round by round.

The generator sees the row with its right answer and writes one like it; the student's wrong answer is not shown. Only
rows of D_train are augmented, never synthetic ones, and every round trains from the base model: both hold for all
methods here. Repetitions are found by our guard's measure (near_duplicates.py), where the authors' is ROUGE-L > 0.95.
There is no judge.

Here the wrong rows share the round's samples evenly, so that budgets are equal; where they are fewer than the samples,
a call writes up to B of them for one row. There a round has as many samples as the student has errors, the teacher is
shown a worked example, a repetition is asked for again without limit, temperature is 1.0, and there are ten rounds of
full fine-tuning.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pada_graph.config import RunConfig
from pada_graph.methods.base import Method, Question, Start, per_error, requested
from pada_graph.prompts import render
from pada_graph.state import Branch, Split, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class Llm2Llm(Method):
    """One call a wrong row, for one sample where errors are many."""

    needs_failures = True
    branch: ClassVar[Branch] = "error"

    def learns_from(self, config: RunConfig) -> tuple[Split, ...]:
        """Train errors."""
        return ("train",)

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """One batch a wrong row, several where it has more than B samples."""
        shares = per_error(requested(config), wrong, config.generation.batch_size)
        return [("error", n) for sizes in shares for n in sizes]

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """The wrong rows in random order, each as often as it has samples."""
        failed = list(run.train_errors(iteration))
        total = requested(run.config, len(run.rows.split("train")))
        shares = per_error(total, len(failed), run.config.generation.batch_size)
        seeds = run.sample(failed, len(shares), iteration, "seeds", "errors")
        return [(None, [seed] * n) for seed, sizes in zip(seeds, shares, strict=True) for n in sizes]

    def prompt_name(self, branch: Branch) -> str:
        """Our own words, to the same purpose as the authors'."""
        return "llm2llm"

    def prompt(self, run: "Run", question: Question) -> str:
        """Samples like the seed."""
        (seed,) = question.seeds.values()
        return render(
            self.prompt_name("error"),
            example=run.task.example(seed["row"]),
            ids=list(question.slots),
            fields=run.task.generated_fields,
            feedback=question.feedback,
        )


METHOD = Llm2Llm()
