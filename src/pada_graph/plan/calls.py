"""How many questions a round of augmentation has, and how many replies a question can take (section 3.2, A.5)."""

from pada_graph.config import RunConfig
from pada_graph.methods import get_method

REASKS = 2  # the default of teacher.ask: what a reply lacks is asked again so often


def most_replies(ids: int) -> int:
    """Replies to a question about `ids` samples, at most: every reply is cut off, so each part is halved, twice.

    Refusals for content are not counted: up to 2 n - 1 replies to a question about n samples (teacher/ask.py).
    """
    return sum(min(ids, 2**again) for again in range(REASKS + 1))


def failures(config: RunConfig, share: float) -> int:
    """Validation failures that are analysed in a round if that share of the answers is wrong."""
    if not (get_method(config.method).pattern_analysis and config.patterns.enabled):
        return 0
    return min(config.patterns.max_errors, share_of(config.data.validation_size, share))


def wrong_rows(config: RunConfig, share: float) -> int:
    """Train rows that a round starts from if that share of the answers is wrong."""
    uses = "train" in get_method(config.method).learns_from(config)
    return share_of(config.data.train_size, share) if uses else 0


def share_of(count: int, share: float) -> int:
    """A share of some rows, rounded up."""
    return -int(-share * count // 1)


def most_batches(config: RunConfig) -> int:
    """Batches of a round, at most."""
    method = get_method(config.method)
    strategies = range(method.most_strategies(config, failures(config, 1)) + 1)
    return max(len(method.sizes(config, k, wrong)) for k in strategies for wrong in {0, wrong_rows(config, 1)})
