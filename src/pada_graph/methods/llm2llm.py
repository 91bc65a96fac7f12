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

from typing import TYPE_CHECKING

from pada_graph.config import PromptName
from pada_graph.methods.base import FromTrainErrors, Question
from pada_graph.state import Branch

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class Llm2Llm(FromTrainErrors):
    """One call a wrong row, for one sample where errors are many."""

    def prompt_name(self, branch: Branch) -> PromptName:
        """Our own words, to the same purpose as the authors'."""
        return "llm2llm"

    def prompt(self, run: "Run", question: Question) -> str:
        """Samples like the seed."""
        (seed,) = question.seeds.values()
        return run.render(
            self.prompt_name("error"),
            example=run.task.example(seed["row"]),
            ids=list(question.slots),
            fields=run.task.generated_fields,
            feedback=question.feedback,
        )


METHOD = Llm2Llm()
