"""lm-evaluation-harness's `hf` model on prompts of ours; run by the Python of its own environment.

lm_eval_predictions.py MODEL DTYPE DEVICE: reads one JSON object a line, {prompts, stop, limit, batch_size}, and
answers each with {seconds, texts}. The model is loaded before the first.
"""

import json
import sys
import time
from types import SimpleNamespace

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main() -> None:
    model, dtype, device = sys.argv[1:]
    lm = HFLM(pretrained=model, dtype=dtype, device=device, add_bos_token=False)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        job = SimpleNamespace(**json.loads(line))
        how = {"until": job.stop, "max_gen_toks": job.limit, "do_sample": False}
        asked = [Instance("generate_until", {}, (prompt, how), index) for index, prompt in enumerate(job.prompts)]
        lm.batch_size_per_gpu = job.batch_size
        started = time.perf_counter()
        texts = lm.generate_until(asked, disable_tqdm=True)
        print(json.dumps({"seconds": time.perf_counter() - started, "texts": texts}), flush=True)


if __name__ == "__main__":
    main()
