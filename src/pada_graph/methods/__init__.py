"""The methods, one file each: what differs between PaDA-Agent, its baselines and its controls.

They run in the same graph, on the same rows, with the same number of synthetic samples a round, the same fine-tuning
and the same evaluation. A method decides which train rows a round starts from, what the generator is asked, and which
of the graph's agents take part. To add one: a file here that ends with `METHOD = ...`, and its name in config.py.
"""

from importlib import import_module

from pada_graph.config import ROLES, MethodName, Role, RunConfig
from pada_graph.methods.base import Method


def get_method(name: MethodName) -> Method:
    """The method of that name."""
    method: Method = import_module(f"pada_graph.methods.{name}").METHOD
    return method


def rounds(config: RunConfig) -> int:
    """Rounds of augmentation that a run may have."""
    return config.iterations if get_method(config.method).augments else 0


def round_roles(config: RunConfig) -> tuple[Role, ...]:
    """The teacher's roles that rounds of augmentation may ask."""
    return get_method(config.method).roles(config) if rounds(config) else ()


def used_roles(config: RunConfig) -> tuple[Role, ...]:
    """The teacher's roles that a run may ask; the models of the others need not exist."""
    asked = {*round_roles(config), *(("judge",) if config.data.match == "judge" else ())}
    return tuple(role for role in ROLES if role in asked)
