"""PaDA-Agent (2, Appendix A): strategies against the patterns of validation failures, and samples against train errors.

Half of a round's samples follow the strategies, evenly over the clusters; half start from train errors (3.2). Without
one branch the other has all. A judge rates every batch, and feedback goes back to the generator (A.4).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pada_graph.config import PromptName, Role, RunConfig
from pada_graph.methods.base import Generating, Question, Start, evenly, parts, requested, split
from pada_graph.state import Branch, Seed, Split, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class Pada(Generating):
    """Both branches, each of which can be switched off, as can quality control (Table 2)."""

    needs_failures = True
    pattern_analysis = True
    quality_control = True
    id_field = "based_on_example"
    branch: ClassVar[Branch] = "error"

    def learns_from(self, config: RunConfig) -> tuple[Split, ...]:
        """Validation failures (A.2.1) and train errors (A.2.2)."""
        enabled: dict[Split, bool] = {"validation": config.patterns.enabled, "train": config.train_errors.enabled}
        return tuple(part for part, on in enabled.items() if on)

    def roles(self, config: RunConfig) -> tuple[Role, ...]:
        """Analyst, generator and judge, unless their part is switched off."""
        if not (config.patterns.enabled or config.train_errors.enabled):
            return ()
        judged = config.quality.enabled or config.quality.verify_answers
        used: dict[Role, bool] = {"analyst": config.patterns.enabled, "generator": True, "judge": judged}
        return tuple(role for role, on in used.items() if on)

    def most_strategies(self, config: RunConfig, failures: int) -> int:
        """One a cluster; fewer than four failures are one cluster (clustering.py)."""
        largest = min(config.patterns.max_clusters, failures - 1)
        return min(failures, 1) if failures < 4 or largest < config.patterns.min_clusters else largest

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """Batches of B samples, strategy by strategy and then the error branch."""
        per_strategy, errors = self._shares(config, requested(config), strategies, wrong)
        size = config.generation.batch_size
        pattern: list[tuple[Branch, int]] = [("pattern", n) for count in per_strategy for n in parts(count, size)]
        return pattern + [("error", n) for n in parts(errors, size)]

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """A random train row for each sample of a strategy, a failed one for each of the error branch (A.3)."""
        train = [row["id"] for row in run.rows.split("train")]
        failed = list(run.train_errors(iteration)) if "train" in self.learns_from(run.config) else []
        total, size = requested(run.config, len(train)), run.config.generation.batch_size
        per_strategy, errors = self._shares(run.config, total, len(strategies), len(failed))
        starts: list[Start] = []
        for strategy, count in zip(strategies, per_strategy, strict=False):
            seeds = run.sample(train, count, iteration, "seeds", strategy["strategy_id"])
            starts += [(strategy["strategy_id"], part) for part in split(seeds, parts(count, size))]
        seeds = run.sample(failed, errors, iteration, "seeds", "errors")
        return starts + [(None, part) for part in split(seeds, parts(errors, size))]

    def _shares(self, config: RunConfig, total: int, strategies: int, wrong: int) -> tuple[list[int], int]:
        """Samples of each strategy, and of the error branch."""
        share = config.generation.pattern_share if strategies and wrong else float(bool(strategies))
        from_patterns = round(total * share)
        return evenly(from_patterns, strategies), (total - from_patterns if wrong else 0)

    def prompt_name(self, branch: Branch) -> PromptName:
        """Figure 5 or Figure 6."""
        return "generate_from_pattern" if branch == "pattern" else "generate_from_errors"

    def prompt(self, run: "Run", question: Question) -> str:
        """Generate(x_i, strategy_k, feedback_i) or Generate(e_i, feedback_i) (A.3)."""
        examples = [_example(run, id_, question.seeds[slot["seed_id"]]) for id_, slot in question.slots.items()]
        common = {
            "examples": examples,
            "feedback": question.feedback,
            "count": len(examples),
            "fields": run.task.generated_fields,
        }
        name = self.prompt_name(question.plan["branch"])
        if question.strategy is None:
            return run.render(name, **common)
        return run.render(name, strategy=strategy_text(question.strategy), **common)


def strategy_text(strategy: Strategy) -> dict[str, object]:
    """What generator and judge are told of a strategy."""
    return {
        "category_name": strategy["category_name"],
        "strategy_name": strategy["strategy_name"],
        "generation_approach": strategy["generation_approach"],
        "key_elements": strategy["key_elements"],
    }


def _example(run: "Run", id_: str, seed: Seed) -> dict[str, object]:
    """One entry a sample to be written: its id first, then the train row it starts from."""
    example = run.task.example(seed["row"])
    if seed["wrong_answer"] is None:
        return {"example_id": id_, **example}
    return {"example_id": id_, "QUESTION/TASK": example, "STUDENT'S_WRONG_ANSWER": seed["wrong_answer"]}


METHOD = Pada()
