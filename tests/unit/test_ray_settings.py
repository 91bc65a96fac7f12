"""How the executor ray divides machines and batches; no Ray is started."""

import json
import subprocess
import sys

import pytest

from pada_graph import doctor
from pada_graph.config import Ray, RunConfig
from pada_graph.errors import InputError
from pada_graph.executors.ray import cluster
from pada_graph.executors.ray.cluster import Cluster, _cpus_each
from pada_graph.executors.ray.trainer import for_training
from pada_graph.nodes.recorded_config import CONFIG, record_config
from pada_graph.rundir import RunDir
from pada_graph.student import ranks


@pytest.mark.parametrize(
    ("nodes", "workers", "each"),
    [([2], 1, 2), ([2], 2, 1), ([8, 8], 3, 4), ([3, 3], 3, 1), ([3, 3], 2, 3), ([0, 4], 1, 4), ([1], 5, 1)],
)
def test_workers_have_equal_parts_of_the_cpus_and_none_is_on_two_machines(nodes, workers, each):
    assert _cpus_each(nodes, workers) == each


def test_a_worker_reserves_a_gpu_where_there_are_any():
    assert Cluster("a", 2, gpu=True, cpus=1).resources == {"CPU": 1, "GPU": 1}
    assert Cluster("a", 2, gpu=False, cpus=3).resources == {"CPU": 3}


@pytest.mark.parametrize(("devices", "trainers"), [(1, 1), (3, 2), (8, 8), (100, 8)])
def test_as_many_workers_train_as_can_share_a_batch_of_eight(devices, trainers):
    assert for_training(Cluster("a", devices, True, 1), Ray(), 8).workers == trainers


def test_a_given_number_of_workers_that_cannot_share_the_batch_is_refused():
    assert for_training(Cluster("a", 4, True, 1), Ray(workers=4), 8).workers == 4
    with pytest.raises(InputError, match=r"8 rows cannot be shared equally by 3 .*ray\.workers to 1 or 2 or 4 or 8"):
        for_training(Cluster("a", 3, True, 1), Ray(workers=3), 8)


def test_doctor_tells_who_would_work(monkeypatch):
    monkeypatch.setattr(cluster, "connect", lambda settings: Cluster("head:6379", 3, gpu=True, cpus=1))
    assert doctor._ray(RunConfig(executor="ray")) == "head:6379: 3 workers, one GPU each; 2 of them train"


def test_the_last_batch_is_filled_up_to_a_whole_one():
    assert [ranks.missing(rows, 4) for rows in (8, 9, 11)] == [0, 3, 1]


def test_a_run_may_go_on_with_another_executor(tmp_path):
    directory = RunDir(tmp_path / "run")
    record_config(directory, RunConfig())
    directory.write_json("data/manifest.json", {})
    record_config(directory, RunConfig(executor="ray", ray=Ray(address="head:6379", workers=4)))
    assert json.loads((tmp_path / "run" / CONFIG).read_text())["executor"] == "ray"


def test_ray_is_not_loaded_where_it_is_not_asked_for(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pada_graph.config import RunConfig, Ray;"
        "from pada_graph.executors.ray import run_side_by_side;"
        "from pada_graph.services import default_services;"
        "default_services(RunConfig(method='vanilla', iterations=0), Path('unused'));"
        "print('ray' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
