"""A control, not in the paper: PaDA-Agent with strategies that do not come from validation failures.

Instead of patterns found in failures, weaknesses that any student might have are drawn at random, as many as PaDA-Agent
may have clusters; the analyst drafts a strategy against each with the same prompt (Figure 4). All else is PaDA-Agent,
train errors and quality control included. What PaDA-Agent gains over this is due to looking at failures, and to having
as many strategies as there are clusters: their number is drawn here.
"""

from typing import TYPE_CHECKING

from pada_graph.config import RunConfig
from pada_graph.methods.pada import Pada
from pada_graph.state import Pattern, Split

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run

WEAKNESSES = (
    ("Negated Questions", "Overlooks a negation in the question and answers the opposite of what is asked."),
    ("Multi-Step Reasoning", "Stops after the first step of a chain of reasoning and gives an intermediate result."),
    ("Irrelevant Details", "Uses a detail of the text that has nothing to do with the question."),
    ("Order of Events", "Confuses what happened first with what happened later."),
    ("Cause and Effect", "Takes the effect for the cause, or a coincidence for a cause."),
    ("Units and Scales", "Mixes units up, or gives a result in another unit than asked for."),
    ("Comparisons", "Compares two things the wrong way round, or compares the wrong two things."),
    ("Rare Vocabulary", "Misreads a question because of a rare word or a technical term."),
    ("Pronouns", "Takes a pronoun for the wrong person or thing."),
    ("Long Inputs", "Loses sight of the question where the text before it is long."),
    ("Literal Reading", "Takes a figure of speech literally."),
    ("Format of the Answer", "Knows the answer but does not give it in the form asked for."),
    ("Plausible Distractors", "Falls for an answer that shares many words with the question."),
    ("Everyday Knowledge", "Lacks a fact of everyday life that the question takes for granted."),
    ("Scientific Knowledge", "Lacks a fact or a law of science that the question rests on."),
    ("Quantities in Words", "Misreads numbers and fractions that are written as words."),
    ("Conditions", "Ignores an if or an unless in the question."),
    ("Completeness", "Answers one part of a question that has two parts."),
    ("Exactness", "Gives an answer that is too general, or longer than asked for."),
    ("Spatial Relations", "Confuses left and right, above and below, inside and outside."),
)


class PadaRandomStrategies(Pada):
    """PaDA-Agent without its Pattern Analysis Agent's analysis."""

    needs_failures = False
    pattern_analysis = False

    def learns_from(self, config: RunConfig) -> tuple[Split, ...]:
        """Train errors; without any, the strategies have all samples."""
        return ("train",) if config.train_errors.enabled else ()

    def most_strategies(self, config: RunConfig, failures: int) -> int:
        """As many as there may be clusters."""
        return min(config.patterns.max_clusters, len(WEAKNESSES)) if config.patterns.enabled else 0

    def patterns(self, run: "Run", iteration: int) -> list[Pattern]:
        """Between `min_clusters` and `max_clusters` weaknesses, drawn anew in each round."""
        most = self.most_strategies(run.config, 0)
        if not most:
            return []
        rng = run.rng(iteration, "random strategies")
        count = rng.randint(min(run.config.patterns.min_clusters, most), most)
        return [
            {
                "iteration": iteration,
                "pattern_id": f"t{iteration}-p{k}",
                "cluster": k,
                "size": 0,
                "category_name": name,
                "error_pattern": pattern,
            }
            for k, (name, pattern) in enumerate(rng.sample(WEAKNESSES, count))
        ]


METHOD = PadaRandomStrategies()
