"""Vanilla fine-tuning: the student is fine-tuned on D_train once, and that is all (Table 1, first line)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pada_graph.config import RunConfig
from pada_graph.methods.base import Method, Start
from pada_graph.state import Branch, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


class Vanilla(Method):
    """No round of augmentation."""

    augments = False

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """None."""
        return []

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """None."""
        return []


METHOD = Vanilla()
