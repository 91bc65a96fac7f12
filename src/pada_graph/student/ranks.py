"""Several processes that share each optimiser step, under a launcher that sets RANK and WORLD_SIZE for each of them.

A step stays a step: each process has its share of the batch, and the gradients add up to those of the whole batch.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from pada_graph.errors import InputError, StoppedError


def world() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def first() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def share(batch_size: int, workers: int) -> int:
    """Rows of a step that are each worker's.

    Raises:
        InputError: they cannot have equal shares.
    """
    if batch_size % workers:
        fitting = [str(n) for n in range(1, batch_size + 1) if batch_size % n == 0]
        raise InputError(
            f"student.training.batch_size: {batch_size} rows cannot be shared equally by {workers} workers. Set "
            f"ray.workers to {' or '.join(fitting)}, or change the batch size."
        )
    return batch_size // workers


def missing(rows: int, batch_size: int) -> int:
    """Rows that the last batch of an epoch lacks."""
    return -rows % batch_size


def even(trainer_class: Any, rows: int, batch_size: int, seed: int) -> Any:
    """A trainer whose epochs have whole batches: the rows in the order that one process has, then the blank rows.

    accelerate would fill the last batch up with rows from the epoch's beginning, which then count twice
    (accelerate/data_loader.py, BatchSamplerShard with even_batches).

    Args:
        trainer_class: a transformers Trainer.
        rows: rows to train on; `missing` blank ones follow them in the data set.
        batch_size: rows of a step, all processes together.
        seed: of the order.
    """
    from accelerate.data_loader import SeedableRandomSampler
    from torch.utils.data import Sampler

    class WholeBatches(Sampler[int]):
        def __init__(self) -> None:
            self._order = SeedableRandomSampler(range(rows), data_seed=seed)

        def __iter__(self) -> Iterator[int]:
            yield from self._order
            yield from range(rows, len(self))

        def __len__(self) -> int:
            return rows + missing(rows, batch_size)

        def set_epoch(self, epoch: int) -> None:
            self._order.set_epoch(epoch)

    class EvenTrainer(trainer_class):  # type: ignore[misc]
        def _get_train_sampler(self, train_dataset: Any = None) -> WholeBatches:
            return WholeBatches()

    return EvenTrainer


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world() > 1:
        import torch.distributed

        torch.distributed.barrier()


def check_together(trainer: Any) -> None:
    """Refuse a trainer that takes this process for the only one.

    Without `use_cpu=True` accelerate does so on a CPU (accelerate/state.py, _prepare_backend): each process would train
    alone on all rows, with a share of the batch size, and come to the same weights; nothing would say so.

    Raises:
        StoppedError: it does.
    """
    if (found := trainer.accelerator.num_processes) != world():
        raise StoppedError(
            f"Training was started with {world()} workers, and accelerate sees {found}: they would not share their "
            "gradients. Train with one worker (executor ray: ray.workers: 1), and report this."
        )


def check_in_step(model: Any) -> None:
    """Refuse a student, a PeftModel, whose processes have come to different weights.

    Raises:
        StoppedError: the adapters differ.
    """
    if world() == 1:
        return
    import torch.distributed

    found: list[str] = [""] * world()
    torch.distributed.all_gather_object(found, weights_sha256(model))
    if len(set(found)) > 1:
        raise StoppedError(
            f"The {world()} training workers came to different weights: their gradients were not shared. Nothing of it "
            "was kept. Train with one worker (executor ray: ray.workers: 1), and report this."
        )


def weights_sha256(model: Any) -> str:
    """Sha256 of the adapter's weights, in the order of their names."""
    import torch
    from peft import get_peft_model_state_dict

    digest = hashlib.sha256()
    for name, weights in sorted(get_peft_model_state_dict(model).items()):
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
