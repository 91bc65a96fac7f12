"""A result as small tables of words, which Markdown, LaTeX, HTML and the terminal show alike, within 100 columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from pada_graph.reproduce import paper
from pada_graph.reproduce.averages import UNTUNED, Means
from pada_graph.reproduce.tables import Comparison, Result, Row
from pada_graph.stats import detectable_words
from pada_graph.stats.seeds import FEWEST
from pada_graph.teacher.prices import dollars

SHORT = {"arc_challenge": "ARC", "gsm8k": "GSM8K", "hellaswag": "HellaSwag", "squad": "SQuAD", "humaneval": "HumanEval"}
THEIRS = {
    "vanilla": "Vanilla Fine-Tuning",
    "auggpt": "AugGPT",
    "llms_as_instructors": "LLMs-as-Instructors",
    "pada": "Ours",
    "pada-no_patterns": "w/o Generalization Patterns",
    "pada-no_train_errors": "w/o Train Errors",
    "pada-no_quality": "w/o Quality Control Agent",
}
NONE = "–"


@dataclass(frozen=True)
class Block:
    """One table: the first column is left-aligned, the others right."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())  # sentences below it


def blocks(result: Result) -> list[Block]:
    """All tables of a result, overview first."""
    made = [_overview(result, size) for size in result["sizes"]]
    for size, task in product(result["sizes"], result["tasks"]):
        rows = [row for row in result["rows"] if (row["size"], row["task"]) == (size, task)]
        if rows:
            made += _details(result, rows)
    return [block for block in made if block.rows]


def title(result: Result) -> str:
    """What the whole is."""
    what = "methods" if result["table"] == "table1" else "ablations of pada"
    return f"{result['table'].replace('table', 'Table ')}: {what}, student {result['student']}"


def status(result: Result) -> str:
    """How much of it is there."""
    total, missing = len(result["cells"]), len(result["missing"])
    if not missing:
        return f"All {total} cells are done."
    return f"Incomplete: {total - missing} of {total} cells are done, {missing} are missing. The same command goes on."


def caveats(result: Result) -> list[str]:
    """What a reader has to know before believing a number."""
    said = [
        "Accuracy on the test split of the iteration chosen on validation, in percent, mean over seeds, with 95 % "
        "interval. `untuned` is the model before any training.",
        _seeds_words(len(result["seeds"])),
        f"Holm: p-values adjusted for all {len(result['comparisons'])} comparisons of this table. A verdict needs an "
        "interval without 0 and an adjusted p below 0.05.",
    ]
    sizes = {row["task"]: row["n"] for row in result["rows"]}
    said += [f"{task}: {detectable_words(n)}" for task, n in sizes.items()]
    if "humaneval" in sizes:
        said.append(
            f"HumanEval has {sizes['humaneval']} test problems here: one problem is {100 / sizes['humaneval']:.1f} "
            "points, and six that change in one direction alone are the fewest that any test can tell from chance. It "
            "belongs to the limited setting, with the train rows that its 164 problems leave."
        )
    if "squad" in sizes:
        said.append(
            "SQuAD: answers on one article are not independent. The interval of a single seed, and that of `untuned`, "
            "takes them for independent and is too narrow; and larger gains than said above may go undetected."
        )
    if any(row["paper"] is not None for row in result["rows"]):
        said.append(
            "The paper's figures are of single runs without intervals or tests, with other prompts, teachers and test "
            "rows: compare directions, not points."
        )
    if result["averages"]:
        said.append(
            f"Averaged: the paper's measure, the mean over tasks ({', '.join(result['averaged_tasks'])}) of the "
            "relative change from vanilla. It blows up where vanilla is low: of the paper's own +32.0 at 1,000 rows "
            "HellaSwag, where vanilla is at chance, gives 28. Read the mean points beside it."
        )
    if result["table"] == "table2":
        said.append(
            "The paper does not say which train size its Table 2 has; its full model's figures are in no row of its "
            "Table 1."
        )
    return said


def _seeds_words(seeds: int) -> str:
    if seeds == 1:
        return (
            "One seed: intervals and tests hold the noise of the test items and none of training; another seed may "
            "change any verdict."
        )
    if seeds < FEWEST:
        return (
            f"{seeds} seeds: intervals and tests are of the mean over these seeds and hold the noise of the test "
            f"items; they say nothing of other seeds, for which it takes {FEWEST} or more."
        )
    return (
        f"{seeds} seeds: an interval has the wider ends of a t interval over seeds and a bootstrap over seeds and "
        "items, a p-value is the larger one of a t test over seeds and an exact test over items."
    )


def _overview(result: Result, size: int) -> Block:
    """Variants by tasks, a line of the paper's figures below each, as far as it has any."""
    rows = {(row["variant"], row["task"]): row for row in result["rows"] if row["size"] == size}
    averages = {average["variant"]: average for average in result["averages"] if average["size"] == size}
    tasks = [task for task in result["tasks"] if any(key[1] == task for key in rows)]
    lines: list[list[str]] = []
    for variant in [UNTUNED, *result["variants"]]:
        own = [rows.get((variant, task)) for task in tasks]
        if not any(own):
            continue
        average = averages.get(variant)
        cells = [NONE if row is None else f"{100 * row['accuracy']:.1f}" for row in own]
        lines.append([variant, *cells, *(_means(average["ours"]) if average else [])])
        theirs = [paper.figure(result["table"], size, variant, task) for task in tasks]
        if any(figure is not None for figure in theirs):
            cells = [NONE if figure is None else f"{figure:.1f}" for figure in theirs]
            lines.append([f"  paper: {THEIRS[variant]}", *cells, *(_means(average["paper"]) if average else [])])
    heads = [
        "accuracy, %",
        *(SHORT.get(task, task) for task in tasks),
        *["mean", "points", "Averaged"] * bool(averages),
    ]
    return Block(f"{size} train rows", heads, lines if tasks else [])


def _means(means: Means) -> list[str]:
    accuracy = NONE if means["accuracy"] is None else f"{means['accuracy']:.1f}"
    return [accuracy, _signed(means["points"]), _signed(means["averaged"], " %")]


def _details(result: Result, rows: Sequence[Row]) -> Iterator[Block]:
    """One task with one train size: accuracies, tests, costs."""
    first = rows[0]
    where = f"{SHORT.get(first['task'], first['task'])}, {first['train_rows']} train rows"
    yield Block(
        f"{where}: accuracy on {first['n']} test items",
        ["", "accuracy [95 %]", "paper", "seeds", "iterations"],
        [
            [
                row["variant"],
                f"{100 * row['accuracy']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]",
                NONE if row["paper"] is None else f"{row['paper']:.1f}",
                _listed(row["seeds"]),
                _listed(row["iterations"]),
            ]
            for row in rows
        ],
    )
    compared = [
        item for item in result["comparisons"] if (item["task"], item["size"]) == (first["task"], first["size"])
    ]
    yield Block(
        f"{where}: differences in points",
        ["", "difference [95 %]", "paper", "fixed/broken", "p", "Holm", "verdict"],
        [_difference(item) for item in compared],
    )
    costs = [(row["variant"], row["cost"]) for row in rows if row["cost"]]
    gains = result["table"] == "table1"
    yield Block(
        f"{where}: what a run costs",
        ["", "accepted", "calls", "tokens", "dollars", *["$ per point", "calls per point"] * gains],
        [
            [
                variant,
                f"{cost['accepted']:,.0f}/{cost['requested']:,.0f}",
                f"{cost['calls']:,.0f}",
                f"{cost['tokens']:,.0f}",
                dollars(cost["usd"]),
                *[
                    "-" if cost["calls_per_point"] is None else dollars(cost["usd_per_point"]),
                    "-" if cost["calls_per_point"] is None else f"{cost['calls_per_point']:,.1f}",
                ]
                * gains,
            ]
            for variant, cost in costs
        ],
        [f"Per point gained over {result['reference']}, detectable or not; - where there is no gain."] * gains,
    )


def _difference(item: Comparison) -> list[str]:
    change = f"{100 * item['difference']:+.1f} [{100 * item['low']:+.1f}, {100 * item['high']:+.1f}]"
    counts = [f"{item['fixed']}/{item['broken']}", _p(item["p_value"]), _p(item["holm"])]
    return [f"{item['variant']} - {item['against']}", change, _signed(item["paper"]), *counts, item["verdict"]]


def _listed(values: Sequence[int]) -> str:
    return " ".join(map(str, values)) or NONE


def _signed(value: float | None, unit: str = "") -> str:
    return NONE if value is None else f"{value:+.1f}{unit}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
