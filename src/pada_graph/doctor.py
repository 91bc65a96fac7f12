"""`pada-graph doctor`: whether this machine, and a configuration's models and data, can carry a run. One line a check.

The calls made here belong to no run: no journal, no run directory.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from pada_graph.config import Model, Role, RunConfig
from pada_graph.errors import InputError, PadaError
from pada_graph.hub import settle
from pada_graph.methods import round_roles, used_roles

if TYPE_CHECKING:
    from packaging.requirements import Requirement

LEAST_DISK = 5  # GB: a 1B student, its adapters and checkpoints
QUESTION = "Answer with the single word: ready"
NEEDED_ALWAYS = frozenset(("train",))  # extras without which nothing runs
PROVIDERS = {"bedrock": "bedrock", "bedrock_converse": "bedrock", "openai": "openai", "gguf": "local"}


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    ok: bool
    text: str  # what was found; where it is not ok, what is wrong and the fix


def examine(config: RunConfig | None) -> Iterator[Check]:
    """Check the machine, and the configuration if there is one; each teacher model gets one short call."""
    if config and (hub := settle(config)):  # first of all: what is imported later keeps to it
        yield Check("hub", True, hub)
    yield Check("python", True, f"{sys.version.split()[0]} at {sys.executable}")
    yield from _packages(needed_extras(config) if config else NEEDED_ALWAYS)
    yield _tried("device", lambda: _device(config.student.dtype if config else "auto"))
    yield _tried("disk", _disk)
    yield _tried("sandbox", lambda: _sandbox(config))
    if config is None:
        return
    yield _tried("data", lambda: _data(config))
    yield _tried("student", lambda: _student(config))
    if config.executor == "ray":
        yield _tried("ray", lambda: _ray(config))
    if not (roles := used_roles(config)):
        yield Check("teachers", True, "none is asked in this configuration")
        return
    if round_roles(config) and config.patterns.enabled:
        yield _tried("embedder", lambda: _embedder(config))
    yield _tried("prices", lambda: _prices(config))
    asked: dict[str, Role] = {}
    for role in roles:
        model: Model = getattr(config.models, role)
        first = asked.setdefault(model.model_dump_json(), role)
        if first == role:
            yield _tried(role, lambda role=role, model=model: _teacher(role, model))  # type: ignore[misc]
        else:
            yield Check(role, True, f"{model.model}: the same as {first}")


def needed_extras(config: RunConfig) -> frozenset[str]:
    """The package's extras that a configuration needs."""
    extras = set(NEEDED_ALWAYS) | ({"ray"} if config.executor == "ray" else set())
    if roles := used_roles(config):
        extras |= {"embed"} if round_roles(config) else set()  # the leakage guard embeds too
        models = (getattr(config.models, role).model for role in roles)
        extras |= {PROVIDERS[name] for name in (model.partition(":")[0] for model in models) if name in PROVIDERS}
    return frozenset(extras)


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except PadaError as error:
        return Check(name, False, str(error).removeprefix(f"{name}: "))
    except ImportError as error:
        return Check(name, False, f"{error}. Install it with: pip install 'pada-graph[train]'")


def _packages(needed: frozenset[str]) -> Iterator[Check]:
    """The requirements that this installation of pada-graph declares, by extra."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires("pada-graph") or []]
    except PackageNotFoundError:
        yield Check("packages", False, "pada-graph is not installed in this Python. Install it with: pip install -e .")
        return
    for extra in ("", "train", "embed", "bedrock", "openai", "local", "report", "ray"):
        own = [r for r in declared if (r.marker.evaluate({"extra": extra}) if r.marker else True)]
        own = [r for r in own if bool(extra) == bool(r.marker and "extra" in str(r.marker))]
        amiss = [fault for requirement in own if (fault := _fault(requirement))]
        name = f"packages, {extra}" if extra else "packages"
        fix = f"pip install 'pada-graph{f'[{extra}]' if extra else ''}'"
        if not amiss:
            yield Check(name, True, ", ".join(f"{r.name} {version(r.name)}" for r in own))
        elif extra in needed or not extra:
            yield Check(name, False, f"{', '.join(amiss)}. Install with: {fix}")
        else:
            yield Check(name, True, f"not installed, and not needed here ({fix})")


def _fault(requirement: "Requirement") -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    fits = requirement.specifier.contains(found, prereleases=True)
    return "" if fits else f"{requirement.name} {found} is not {requirement.specifier}"


def _device(dtype: str) -> str:
    import torch

    from pada_graph.student.models import choose_dtype, device

    where, kind = device(), choose_dtype(dtype)
    try:
        torch.ones(8, 8, dtype=kind, device=where).matmul(torch.ones(8, 8, dtype=kind, device=where)).sum().item()
    except RuntimeError as error:
        raise InputError(f"{where} does not compute in {kind}: {error}. Set student.dtype: float32.") from error
    name = torch.cuda.get_device_name() if where == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{where} ({name}), {str(kind).removeprefix('torch.')}"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < LEAST_DISK:
        raise InputError(f"{free:.1f} GB are free at {Path.cwd()}; a run may need {LEAST_DISK}. Free some space.")
    return f"{free:.0f} GB free at {Path.cwd()}"


def _sandbox(config: RunConfig | None) -> str:
    from pada_graph.sandbox import sandbox_mode

    needed = config is not None and config.task == "humaneval"
    try:
        return sandbox_mode(needed and config is not None and config.unsafe_code_execution)
    except InputError as error:
        if needed:
            raise
        return f"none, which HumanEval alone would need: {error}"


def _data(config: RunConfig) -> str:
    from pada_graph.data import load_splits, notes
    from pada_graph.tasks import get_task

    splits = load_splits(get_task(config.task, config.data.match, config.unsafe_code_execution), config.data)
    counts = ", ".join(f"{len(rows)} {split}" for split, rows in splits.items())
    return f"{config.data.source}: {'; '.join([counts, *notes(splits)])}"


def _student(config: RunConfig) -> str:
    from pada_graph.student import models, render

    path = models.resolve(config.student.model)
    tokenizer = models.load_tokenizer(path)
    render.training_row(tokenizer, models.end_ids(path, tokenizer), *render.MASKED_SAMPLE)
    return f"{config.student.model}: its chat template can be trained (rendering {render.render_hash(tokenizer)[:12]})"


def _ray(config: RunConfig) -> str:
    from pada_graph.executors.ray.cluster import connect
    from pada_graph.executors.ray.trainer import for_training

    cluster = connect(config.ray)
    trainers = for_training(cluster, config.ray, config.student.training.batch_size)
    each = "one GPU each" if cluster.gpu else f"CPUs alone, {cluster.cpus} each"
    return f"{cluster.address}: {cluster.workers} workers, {each}; {trainers.workers} of them train"


def _embedder(config: RunConfig) -> str:
    from pada_graph.clustering import SentenceEmbedder

    embedder = SentenceEmbedder(config.patterns.embedder)
    return f"{config.patterns.embedder}: {embedder.embed(['ready']).shape[1]} dimensions"


def _prices(config: RunConfig) -> str:
    from pada_graph.teacher.prices import prices, refuse_unknown

    found, roles = prices(config.models, config.limits), used_roles(config)
    refuse_unknown(found, config.models, config.limits, roles)
    unknown = [getattr(config.models, role).model for role in roles if found[role] is None]
    return f"unknown for {', '.join(dict.fromkeys(unknown))} (limits.prices)" if unknown else "known for every teacher"


def _teacher(role: Role, model: Model) -> str:
    from pada_graph.teacher.models import load_chat_model
    from pada_graph.teacher.provider_errors import is_transient, stopped
    from pada_graph.teacher.secrets import redact

    chat = load_chat_model(model, setting=f"models.{role}")
    if model.model == "builtin:rules":
        return "builtin:rules: follows rules, needs no call"
    started = time.monotonic()
    try:
        message = chat.invoke(QUESTION)
    except Exception as error:  # any provider's own classes, put into words that hold no secret
        if is_transient(error):
            said = redact(f"{type(error).__name__}: {error}", model.model_extra or {})[:600]
            raise InputError(
                f"models.{role}.model: {model.model} did not answer: {said}. Check that it is up and can be reached, "
                "then run doctor again."
            ) from None
        raise stopped(error, role=role, model=model.model, settings=model.model_extra or {}) from None
    seconds, usage = time.monotonic() - started, message.usage_metadata
    tokens = f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out" if usage else "it counts no tokens"
    client = getattr(getattr(chat, "client", None), "meta", None)
    region = f" in {client.region_name}" if client is not None else ""
    return f"{model.model}{region}: answered in {seconds:.1f} s, {tokens}"
