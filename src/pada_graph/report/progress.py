"""Where an unfinished run stands, from its events and half-written files."""

from datetime import UTC, datetime
from typing import Any

from pada_graph.report.rounds import RoundFiles
from pada_graph.rundir import RunDir


def progress(run: RunDir, rounds: list[RoundFiles]) -> list[str]:
    """What is half done, in sentences; empty for a finished run."""
    if run.path("metrics.json").exists():
        return []
    events = run.read_log("events.jsonl")
    said = [_last(events[-1])] if events else []
    for t in (None, *run.iterations()):
        for path in sorted(run.path(run.iteration(t)).glob("predictions_*.jsonl.partial")):
            split = path.name.split(".")[0].removeprefix("predictions_")
            of = run.artifact(f"data/{split}.jsonl")
            whole = f" of {of['count']}" if of else ""
            model = "the untuned model" if t is None else f"iteration {t}"
            answered = path.read_bytes().count(b"\n")
            said.append(f"{model}, {split}: {answered}{whole} items answered, not scored yet")
    said += [f"round {files['iteration']}: {len(files['outcomes'])} of {files['planned']} batches done"
             for files in rounds if not files["closed"]]  # fmt: skip
    return said


def _last(event: dict[str, Any]) -> str:
    """The last event with its time and its place in the run."""
    time = datetime.fromtimestamp(event["time"], UTC)
    place = f", iteration {event['iteration']}" if event.get("iteration") is not None else ""
    step = f", step {event['step']} of {event['steps']}" if {"step", "steps"} <= event.keys() else ""
    return f"last event: {str(event['event']).replace('_', ' ')}{place}{step}, {time:%Y-%m-%d %H:%M} UTC"
