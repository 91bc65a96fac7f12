"""LLMs-as-Instructors, "learning from error" (Ying et al., EMNLP Findings 2024, arXiv 2407.00497).

One call for each train row that the student has wrong: the generator sees the question and the wrong response, not the
right answer, and writes targeted practice questions with answers. The wrong rows share the round's samples evenly;
where there are more wrong rows than samples, a random part of them gets one each. Exact repetitions are dropped by the
shared guard; there is no judge.

Here as there: one system of questions and answers, n an item. Otherwise there: n = ceil(size / wrong) + 1 and a random
selection down to size, training on the generated data alone, temperature 0.8.
"""

from typing import TYPE_CHECKING, Any

from pada_graph.config import PromptName
from pada_graph.methods.base import FromTrainErrors, Question
from pada_graph.state import Branch

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class LlmsAsInstructors(FromTrainErrors):
    """The error form; the contrastive one extends it."""

    def prompt_name(self, branch: Branch) -> PromptName:
        """Our own words, to the same purpose as the authors'."""
        return "llms_as_instructors"

    def prompt(self, run: "Run", question: Question) -> str:
        """Practice against one wrong answer."""
        (seed,) = question.seeds.values()
        return run.render(
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
