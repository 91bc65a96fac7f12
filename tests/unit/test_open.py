"""What the graph's input changes of a configuration."""

from pada_graph.config import RunConfig
from pada_graph.nodes.open import resolve


def test_a_field_that_a_form_sends_empty_was_not_filled_in():
    config = RunConfig(task="gsm8k", method="auggpt")
    assert resolve({"task": "", "run_dir": "", "method": "", "train_size": None}, config) == config
    assert resolve({"task": "squad", "method": ""}, config) == RunConfig(task="squad", method="auggpt")
