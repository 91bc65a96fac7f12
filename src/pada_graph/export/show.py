"""Says what an export holds, how others load it, and what to mind before it is published."""

from shlex import quote

from rich.console import Console

from pada_graph.export.folders import Exported


def print_exported(exported: Exported, console: Console | None = None) -> None:
    """Print each part with the command or call that takes it."""
    show = console or Console(soft_wrap=True, highlight=False)
    for line in _lines(exported):
        show.print(line, markup=False)


def _lines(exported: Exported) -> list[str]:
    adapter, merged = str(exported.folder / "adapter"), str(exported.folder / "merged")
    lines = [
        f"Iteration {exported.iteration}, in {exported.folder}:",
        f"  adapter/  peft.PeftModel.from_pretrained(base, {adapter!r})",
        f"            vllm serve {quote(exported.base)} --enable-lora --max-lora-rank {exported.rank} "
        f"--lora-modules {quote(f'tuned={adapter}')}",
    ]
    if parity := exported.parity:
        lines += [
            f"  merged/   AutoModelForCausalLM.from_pretrained({merged!r})",
            f"            python convert_hf_to_gguf.py {quote(merged)}      (llama.cpp)",
            f"            {parity['same_answers']} of {parity['prompts']} answers are the adapter's "
            f"(stored in {parity['dtype']})",
        ]
    if exported.samples:
        lines.append(f"  dataset/  {exported.samples} synthetic rows: train.jsonl, train.parquet")
    elif exported.most_samples[1]:
        other, count = exported.most_samples
        lines.append(
            f"No synthetic rows: iteration {exported.iteration} was trained without them; "
            f"--iteration {other} exports {count}."
        )
    if exported.obligations:
        lines += ["Before you publish it (the cards say the same):", *(f"- {text}" for text in exported.obligations)]
    return lines
