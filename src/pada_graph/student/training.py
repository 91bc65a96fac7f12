"""Supervised fine-tuning of the student (3.2): TRL's SFTTrainer with a fresh LoRA adapter on the base model.

The work happens in `<adapter>.tmp` (student/checkpoints.py), by the trainer of student/sft.py; the folder is renamed to
`<adapter>` once it is whole. Under a launcher that sets RANK and WORLD_SIZE (Ray Train, torchrun) several processes
share each step, and the first of them alone writes: student/ranks.py.
"""

import json
import shutil
from typing import Any

from pada_graph.errors import InputError
from pada_graph.services import Progress, TrainJob
from pada_graph.student import checkpoints, manifest, models, ranks, render, sft


def train(job: TrainJob, progress: Progress) -> None:
    """Train and write `job.adapter`, in this process; resumes from the newest whole checkpoint.

    Each optimiser step appends {"step", "steps", "epoch", "loss", "learning_rate", "grad_norm", "rows_together",
    "seconds"} to `job.log` (loss: mean nats per answer token of the batch; rows_together: rows computed at once, whose
    gradients add up to the step's; seconds: since training began in this process) and is passed to `progress`.

    Raises:
        InputError: the model or the rows cannot be used.
        DivergedError: the loss or the gradient is no longer finite.
    """
    checkpoint = checkpoints.newest_checkpoint(job)
    if ranks.first():
        checkpoints.clear(job, checkpoint[0] if checkpoint else 0)

    base = models.resolve(job.model)
    tokenizer = models.load_tokenizer(base)
    rows = read_rows(job, base, tokenizer)
    trainer = sft.build_trainer(job, base, tokenizer, rows, progress)
    ranks.check_together(trainer)
    trainer.train(resume_from_checkpoint=str(checkpoint[1]) if checkpoint else None)
    ranks.check_in_step(trainer.model)
    if ranks.first():
        finish(job, trainer, tokenizer)


def read_rows(job: TrainJob, base: str, tokenizer: Any) -> list[dict[str, list[int]]]:
    """The rows of a job as `render.training_row`s.

    Args:
        job: what to train.
        base: the resolved model.
        tokenizer: its tokenizer.

    Raises:
        InputError: there is none, or one cannot be rendered.
    """
    ends = models.end_ids(base, tokenizer)
    with job.rows.open(encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    if not pairs:
        raise InputError(f"{job.rows}: no rows to train on.")
    return [render.training_row(tokenizer, ends, pair["prompt"], pair["completion"]) for pair in pairs]


def finish(job: TrainJob, trainer: Any, tokenizer: Any) -> None:
    """Write the adapter, close it with its manifest, put it in place and drop the checkpoints."""
    folder = checkpoints.work_dir(job)
    done = folder / "adapter"
    shutil.rmtree(done, ignore_errors=True)
    for config in trainer.model.peft_config.values():
        if isinstance(config.target_modules, set):  # peft would write it in another order in each process
            config.target_modules = sorted(config.target_modules)
    trainer.model.save_pretrained(done)
    tokenizer.save_pretrained(done)
    (done / "README.md").write_text(_card(job), encoding="utf-8")
    facts = {
        "model": job.model,
        "dtype": str(models.choose_dtype(job.dtype)).removeprefix("torch."),
        "device": models.device(),
        "render_sha256": render.render_hash(tokenizer),
        "lora": job.lora,
        "training": job.training,
        "max_grad_norm": sft.MAX_GRAD_NORM,
        "seed": job.seed,
    }
    manifest.write(done, manifest.job_hash(job), facts)
    manifest.sync_folder(done)
    shutil.rmtree(job.adapter, ignore_errors=True)  # another job's, or a damaged one
    done.rename(job.adapter)
    manifest.sync_folder(job.adapter.parent)
    shutil.rmtree(folder)


def _card(job: TrainJob) -> str:
    return (
        "---\nlibrary_name: peft\ntags: [lora, pada-graph]\n---\n"
        f"LoRA adapter for {job.model}, trained by pada-graph with TRL on {job.rows.name}. Its settings and the sha256 "
        f"of each file are in {manifest.MANIFEST}. Load it with `peft.AutoPeftModelForCausalLM.from_pretrained`.\n"
    )
