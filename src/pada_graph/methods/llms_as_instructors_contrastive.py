"""LLMs-as-Instructors, "learning from error by contrast" (Ying et al., arXiv 2407.00497).

As the error form, but the generator is also shown the three train questions nearest to the failed one that the student
has right, without answers. Near is cosine similarity of the questions' embeddings, with `patterns.embedder`; the
authors take mean-pooled bert-base-uncased.
"""

from typing import TYPE_CHECKING, Any

from pada_graph.methods.base import Question
from pada_graph.methods.llms_as_instructors import LlmsAsInstructors

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run

NEIGHBOURS = 3


class LlmsAsInstructorsContrastive(LlmsAsInstructors):
    """The contrastive form."""

    extra_examples = NEIGHBOURS

    def mastered(self, run: "Run", question: Question) -> list[Any]:
        """The nearest questions that the student has right; fewer if it has fewer right."""
        (seed_id,) = question.seeds
        wrong = run.train_errors(question.plan["iteration"])
        near = run.nearest_train(seed_id, [id_ for id_ in run.rows.train if id_ not in wrong], NEIGHBOURS)
        return [run.task.prompt(run.rows.train[id_]) for id_ in near]


METHOD = LlmsAsInstructorsContrastive()
