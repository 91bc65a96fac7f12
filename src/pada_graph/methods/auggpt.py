"""AugGPT (Dai et al., arXiv 2302.13007): every train row is reworded several times; its answer is inherited.

Learns from no error, has no judge and no filter of its own. Here the rows are drawn at random, six rewordings each as
in the authors' published data, until the round's number of samples is reached; `Task.reword` says what is reworded and
what stays (choices, passage, signature). Not covered: the authors' few-shot classifier and its contrastive loss.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pada_graph.config import PromptName, RunConfig
from pada_graph.methods.base import Generating, Question, Start, parts, requested, split
from pada_graph.state import Branch, Row, Strategy
from pada_graph.tasks.base import text_field

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run

REWORDINGS = 6  # of one row: 36 of 6 rows, 24 of 4 rows in the authors' data sets


class AugGpt(Generating):
    """One call a row."""

    rewords = True

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """One batch a row."""
        return [("train", n) for n in parts(requested(config), REWORDINGS)]

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """Random train rows, each as often as it is reworded."""
        train = [row["id"] for row in run.rows.split("train")]
        sizes = parts(requested(run.config, len(train)), REWORDINGS)
        seeds = run.sample(train, len(sizes), iteration, "seeds", "reworded")
        repeated = [seed for seed, size in zip(seeds, sizes, strict=True) for _ in range(size)]
        return [(None, part) for part in split(repeated, sizes)]

    def prompt_name(self, branch: Branch) -> PromptName:
        """Our own words: the authors' are not published."""
        return "auggpt"

    def prompt(self, run: "Run", question: Question) -> str:
        """Reword one row's question."""
        (seed,) = question.seeds.values()
        example = run.task.example(seed["row"])
        field = run.task.reworded
        return run.render(
            self.prompt_name("train"),
            field=field,
            text=example[field],
            context={name: value for name, value in example.items() if name != field},
            ids=list(question.slots),
            feedback=question.feedback,
        )

    def row(self, run: "Run", fields: Mapping[str, Any], seed: Row) -> Row:
        """The seed with its question reworded.

        Raises:
            ValueError: there is no such text, or the answer no longer fits (HumanEval: the signature changed).
        """
        return run.task.reword(seed, text_field(fields, run.task.reworded))


METHOD = AugGpt()
