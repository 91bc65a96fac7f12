"""A comparison in words and tables, readable in 80 columns and in a log file.

Names of files and of measures are shown as they are: no markup is read from them, no control character written.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pada_graph.compare.caveats import BASELINE_RULE, NOT_TESTED, VERDICT_RULE, few_seeds, several_students
from pada_graph.compare.tables import Comparison, Difference, ModelRow, SeedGroup
from pada_graph.live import score_text
from pada_graph.stats import OverSeeds, detectable_words
from pada_graph.stats.accuracy import DEPENDENT


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print runs, models, differences and seeds, task by task."""
    _say(console, "Runs", bold=True)
    for info in comparison["runs"]:
        what = f"{info['task']}, {info['method']}, seed {info['seed']}, student {info['student']}"
        _say(console, f"{info['run']}  {info['directory']}: {what}, iteration {info['best_iteration']} chosen")
    if len(comparison["runs"]) > len(comparison["tasks"]):
        _say(console, BASELINE_RULE)
    for sentence in several_students(comparison):
        _say(console, sentence)
    for task in comparison["tasks"]:
        name = task["task"]
        console.print()
        _say(console, f"Task {name}: {task['n']} test items", bold=True)
        rows = [row for row in comparison["models"] if row["task"] == name]
        print_models(console, rows)
        _differences(console, [item for item in comparison["differences"] if item["task"] == name])
        for info in comparison["runs"]:
            if info["task"] == name and info["best_iteration"] == 0:
                _say(console, f"Run {info['run']} chose iteration 0 itself.")
        for group in comparison["seeds"]:
            if group["task"] == name:
                _seed_group(console, group)
        console.print()
        _say(console, detectable_words(task["n"], rows[0]["grouped"]))
    console.print()
    if any(item["holm"] != _p_value(item) for item in comparison["differences"]):
        _say(console, "Holm: the p-value adjusted for all comparisons of its kind, over all tasks and runs.")
    if sentence := few_seeds(comparison):
        _say(console, sentence)


def print_models(console: Console, rows: Sequence[ModelRow]) -> None:
    """Print one row a model: accuracy, chance level where there is one, what went wrong, further measures.

    Below it, where items come in groups, that the interval is too narrow; and how often each letter was the answer: a
    model that always says "B" is at chance with nothing unparsed.
    """
    by_chance = any(row["chance"] is not None for row in rows)
    measures = list(dict.fromkeys(name for row in rows for name in row["measures"]))
    heads = ["correct", "accuracy", *["chance", "corrected"] * by_chance, "unparsed", "truncated", *measures]
    table = _table("model", map(_plain, heads))
    several = len({row["run"] for row in rows}) > 1
    for row in rows:
        chance = [_percent(row["chance"]), _percent(row["above_chance"])] * by_chance
        cells = [f"{row['correct']}/{row['n']}", score_text({**row}), *chance, str(row["unparsed"])]
        further = [_percent(row["measures"].get(name)) for name in measures]
        table.add_row(*map(_plain, [_model(row, several), *cells, str(row["truncated"]), *further]))
    console.print(table)
    corrected = " Corrected for chance: 0 is guessing, 100 all right." * by_chance
    _say(console, f"Accuracy on test with 95 % Wilson interval; * chosen on validation.{corrected}")
    if any(row["grouped"] for row in rows):
        _say(console, DEPENDENT)
    for row in rows:
        if row["answers"]:
            letters = ", ".join(f"{letter} {count}" for letter, count in row["answers"].items())
            _say(console, f"{_model(row, several)} answers {letters}; commonest {_percent(row['majority_share'])}")


def _differences(console: Console, differences: Sequence[Difference]) -> None:
    for against, items in groupby(differences, key=lambda item: item["against"]):
        title = "the baseline's (run - baseline)" if against == "baseline" else "the same run's iteration 0"
        console.print()
        _say(console, f"Chosen iteration against {title}, in points", bold=True)
        holm = any(item["holm"] != _p_value(item) for item in differences)
        table = _table("run", ["fixed/\nbroken", "difference, 95 %", "SE", "p", *["Holm"] * holm])
        table.add_column("verdict", no_wrap=True)
        for item in items:
            run = f"{item['run']} - {item['baseline']}" if against == "baseline" else str(item["run"])
            change = _points(item["difference"], (item["low"], item["high"]))
            counts = [f"{item['fixed']}/{item['broken']}", change, f"{100 * item['error']:.1f}"]
            p_values = [_p(_p_value(item)), *[_p(item["holm"])] * holm]
            table.add_row(*map(_plain, [run, *counts, *p_values, item["verdict"]]))
        console.print(table)
    if differences:
        groups = differences[0]["groups"]
        _say(
            console,
            (
                f"Interval: bootstrap of {groups} whole groups of items; p: both models swapped in whole groups. "
                if groups
                else "Interval: paired bootstrap; p: exact McNemar test. "
            )
            + VERDICT_RULE,
        )


def _seed_group(console: Console, group: SeedGroup) -> None:
    runs = ", ".join(map(str, group["runs"]))
    console.print()
    _say(console, f"{len(group['seeds'])} seeds of {group['method']} (runs {runs})", bold=True)
    gain, difference = group["gain"], group["difference"]
    gains = dict(zip(group["runs"], gain["per_seed"], strict=True)) if gain else {}
    differences = dict(zip(group["paired_runs"], difference["per_seed"], strict=True)) if difference else {}
    table = _table("seed", ["run", "accuracy", *["gain"] * bool(gains), *["difference"] * bool(differences)])
    for seed, run, accuracy in zip(group["seeds"], group["runs"], group["accuracy"]["per_seed"], strict=True):
        changes = [f"{100 * found[run]:+.1f}" if run in found else "" for found in (gains, differences) if found]
        table.add_row(str(seed), str(run), _percent(accuracy), *changes)
    console.print(table)
    _say(console, f"accuracy of the chosen iteration: mean {_over(group['accuracy'], sign='')}")
    if gain:
        _say(console, f"gain over iteration 0: mean {_over(gain)}: {gain['verdict'] or NOT_TESTED}")
    if difference:
        ours, theirs = (", ".join(map(str, numbers)) for numbers in (group["paired_runs"], group["baseline_runs"]))
        said = f"mean {_over(difference)}: {difference['verdict'] or NOT_TESTED}"
        _say(console, f"difference of runs {ours} from runs {theirs}, seed by seed: {said}")


def _over(found: OverSeeds, sign: str = "+") -> str:
    mean = f"{100 * found['mean']:{sign}.1f}"
    if not found["t_interval"] or not found["interval"]:
        return mean
    intervals = [
        f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]" for low, high in (found["t_interval"], found["interval"])
    ]
    return f"{mean}, t interval over seeds {intervals[0]}, bootstrap over seeds and items {intervals[1]}"


def _table(first: str, heads: Iterable[str | Text]) -> Table:
    table = Table(first, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _model(row: ModelRow, several: bool) -> str:
    name = "untuned" if row["iteration"] is None else f"iteration {row['iteration']}"
    return f"{row['run']} " * several + name + " *" * row["chosen"]


def _p_value(item: Difference) -> float:
    return item["p_value"] if item["group_p_value"] is None else item["group_p_value"]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def _points(difference: float, interval: tuple[float, float]) -> str:
    return f"{100 * difference:+.1f} [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"


def _plain(text: str) -> Text:
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def _say(console: Console, text: str, *, bold: bool = False) -> None:
    line = _plain(text)
    line.stylize("bold" if bold else "")
    console.print(line, soft_wrap=True)
