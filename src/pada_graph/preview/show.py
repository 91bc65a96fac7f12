"""A preview in words: what went into each step, what came out, and what it cost."""

from collections.abc import Callable

from rich.console import Console

from pada_graph.config import RunConfig
from pada_graph.methods import rounds
from pada_graph.preview.rows import as_trained, print_trained
from pada_graph.preview.small_round import Exchange, Preview
from pada_graph.preview.words import clip, printable
from pada_graph.state import Prediction
from pada_graph.teacher.prices import dollars, total

LONGEST = 1500  # characters of a prompt or reply
STEPS = {
    "grade": "The judge grades answers that are not the reference's own words",
    "analyze_errors": "The analyst looks for the cause of each failure (A.2.1, Figure 2)",
    "categorize_pattern": "The analyst names what the failures of a cluster have in common (Figure 3)",
    "draft_strategy": "The analyst drafts a strategy against each pattern (Figure 4)",
    "generate": "The generator writes samples (A.3, Figures 5 and 6)",
    "verify_answers": "The judge answers the samples' questions unseen",
    "quality_control": "The judge rates the samples (A.4, Figure 7)",
}


def print_preview(console: Console, config: RunConfig, found: Preview, seconds: float, *, full: bool = False) -> None:
    """Print every step. Texts of data and models are hostile input.

    Unless `full`, the first call of a step stands for all of it, and prompts and replies are cut.
    """
    console.soft_wrap = True
    longest = 1_000_000 if full else LONGEST

    def say(text: str, style: str = "") -> None:
        console.print(printable(text), style=style, markup=False, highlight=False)

    def heading(text: str) -> None:
        say(f"\n== {text}", "bold")

    _answers(found.predictions, say, heading, longest)
    for step, words in STEPS.items():
        asked = [exchange for exchange in found.exchanges if f"/{step}/" in exchange.item]
        if asked:
            heading(words)
        for number, exchange in enumerate(asked if full else asked[:1], start=1):
            _exchange(exchange, say, f"{number} of {len(asked)}", longest)
        if len(asked) > 1 and not full:
            say(f"... and {len(asked) - 1} more, shown by --full")
    if rounds(config):
        heading(f"Samples: {len(found.accepted)} accepted, {len(found.rejected)} not")
    trained = as_trained(config)
    for sample in found.accepted:
        rating = "not judged" if sample["review"] is None else f"rated {sample['review']['score']:.1f} of 10"
        say(f"-- {sample['id']}, from {sample['seed_id']}: accepted, {rating}", "bold")
        print_trained(console, trained(sample["row"]))
    for entry in found.rejected:
        rating = "" if entry["score"] is None else f", rated {entry['score']:.1f} of 10"
        say(f"-- {entry['sample_id']}, from {entry['seed_id']}: {entry['fate']}{rating}: {entry['reason']}", "bold")
        if entry["row"] is not None:
            print_trained(console, trained(entry["row"]))
        if entry["feedback"]:
            say(f"feedback: {entry['feedback']}")
    heading("Cost")
    for role, use in found.usage.items():
        cost = dollars(use["usd"])
        say(f"{role}: {use['calls']} calls, {use['input_tokens']:,} tokens in, {use['output_tokens']:,} out, {cost}")
    bill = total([use["usd"] for use in found.usage.values()])
    say(f"In all: {dollars(bill)}, {seconds:.0f} s. `pada-graph plan` says what the whole run needs.")


def _answers(
    predictions: list[Prediction], say: Callable[..., None], heading: Callable[[str], None], longest: int
) -> None:
    wrong = [prediction for prediction in predictions if not prediction["correct"]]
    heading(f"The untuned student answers {len(predictions)} validation rows: {len(wrong)} failures")
    if not wrong:
        say("There is nothing to learn from: a run on such rows ends after its evaluation.")
    for prediction in wrong[:2]:
        say(f"-- {prediction['id']}", "bold")
        say(clip(prediction["prompt"], longest))
        say(f"expected: {prediction['target']}")
        say(f"answered: {clip(prediction['output'], longest)}")
        say(f"verdict: {prediction['reason']}{' (cut off)' * prediction['truncated']}")
    if len(wrong) > 2:
        say(f"... and {len(wrong) - 2} more")


def _exchange(exchange: Exchange, say: Callable[..., None], place: str, longest: int) -> None:
    reply = exchange.reply
    attempt = f", attempt {exchange.attempt + 1}" if exchange.attempt else ""
    say(f"-- {exchange.role}, {place}{attempt}: {reply.input_tokens} tokens in, {reply.output_tokens} out", "bold")
    say(clip(exchange.prompt, longest))
    say(f"-> {clip(reply.text, longest)}" + ("" if reply.stop_reason == "stop" else f"  ({reply.stop_reason})"))
