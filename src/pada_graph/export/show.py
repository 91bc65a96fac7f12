"""Says what an export holds and how others load it."""

from rich.console import Console

from pada_graph.export.folders import Exported


def print_exported(exported: Exported, console: Console | None = None) -> None:
    """Print each part with the command or call that takes it."""
    show = console or Console(soft_wrap=True, highlight=False)
    folder = exported.folder
    show.print(f"Iteration {exported.iteration}, in {folder}:", markup=False)
    show.print(f"  adapter/  peft.PeftModel.from_pretrained(base, '{folder / 'adapter'}')", markup=False)
    show.print(
        f"            vllm serve BASE --enable-lora --max-lora-rank {exported.rank} "
        f"--lora-modules tuned={folder / 'adapter'}",
        markup=False,
    )
    if exported.parity:
        parity = exported.parity
        show.print(f"  merged/   AutoModelForCausalLM.from_pretrained('{folder / 'merged'}')", markup=False)
        show.print(f"            python convert_hf_to_gguf.py {folder / 'merged'}      (llama.cpp)", markup=False)
        show.print(
            f"            {parity['same_answers']} of {parity['prompts']} answers are the adapter's "
            f"(stored in {parity['dtype']})",
            markup=False,
        )
    if exported.samples:
        show.print(f"  dataset/  {exported.samples} synthetic rows: train.jsonl, train.parquet", markup=False)
    if exported.must_be_called_llama:
        show.print('Llama took part: published, the model\'s name has to begin with "Llama" (see its card).')
