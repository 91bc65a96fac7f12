"""The synthetic data with where each row comes from, as JSONL and Parquet."""

import json
from pathlib import Path
from typing import Any

from pada_graph.export.names import public_name
from pada_graph.export.source import Source


def dataset_rows(source: Source) -> list[dict[str, Any]]:
    """One row a sample: prompt and completion as they were trained, the task's own fields, and the lineage."""
    patterns = _names(source, "patterns", "pattern_id", "category_name")
    strategies = _names(source, "strategies", "strategy_id", "strategy_name")
    judge = public_name(source.config.models.judge.model)
    return [
        {
            "id": sample["id"],
            "prompt": source.task.prompt(sample["row"]),
            "completion": source.task.target(sample["row"]),
            "fields": json.dumps({k: v for k, v in sample["row"].items() if k != "id"}, ensure_ascii=False),
            "iteration": sample["iteration"],
            "branch": sample["branch"],
            "pattern": patterns.get(sample["pattern_id"] or ""),
            "strategy": strategies.get(sample["strategy_id"] or ""),
            "seed_id": sample["seed_id"],
            "generator": public_name(sample["generator"]) if sample["generator"] else None,
            "prompt_sha256": sample["prompt_sha256"] or None,
            "attempts": sample["attempts"],
            "judge": judge if sample["review"] else None,
            "score": sample["review"]["score"] if sample["review"] else None,
        }
        for sample in source.samples
    ]


def write_dataset(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write train.jsonl and train.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    with (folder / "train.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    text, whole = pa.string(), pa.int64()
    types = {"iteration": whole, "attempts": whole, "score": pa.float64()}
    schema = pa.schema([(name, types.get(name, text)) for name in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "train.parquet")


def _names(source: Source, file: str, key: str, name: str) -> dict[str, str]:
    """What the run calls its patterns or strategies, by id."""
    found: dict[str, str] = {}
    for t in range(1, source.iteration + 1):
        place = f"iteration_{t}/{file}.jsonl"
        if source.run.path(place).exists():
            found |= {entry[key]: entry[name] for entry in source.run.read_jsonl(place)}
    return found
