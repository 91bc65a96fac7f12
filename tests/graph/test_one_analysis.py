"""Studio's pattern_analysis: one round of an existing run, given by its number."""

import pytest

from pada_graph import run
from pada_graph.errors import InputError
from pada_graph.graph import build_pattern_analysis
from tests.fakes import FakeTeacher, fake_services, sums_config, write_sums


@pytest.mark.parametrize("iteration", [-1, 0, 3])
def test_a_round_that_the_run_has_not_is_refused_with_those_there_are(tmp_path, iteration):
    run(sums_config(write_sums(tmp_path / "sums"), iterations=1), tmp_path / "run", services=fake_services())
    teacher = FakeTeacher()
    graph = build_pattern_analysis(fake_services(teacher=teacher))
    with pytest.raises(InputError, match=f"^round {iteration}: this run has rounds 1 to 2; round t reads"):
        graph.invoke({"run_dir": str(tmp_path / "run"), "iteration": iteration})
    assert teacher.prompts == []
