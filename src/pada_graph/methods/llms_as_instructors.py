"""LLMs-as-Instructors, "learning from error" (Ying et al., EMNLP Findings 2024, arXiv 2407.00497).

One call for each train row that the student has wrong: the generator sees the question and the wrong response, not the
right answer, and writes targeted practice questions with answers. The wrong rows share the round's samples evenly;
where there are more wrong rows than samples, a random part of them gets one each. Exact repetitions are dropped by the
shared guard; there is no judge.

Here as there: one system of questions and answers, n an item. Otherwise there: n = ceil(size / wrong) + 1 and a random
selection down to size, training on the generated data alone, temperature 0.8.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pada_graph.config import RunConfig
from pada_graph.methods.base import Method, Question, Start, per_error, requested
from pada_graph.prompts import render
from pada_graph.state import Branch, Split, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class LlmsAsInstructors(Method):
    """The error form; the contrastive one extends it."""

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
        return "llms_as_instructors"

    def prompt(self, run: "Run", question: Question) -> str:
        """Practice against one wrong answer."""
        (seed,) = question.seeds.values()
        return render(
            self.prompt_name("error"),
            question=run.task.prompt(seed["row"]),
            wrong=seed["wrong_answer"],
            mastered=self.mastered(run, question),
            ids=list(question.slots),
            fields=run.task.generated_fields,
            feedback=question.feedback,
        )

    def mastered(self, run: "Run", question: Question) -> list[Any]:
        """Questions that the student has right, to be shown beside the wrong one."""
        return []


METHOD = LlmsAsInstructors()
