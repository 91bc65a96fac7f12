"""Scale-out on Ray: the same student, the same files, on the GPUs of one machine or of a cluster.

    cluster.py     the one address: start Ray here, or join a cluster, and say what it lacks
    trainer.py     one fine-tuning shared by several workers (fit.py is its child process, a Ray driver)
    predictor.py   one split answered by several workers
    runs.py        several runs side by side, one device each

Run directories are files: workers read and write them where they lie, so all machines have to see them.
"""

from pada_graph.executors.ray.runs import run_side_by_side

__all__ = ["run_side_by_side"]
