"""Trained tokens a second: our fine-tuning, TRL's SFTTrainer as it comes, and a loop written by hand as the floor.

    python -m benchmarks.training FOLDER [--rows 200] [--times 5] [--dtype float32]

FOLDER holds the public data sets. All three fine-tune builtin:smollm2-135m with LoRA (r 32, all linear layers) for one
epoch on the same SQuAD rows in batches of 8, learning rate 2e-4 falling to 0, in turn, each in a process of its own
that has loaded model and rows before its clock starts. A token is one of a row, its prompt included. Equal loss:
the mean of the last five steps within 2 % of the defaults', which take the rows in the same order. The loop written by
hand does what ours does and nothing else: no log, no checkpoint, no callback. TRL's defaults compute each forward pass
twice to save memory (gradient checkpointing); ours and the loop do not. Fewer than five rounds or 40 rows are a trial:
shown and not kept. A round of 200 rows takes over twenty minutes on two cores: rounds of a run that was interrupted
count.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.measure import PAIRS, Row, as_given, compared, forget, in_turn, process, save, versions

from pada_graph.config import Lora
from pada_graph.executors.local import environment
from pada_graph.services import TrainJob
from pada_graph.sources import read_source
from pada_graph.student import models, render, sft, training
from pada_graph.tasks.squad import Squad

MODEL = "builtin:smollm2-135m"
BATCH, RATE, SEED = 8, 2e-4, 0
SIDES = ("ours", "defaults", "loop")
FEWEST = 40  # rows of a result that is kept


def job(folder: Path, dtype: str) -> TrainJob:
    """The work, as a run of ours writes it down."""
    lora = Lora().model_dump()
    settings = {"epochs": 1, "learning_rate": RATE, "batch_size": BATCH}
    return TrainJob(MODEL, dtype, folder / "rows.jsonl", folder / "adapter", folder / "log.jsonl", lora, settings, SEED)


def ours(work: TrainJob) -> list[float]:
    """`student.training`, adapter and checkpoint written."""
    base = models.resolve(MODEL)
    tokenizer = models.load_tokenizer(base)
    work.log.touch()
    trainer = sft.build_trainer(work, base, tokenizer, training.read_rows(work, base, tokenizer), lambda event: None)
    start_clock()
    trainer.train()
    training.finish(work, trainer, tokenizer)
    return [json.loads(line)["loss"] for line in work.log.read_text().splitlines()]


def defaults(work: TrainJob) -> list[float]:
    """TRL's own settings but for what the work says, and what a CPU needs."""
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = models.load_tokenizer(models.resolve(MODEL))
    rows = training.read_rows(work, models.resolve(MODEL), tokenizer)  # the loss is of the same tokens
    arguments = SFTConfig(
        output_dir=str(work.adapter), num_train_epochs=1, learning_rate=RATE, per_device_train_batch_size=BATCH,
        use_cpu=models.device() == "cpu", bf16=work.dtype == "bfloat16", logging_steps=1, report_to="none",
        disable_tqdm=True, seed=SEED, model_init_kwargs={"dtype": getattr(torch, work.dtype)},
    )  # fmt: skip
    trainer = SFTTrainer(
        models.resolve(MODEL), arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=_lora(work),
    )  # fmt: skip
    start_clock()
    trainer.train()
    trainer.save_model()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def loop(work: TrainJob) -> list[float]:
    """The same steps in plain PyTorch."""
    import torch
    from peft import get_peft_model
    from torch.nn.functional import cross_entropy

    base = models.resolve(MODEL)
    tokenizer = models.load_tokenizer(base)
    rows = training.read_rows(work, base, tokenizer)
    torch.manual_seed(SEED)
    dtype = models.choose_dtype(work.dtype)
    device = models.device()
    model = get_peft_model(models.load_base(base, dtype), _lora(work)).to(device).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0)
    random.Random(SEED).shuffle(rows)
    steps = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    limit = sft.CPU_TOKENS if device == "cpu" else None
    together = sft.rows_together(BATCH, max(len(row["input_ids"]) for row in rows), limit)
    losses = []
    start_clock()
    for number, step in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - number / len(steps))
        trained = sum(label != render.IGNORED for row in step for label in row["labels"])
        loss = 0.0
        for start in range(0, len(step), together):
            part = step[start : start + together]
            width = max(len(row["input_ids"]) for row in part)
            ids = torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in part])
            labels = torch.tensor([row["labels"] + [render.IGNORED] * (width - len(row["labels"])) for row in part])
            seen = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in part])
            ids, labels, seen = (part.to(device) for part in (ids, labels[:, 1:], seen))
            scored = (labels != render.IGNORED).any(dim=0).nonzero().squeeze(1)
            with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
                logits = model(input_ids=ids, attention_mask=seen, use_cache=False, logits_to_keep=scored).logits
            total = cross_entropy(
                logits.flatten(0, 1).float(), labels[:, scored].flatten(), ignore_index=render.IGNORED, reduction="sum"
            )
            (total / trained).backward()
            loss += total.item() / trained
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss)
    return losses


def _lora(work: TrainJob) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=work.lora["r"], lora_alpha=work.lora["alpha"], lora_dropout=work.lora["dropout"],
        target_modules=work.lora["target_modules"], task_type="CAUSAL_LM",
    )  # fmt: skip


_started = [0.0]


def start_clock() -> None:
    """Everything is loaded: the clock starts."""
    _started[0] = time.perf_counter()


def one_side(side: str, folder: Path, dtype: str) -> None:
    """In a process of its own: train, and print seconds and losses."""
    if side != "ours":
        as_given()
    losses = {"ours": ours, "defaults": defaults, "loop": loop}[side](job(folder, dtype))
    print(json.dumps({"seconds": time.perf_counter() - _started[0], "losses": losses}))


def compare(rows: int, dtype: str, tokens: int, found: dict[str, list[Any]]) -> list[Row]:
    """The rows: speed and loss of ours beside the defaults', from each side's rounds over so many rows and tokens."""
    speed = {side: [tokens / run["seconds"] for run in runs] for side, runs in found.items()}
    loss = {side: mean(runs[0]["losses"][-5:]) for side, runs in found.items()}
    for side in SIDES:
        print(f"{side}: {median(speed[side]):.0f} tokens/s, loss of the last five steps {loss[side]:.4f}")
    equal = abs(loss["ours"] / loss["defaults"] - 1) <= 0.02
    loop = median(speed["loop"])
    ratio, share = median(speed["ours"]) / median(speed["defaults"]), median(speed["ours"]) / loop
    name, peer = f"fine-tuning on {rows} rows of SQuAD", "SFTTrainer, defaults"
    return [
        compared(
            name, f"tokens/s, {dtype}", speed["ours"], peer=speed["defaults"], peer_name=peer, floor=loop,
            goal=">= 2.5 x, >= 85 % of the loop", met=ratio >= 2.5 and share >= 0.85,
        ),
        compared(
            f"mean loss of the last five steps, {name}", "nats a token", loss["ours"], peer=loss["defaults"],
            peer_name=peer, more_is_better=False, goal="within 2 %", met=equal,
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    given = parser.parse_args()
    task = Squad()
    parsed = [task.parse(dict(record)) for _, _, record in read_source(task, str(given.folder / "squad"), "train")]
    chosen = random.Random(0).sample(parsed, given.rows)
    pairs = [{"prompt": task.prompt(row), "completion": task.target(row)} for row in chosen]
    base = models.resolve(MODEL)
    tokenizer = models.load_tokenizer(base)
    ends = models.end_ids(base, tokenizer)
    tokens = sum(len(render.training_row(tokenizer, ends, p["prompt"], p["completion"])["input_ids"]) for p in pairs)

    def measured(side: str) -> Any:
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "rows.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
            command = [sys.executable, "-m", "benchmarks.training", "--side", side, place, given.dtype]
            device = {"CUDA_VISIBLE_DEVICES": environment()["CUDA_VISIBLE_DEVICES"]}  # one, as in a run
            return json.loads(process(command, device).output.splitlines()[-1])

    kept = given.times >= PAIRS and given.rows >= FEWEST
    key = f"training_{given.rows}_{given.dtype}_{models.device()}" if kept else ""
    found = in_turn({side: partial(measured, side) for side in SIDES}, given.times, key)
    rows = compare(given.rows, given.dtype, tokens, found)
    part, packages = "" if given.dtype == "float32" else given.dtype, versions(("torch", "transformers", "trl", "peft"))
    save("training", rows, packages, models.device(), part=part, kept=kept)
    if key:
        forget(key)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        one_side(sys.argv[2], Path(sys.argv[3]), sys.argv[4])
    else:
        main()
