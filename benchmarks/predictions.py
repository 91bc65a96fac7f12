"""Predictions a second: ours, lm-evaluation-harness and a plain `generate` loop.

    python -m benchmarks.predictions FOLDER [--rows 200] [--times 5] [--tasks squad,arc_challenge,gsm8k] [--dtype D]

FOLDER holds the public data sets, a folder each. All three answer the same rendered prompts with the same model
(builtin:smollm2-135m, untuned), dtype, stops and limits, greedily, in turn. lm-eval runs at the best of its batch sizes
8 to 64, found once; the loop calls `generate` on 16 prompts at a time, padded, in the rows' order. Loading counts for
none. The floor is the machine's: every token, of prompts and of our answers, at the speed of the fastest forward pass
measured here on those prompts without padding, by the model as ours has laid it out.
"""

import argparse
import json
import random
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import compared, medians, peer_python, save, seconds, versions

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
FORWARD = {"cpu": (2, 4, 8), "cuda": (16, 64, 128)}  # prompts in one pass
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
        middle = order[len(order) // 2 - size // 2 :][:size]
        width = len(middle[0])  # the shortest: cut to one length, so that nothing is padding
        ids = torch.tensor([prompt[:width] for prompt in middle], device=model.device)
        for _ in range(5):
            with torch.inference_mode():
                took = seconds(partial(forward, ids))
            found.append(ids.numel() / took)
    return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(LIMITS))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    given = parser.parse_args()
    path = models.resolve(MODEL)
    tokenizer = models.load_tokenizer(path)
    ends = models.end_ids(path, tokenizer)
    predictor = TransformersPredictor(Student(model=MODEL, dtype=given.dtype))
    list(predictor.predict(None, ["Hello"], max_new_tokens=1, stop=()))  # loads
    plain = models.load_base(path, models.choose_dtype(given.dtype)).to(models.device()).eval()
    peer = LmEval(path, given.dtype)
    rows = []
    for name in given.tasks.split(","):
        task = get_task(name)
        parsed = [
            task.parse(dict(record)) for _, _, record in read_source(task, str(given.folder / name), SPLITS[name])
        ]
        prompts = [task.prompt(row) for row in random.Random(0).sample(parsed, given.rows)]
        encoded = [render.prompt_ids(tokenizer, prompt) for prompt in prompts]
        head = len(shared_head(encoded))
        beginnings = Counter(tuple(ids[: head + 30]) for ids in encoded)
        alike = sum(count for count in beginnings.values() if count > 1)
        tokens = sum(map(len, encoded)) / given.rows
        print(f"{name}: {tokens:.0f} tokens a prompt, of which all begin with the same {head}", flush=True)
        print(f"{name}: {alike} of {given.rows} prompts share 30 more with another", flush=True)
        ends_texts = [tokenizer.decode([end]) for end in ends]
        job = {"prompts": [render.prompt_text(tokenizer, prompt) for prompt in prompts],
               "stop": [*task.stop, *ends_texts], "limit": LIMITS[name]}  # fmt: skip
        sizes = {size: peer.answer(job, size)["seconds"] for size in (8, 16, 32, 64)}
        best = min(sizes, key=lambda size: sizes[size])
        ours = {}

        def answer(prompts: list[str] = prompts, name: str = name, stop: Any = task.stop, ours: Any = ours) -> None:
            for found in predictor.predict(None, prompts, max_new_tokens=LIMITS[name], stop=stop):
                ours[found.index] = found.text

        took = medians(
            {
                "ours": lambda answer=answer: seconds(answer),
                "lm-eval": lambda job=job, best=best: peer.answer(job, best)["seconds"],
                "loop": lambda job=job: seconds(partial(plain_loop, plain, tokenizer, ends, job)),
            },
            given.times,
        )
        theirs = peer.answer(job, best)["texts"]
        same = sum(ours[index] == text.strip() for index, text in enumerate(theirs))
        answered = [len(tokenizer(ours[index])["input_ids"]) + 1 for index in range(given.rows)]
        tokens = sum(map(len, encoded)) + sum(answered)
        floor = forward_speed(predictor._base, encoded) * given.rows / tokens
        speed = {side: given.rows / value for side, value in took.items()}
        ratio, share = speed["ours"] / speed["lm-eval"], speed["ours"] / floor
        met = ratio >= GOALS[name] and (name != "arc_challenge" or share >= 0.75)
        goal = f">= {GOALS[name]} x" + (", >= 75 % of floor" if name == "arc_challenge" else "")
        unit = f"rows/s, {given.dtype}"
        compare = partial(compared, name, unit, speed["ours"])
        rows.append(compare(peer=speed["lm-eval"], peer_name=f"lm-eval, batch {best}", floor=floor, goal=goal, met=met))
        rows.append(compare(peer=speed["loop"], peer_name="plain generate, batch 16"))
        said = f"{same} of {given.rows} answers are lm-eval's to the letter"
        print(f"{name}: {said}; seconds at its batch sizes {sizes}", flush=True)
    save("predictions", rows, versions(("torch", "transformers")) | {"lm-eval": LM_EVAL[1]}, models.device())


if __name__ == "__main__":
    main()
