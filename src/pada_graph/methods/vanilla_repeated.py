"""A control, not in the paper: vanilla fine-tuning with at least as many optimiser steps as methods that add samples.

Each round adds train rows once more, drawn at random, where the others add synthetic ones. What a method gains over
this is not due to longer training.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pada_graph.config import RunConfig
from pada_graph.methods.base import Method, Start, parts, requested, split
from pada_graph.state import Branch, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class VanillaRepeated(Method):
    """Repeats rows; asks nobody."""

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """Batches of B rows."""
        return [("train", n) for n in parts(requested(config), config.generation.batch_size)]

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """Random train rows."""
        train = [row["id"] for row in run.rows.split("train")]
        seeds = run.sample(train, requested(run.config, len(train)), iteration, "seeds", "repeated")
        return [(None, part) for part in split(seeds, parts(len(seeds), run.config.generation.batch_size))]


METHOD = VanillaRepeated()
