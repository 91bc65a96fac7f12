"""Hashes of what a run read and made: data, training rows, adapters, synthetic samples, configuration."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pada_graph.rundir import RunDir
from pada_graph.student.manifest import MANIFEST, WEIGHTS
from pada_graph.task_file import COPY


def hashes(run: RunDir, config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(file or what it is, rows or "", sha256) of everything that decides or is the result.

    The sha256 of data and training rows is taken anew from the files; that of an adapter is the one its manifest gives.

    Raises:
        InputError: a manifest is damaged.
    """
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    found = [("configuration, as sorted JSON", "", hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())]
    if config.get("task_sha256"):
        found.append((COPY, "", config["task_sha256"]))
    names = [f"data/{split}.jsonl" for split in ("train", "validation", "test")]
    for t in run.iterations():
        names += [f"iteration_{t}/{name}.jsonl" for name in ("train", "synthetic_accepted")]
    for artifact in map(run.artifact, names):
        if artifact:
            found.append((artifact["path"], f"{artifact['count']:,}", artifact["sha256"]))
    for t in run.iterations():
        name = f"iteration_{t}/adapter/{MANIFEST}"
        if run.path(name).exists():
            manifest = run.read_json(name)
            found.append((f"iteration_{t}/adapter/{WEIGHTS}", "", manifest["files"][WEIGHTS]["sha256"]))
            if rendering := manifest.get("render_sha256"):  # adapters of earlier versions have none
                found.append((f"rendering of iteration {t}'s rows", "", rendering))
    return found
