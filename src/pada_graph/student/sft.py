"""TRL's SFTTrainer as a job asks for it (3.2), and what it writes down of each step.

Plain Adam (AdamW without weight decay), learning rate linear to 0, no warm-up, one optimiser step per batch, whose
gradient is cut to norm 1, as transformers does unless told otherwise; a checkpoint after each epoch.
"""

import json
import math
import re
import time
from typing import Any

from pada_graph.errors import DivergedError
from pada_graph.services import Progress, TrainJob
from pada_graph.student import manifest, models, ranks, render
from pada_graph.student.checkpoints import work_dir

CPU_TOKENS = 512  # computed at once on a CPU, see rows_together
CHECKPOINTS = 2  # kept: the newest may turn out to be torn
MAX_GRAD_NORM = 1.0  # a longer gradient is scaled down to it
# Parts of a model that never see text: their adapters would not be trained, and not every server loads them.
NOT_TEXT = r"(.*[._])?(vision|visual|audio|multi_modal|mm_projector|connector|aligner)[^.]*(\..*)?"


def build_trainer(
    job: TrainJob, base: str, tokenizer: Any, rows: list[dict[str, list[int]]], progress: Progress
) -> Any:
    """The SFTTrainer of a job.

    Args:
        job: what to train.
        base: the resolved model.
        tokenizer: its tokenizer.
        rows: `render.training_row`s.
        progress: told of each step.

    Raises:
        InputError: the model cannot be loaded, or the workers cannot share a step evenly.
        DivergedError: from the trainer, at a step whose loss or gradient is no longer finite.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig

    dtype = models.choose_dtype(job.dtype)
    batch_size = ranks.share(job.training["batch_size"], ranks.world())
    limit = CPU_TOKENS if models.device() == "cpu" else None
    together = rows_together(batch_size, max(len(row["input_ids"]) for row in rows), limit, job.parts)
    arguments = SFTConfig(
        output_dir=str(work_dir(job)),
        num_train_epochs=job.training["epochs"],
        learning_rate=job.training["learning_rate"],
        per_device_train_batch_size=together,
        gradient_accumulation_steps=batch_size // together,
        lr_scheduler_type="linear",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=MAX_GRAD_NORM,
        optim="adamw_torch",
        max_length=None,
        packing=False,
        use_cpu=models.device() == "cpu",  # or several workers train alone: ranks.check_together
        ddp_find_unused_parameters=False,
        bf16=dtype == torch.bfloat16,
        fp16=False,
        gradient_checkpointing=False,
        completion_only_loss=True,
        seed=job.seed,
        data_seed=job.seed,
        save_strategy="epoch",
        save_total_limit=CHECKPOINTS,
        report_to="none",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        dataloader_pin_memory=models.device() == "cuda",
    )
    # As it will be asked: by itself TRL would take the class that the checkpoint names, which may be another one.
    student = models.load_base(base, dtype)
    adapter = LoraConfig(
        r=job.lora["r"],
        lora_alpha=job.lora["alpha"],
        lora_dropout=job.lora["dropout"],
        target_modules=job.lora["target_modules"],
        exclude_modules=NOT_TEXT if job.lora["target_modules"] == "all-linear" and _sees(student) else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    trainer_class, blanks = _trainer_class(), []
    if ranks.world() > 1:
        trainer_class = ranks.even(trainer_class, len(rows), job.training["batch_size"], job.seed)
        blanks = [render.blank_row(rows[0])] * ranks.missing(len(rows), job.training["batch_size"])
    return trainer_class(
        model=student,
        args=arguments,
        train_dataset=Dataset.from_list(rows + blanks),
        processing_class=tokenizer,
        callbacks=[_log_callback(job, progress)],
        peft_config=adapter,
    )


def _sees(model: Any) -> bool:
    """Whether a model has linear layers for images or sound alone."""
    from torch.nn import Linear

    return any(re.fullmatch(NOT_TEXT, name) for name, part in model.named_modules() if isinstance(part, Linear))


def rows_together(batch_size: int, longest: int, limit: int | None, parts: int = 1) -> int:
    """How many rows of an optimiser step are computed at once; their gradients add up to those of the whole batch.

    On a CPU a few hundred tokens keep all cores busy; more only cost padding and memory: 8 rows of SQuAD took 16 GB at
    once and 2.5 GB one by one (SmolLM2-135M).

    Args:
        batch_size: rows of an optimiser step.
        longest: tokens of the longest row.
        limit: tokens computed at once; None: as many as the batch has.
        parts: share of that which memory allows: 2 is half.
    """
    divisors = [n for n in range(1, batch_size + 1) if batch_size % n == 0]
    most = max(n for n in divisors if n == 1 or limit is None or n * longest <= limit)
    return max(n for n in divisors if n == 1 or n * parts <= most)


def _trainer_class() -> Any:
    """SFTTrainer; on a CPU it projects only the positions that carry loss onto the vocabulary.

    TRL does so wherever Triton runs and scores every position elsewhere (trl/trainer/utils.py, add_fused_lm_head): for
    a small model with a large vocabulary most of the work, and none of the loss.
    """
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    if models.device() != "cpu":
        return SFTTrainer

    class CpuSFTTrainer(SFTTrainer):  # type: ignore[misc]
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels = inputs.pop("labels")[:, 1:]
            scored = (labels != render.IGNORED).any(dim=0).nonzero().squeeze(1)
            logits = model(**inputs, use_cache=False, logits_to_keep=scored).logits
            total = cross_entropy(
                logits.flatten(0, 1).float(), labels[:, scored].flatten(), ignore_index=render.IGNORED, reduction="sum"
            )
            return total / num_items_in_batch * self.accelerator.num_processes  # whose gradients are averaged

    return CpuSFTTrainer


def _log_callback(job: TrainJob, progress: Progress) -> Any:
    from transformers import TrainerCallback

    inputs = manifest.job_hash(job)

    class LogCallback(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return  # the summary at the end
            for name in ("loss", "grad_norm"):
                if not math.isfinite(logs[name]):
                    raise DivergedError(
                        f"Training stopped at step {state.global_step} of {state.max_steps}: {name} is {logs[name]}."
                    )
            event = {
                "step": state.global_step,
                "steps": state.max_steps,
                "epoch": round(float(logs["epoch"]), 4),
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs["grad_norm"],
                "rows_together": args.per_device_train_batch_size,
                "seconds": round(time.monotonic() - self.began, 3),
            }
            if ranks.first():
                with job.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(event) + "\n")
                progress(event)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            checkpoint = work_dir(job) / f"checkpoint-{state.global_step}"
            ranks.wait_for_all()  # each has a file of its own in there
            if ranks.first():
                manifest.write(checkpoint, inputs, {"step": state.global_step})
                manifest.sync_folder(checkpoint)

    return LogCallback()
