"""Predictions a second: ours, lm-evaluation-harness and a plain `generate` loop.

    python -m benchmarks.predictions FOLDER [--rows 200] [--times 5] [--tasks squad,arc_challenge,gsm8k] [--dtype D]

FOLDER holds the public data sets, a folder each. All three answer the same rendered prompts with the same model
(builtin:smollm2-135m, untuned), dtype, stops and limits, greedily, in turn. lm-eval runs at the best of its batch sizes
1 to 512, found once; the loop, in our process, calls `generate` on 16 prompts at a time, padded, in the rows' order.
Loading counts for none. The floor is the machine's: every token, of prompts (what all begin with once) and of our
answers, at the speed of the fastest forward pass measured here on those prompts without padding, by the model as ours
has laid it out. Fewer than five rounds or 40 rows are a trial: shown and not kept. Rounds of a run that was interrupted
count. bfloat16 has files of its own.
"""

import argparse
import json
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import GIVEN, PAIRS, Row, compared, forget, in_turn, peer_python, save, seconds, versions

from pada_graph.config import Student
from pada_graph.sources import read_source
from pada_graph.student import models, render
from pada_graph.student.decoding import shared_head
from pada_graph.student.inference import TransformersPredictor
from pada_graph.tasks import get_task

MODEL = "builtin:smollm2-135m"
LIMITS = {"squad": 20, "arc_challenge": 4, "gsm8k": 128}  # new tokens
SPLITS = {"squad": "validation", "arc_challenge": "validation", "gsm8k": "test"}
GOALS = {"squad": 1.5, "arc_challenge": 1.25, "gsm8k": 1.5}
FORWARD = {"cpu": (2, 4, 8, 16), "cuda": (16, 64, 128)}  # prompts in one pass; ours reads up to 2,048 tokens in one
LM_EVAL_BATCHES = (8, 16, 32, 64, 128, 256, 512)
FEWEST = 40  # rows of a result that is kept
LM_EVAL = ("torch==2.13.0", "lm-eval[hf]==0.4.13", "transformers==5.23.0")


class LmEval:
    """The peer's process, which waits for jobs."""

    def __init__(self, path: str, dtype: str):
        script = Path(__file__).parent / "peers" / "lm_eval_predictions.py"
        self._process = subprocess.Popen(
            [peer_python("lm_eval", *LM_EVAL), script, path, dtype, models.device()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=GIVEN,
        )
        self._reply()

    def answer(self, job: dict[str, Any], batch_size: int) -> dict[str, Any]:
        """Seconds and texts."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**job, "batch_size": batch_size}) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # and not something that a library says
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError("lm-eval ended before it answered")


def plain_loop(model: Any, tokenizer: Any, ends: list[int], job: dict[str, Any]) -> list[str]:
    """`generate` as a reader of its documentation would call it."""
    import torch
    from transformers import StopStringCriteria

    texts = []
    for start in range(0, len(job["prompts"]), 16):
        inputs = tokenizer(
            job["prompts"][start : start + 16], return_tensors="pt", padding=True, add_special_tokens=False
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=job["limit"], do_sample=False, eos_token_id=ends,
                pad_token_id=tokenizer.pad_token_id, stopping_criteria=[StopStringCriteria(tokenizer, job["stop"])],
            )  # fmt: skip
        texts += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def forward_speed(model: Any, prompts: list[list[int]]) -> float:
    """Tokens a second of the fastest forward pass over these prompts, scored at their ends."""
    import torch

    def forward(ids: Any) -> None:
        model(input_ids=ids, use_cache=False, logits_to_keep=1).logits.tolist()  # waits for a GPU

    order = sorted(prompts, key=len)
    found = []
    for size in FORWARD[model.device.type]:
        middle = order[max(0, len(order) // 2 - size // 2) :][:size]
        width = len(middle[0])  # the shortest: cut to one length, so that nothing is padding
        ids = torch.tensor([prompt[:width] for prompt in middle], device=model.device)
        for _ in range(5):
            with torch.inference_mode():
                took = seconds(partial(forward, ids))
            found.append(ids.numel() / took)
    return max(found)


@dataclass
class Sides:
    """All that answers, loaded."""

    tokenizer: Any
    ends: list[int]
    predictor: TransformersPredictor
    plain: Any  # the model as transformers loads it
    peer: LmEval

    @classmethod
    def load(cls, dtype: str) -> "Sides":
        """Load the model for each."""
        path = models.resolve(MODEL)
        tokenizer = models.load_tokenizer(path)
        predictor = TransformersPredictor(Student(model=MODEL, dtype=dtype))
        list(predictor.predict(None, ["Hello"], max_new_tokens=1, stop=()))
        plain = models.load_base(path, models.choose_dtype(dtype)).to(models.device()).eval()
        return cls(tokenizer, models.end_ids(path, tokenizer), predictor, plain, LmEval(path, dtype))


def best_batch(peer: LmEval, job: dict[str, Any], key: str) -> tuple[int, str]:
    """The batch size at which lm-eval is fastest, and all that were tried.

    From 8 on they double until two in a row took longer than the best; while the smallest is the best, it is halved.
    """
    took: dict[int, float] = {}

    def measure(size: int) -> int:
        run = in_turn({"lm-eval": partial(peer.answer, job, size)}, 1, key and f"{key}_batch_{size}")["lm-eval"][0]
        took[size] = run["seconds"]
        return min(took, key=lambda tried: took[tried])

    for size in LM_EVAL_BATCHES:
        best = measure(size)
        if size >= len(job["prompts"]) or list(took).index(best) < len(took) - 2:
            break
    while best == min(took) > 1:
        best = measure(best // 2)
    print(f"lm-eval's seconds at its batch sizes {took}", flush=True)
    return best, f"of {min(took)} to {max(took)}"


def some_prompts(name: str, folder: Path, count: int) -> list[str]:
    """So many of a task, drawn by a seed."""
    task = get_task(name)
    parsed = [task.parse(dict(record)) for _, _, record in read_source(task, str(folder / name), SPLITS[name])]
    return [task.prompt(row) for row in random.Random(0).sample(parsed, count)]


def measured(name: str, prompts: list[str], sides: Sides, given: argparse.Namespace, key: str) -> list[Row]:
    """The rows of one task; its rounds are kept by `key`, if there is one."""
    tokenizer, stop, limit, count = sides.tokenizer, get_task(name).stop, LIMITS[name], len(prompts)
    encoded = [render.prompt_ids(tokenizer, prompt) for prompt in prompts]
    head = len(shared_head(encoded))
    beginnings = Counter(tuple(ids[: head + 30]) for ids in encoded)
    alike = sum(seen for seen in beginnings.values() if seen > 1)
    mean = sum(map(len, encoded)) / count
    print(f"{name}: {mean:.0f} tokens a prompt, of which all begin with the same {head}", flush=True)
    print(f"{name}: {alike} of {count} prompts share 30 more with another", flush=True)
    stops = [*stop, *(tokenizer.decode([end]) for end in sides.ends)]
    job = {"prompts": [render.prompt_text(tokenizer, prompt) for prompt in prompts], "stop": stops, "limit": limit}

    sides.peer.answer({**job, "prompts": job["prompts"][:8]}, 8)  # warms up
    best, tried = best_batch(sides.peer, job, key)

    def ours() -> dict[str, Any]:
        texts, started = [""] * count, time.perf_counter()
        for found in sides.predictor.predict(None, prompts, max_new_tokens=limit, stop=stop):
            texts[found.index] = found.text
        return {"seconds": time.perf_counter() - started, "texts": texts}

    def lm_eval() -> dict[str, Any]:
        return sides.peer.answer(job, best)

    def loop() -> dict[str, Any]:
        return {"seconds": seconds(partial(plain_loop, sides.plain, tokenizer, sides.ends, job))}

    took = in_turn({"ours": ours, "lm-eval": lm_eval, "loop": loop}, given.times, key)
    for side, runs in took.items():
        print(f"{name}: seconds of {side} in each round {[round(run['seconds'], 1) for run in runs]}", flush=True)
    texts, theirs = took["ours"][-1]["texts"], [text.strip() for text in took["lm-eval"][-1]["texts"]]

    answered = sum(len(tokenizer(text)["input_ids"]) for text in texts)  # its end is written and not read
    tokens = sum(map(len, encoded)) - head * (count - 1) + answered
    floor = forward_speed(sides.predictor._base, encoded) * count / tokens
    speed = {side: [count / run["seconds"] for run in runs] for side, runs in took.items()}
    ratio, share = median(speed["ours"]) / median(speed["lm-eval"]), median(speed["ours"]) / floor
    met = ratio >= GOALS[name] and (name != "arc_challenge" or share >= 0.75)
    goal = f">= {GOALS[name]} x" + (", >= 75 % of floor" if name == "arc_challenge" else "")
    peer_name = f"lm-eval, batch {best}, the best {tried}"
    compare = partial(compared, f"{name}, {count} rows", f"rows/s, {given.dtype}", speed["ours"])
    same = sum(text == their for text, their in zip(texts, theirs, strict=True))
    exact: dict[str, Any] = {"goal": "all", "met": same == count} if given.dtype == "float32" else {}
    return [
        compare(peer=speed["lm-eval"], peer_name=peer_name, floor=floor, goal=goal, met=met),
        compare(peer=speed["loop"], peer_name="plain generate, batch 16"),
        compared(f"{name}, {count} rows: answers that are lm-eval's to the letter", "rows", same, **exact),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(LIMITS))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    given = parser.parse_args()
    prompts = {name: some_prompts(name, given.folder, given.rows) for name in given.tasks.split(",")}
    sides, packages = Sides.load(given.dtype), versions(("torch", "transformers")) | {"lm-eval": LM_EVAL[1]}
    kept = given.times >= PAIRS and given.rows >= FEWEST
    for name, asked in prompts.items():  # each takes long: what is measured is kept at once
        key = f"predictions_{name}_{given.rows}_{given.dtype}_{models.device()}" if kept else ""
        rows = measured(name, asked, sides, given, key)
        part = name if given.dtype == "float32" else f"{name}_{given.dtype}"
        save("predictions", rows, packages, models.device(), part=part, kept=kept)
        if key:
            forget(key)


if __name__ == "__main__":
    main()
