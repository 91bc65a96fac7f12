"""What the licences of base model and teachers ask of a model that was trained with them.

The Llama licences differ, by their sections (`AGREEMENTS` has where their texts are):

    version        to be shown (1.b.i)         the model's name begins with (1.b.i)   outputs for other LLMs
    2              nothing                     anything                               forbidden (1.b.v)
    3              "Built with Meta Llama 3"   "Llama 3"                              forbidden (1.b.v)
    3.1 and later  "Built with Llama"          "Llama", for outputs too               allowed

All of them ask that a derivative comes with a copy of the agreement (1.b.i) and a notice (1.b.iii).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pada_graph.export.names import hub_id, public_name
from pada_graph.export.source import Source


@dataclass(frozen=True)
class Agreement:
    """A Llama licence."""

    hub: str  # its id on the hub
    llama: str  # what it calls the model
    title: str  # what its notice calls it, as far as "Meta Platforms"
    place: str
    shown: str = "Built with Llama"
    begins: str = "Llama"
    outputs_for_others: bool = True


def _later(version: str) -> Agreement:
    place = f"https://github.com/meta-llama/llama-models/blob/main/models/llama{version.replace('.', '_')}/LICENSE"
    return Agreement(f"llama{version}", f"Llama {version}", f"Llama {version} Community License, Copyright ©", place)


AGREEMENTS = {
    "2": Agreement(
        "llama2",
        "Llama 2",
        "LLAMA 2 Community License, Copyright (c)",
        "https://github.com/meta-llama/llama/blob/main/LICENSE",
        shown="",
        begins="",
        outputs_for_others=False,
    ),
    "3": Agreement(
        "llama3",
        "Meta Llama 3",
        "Meta Llama 3 Community License, Copyright ©",
        "https://github.com/meta-llama/llama3/blob/main/LICENSE",
        shown="Built with Meta Llama 3",
        begins="Llama 3",
        outputs_for_others=False,
    ),
    **{version: _later(version) for version in ("3.1", "3.2", "3.3", "4")},
}
UNKNOWN = Agreement("", "Llama from 3.1 on (which one this is, its name does not say)", "", "")

# TinyLlama and OpenLLaMA were trained from scratch by others, under Apache-2.0.
_LLAMA = re.compile(r"(?<!tiny)(?<!tiny[-_])(?<!open)(?<!open[-_])llama", re.IGNORECASE)
# In "Llama-3-8B" the 8 is a number of parameters, in "llama3-3-70b" the second 3 is of the version.
_VERSION = re.compile(r"llama[-_ ]?([234])(?![\db])(?:[._-](\d)(?![\db]))?", re.IGNORECASE)
_APACHE = re.compile(r"builtin:|HuggingFaceTB/SmolLM2-")


def agreement(model: str) -> Agreement | None:
    """The Llama licence that a model is under, by its own name; `UNKNOWN` if that tells no version; None: no Llama."""
    name = re.sub(r"^[a-z_]+:", "", model).rstrip("/").rpartition("/")[2]  # without provider, owner and folders
    if not _LLAMA.search(name):
        return None
    return AGREEMENTS.get(_version(name), UNKNOWN)


def licence(model: str) -> dict[str, str]:
    """The card's fields on the licence of a model with that base; "other" where we do not know it."""
    if (llama := agreement(model)) and llama.hub:
        return {"license": llama.hub}
    if _APACHE.match(model):
        return {"license": "apache-2.0"}
    if base := hub_id(model):
        link = f"https://huggingface.co/{base}"
        return {"license": "other", "license_name": "same-as-base-model", "license_link": link}
    return {"license": "other"}


def notice(base: str) -> str | None:
    """The text of the "Notice" file that comes with a model of that base; None if no licence known to us wants one."""
    llama = agreement(base)
    if not llama or not llama.hub:
        return None
    return f"{llama.llama} is licensed under the {llama.title} Meta Platforms, Inc. All Rights Reserved.\n"


def model_obligations(source: Source) -> list[str]:
    """Sentences for the model's card, each naming the model it comes from."""
    base = source.config.student.model
    found = _of_llamas(source, {"base model": base, **source.teachers})
    if notice(base) and (llama := agreement(base)):
        found.append(
            f"The licence of {llama.llama} asks that a copy of the agreement (1.b.i) and a notice (1.b.iii) come with "
            f"this model. NOTICE is there; the copy has to be added: {llama.place}"
        )
    elif licence(base)["license"] == "other":
        found.append(f"The licence of the base model {public_name(base)} applies; add it before you publish.")
    return found + _of_the_generator(source)


def data_obligations(source: Source) -> list[str]:
    """Sentences for the card of the data, each naming the model it comes from."""
    return _of_llamas(source, source.teachers) + _of_the_generator(source)


def name_begins(source: Source) -> str:
    """How the model's name has to begin; empty if no licence says it."""
    found = map(agreement, [source.config.student.model, *source.teachers.values()])
    return max((llama.begins for llama in found if llama), key=len, default="")


def _version(name: str) -> str:
    match = _VERSION.search(name)
    return ".".join(part for part in match.groups() if part) if match else ""


def _of_llamas(source: Source, models: Mapping[str, str]) -> list[str]:
    """What each Llama licence asks, and what it forbids, naming all models that are under it."""
    base, parts = source.config.student.model, defaultdict(list)
    for role, model in models.items():
        if llama := agreement(model):
            parts[llama].append(f"the {role} is {public_name(model)}")
    found = []
    for llama, part in parts.items():
        who = "; ".join(part)
        if llama.shown:
            found.append(
                f"{llama.shown}: {who}. The licence of {llama.llama} asks that this is shown, and that the name of a "
                f'model made with it begins with "{llama.begins}" (1.b.i).'
            )
        if llama != agreement(base) and not llama.outputs_for_others:
            found.append(
                f"Warning: {who}. The licence of {llama.llama} forbids that its outputs improve another large "
                f"language model (1.b.v), and {public_name(base)} is one."
            )
    return found


def _of_the_generator(source: Source) -> list[str]:
    generator = source.teachers.get("generator", "builtin:")
    if generator.startswith("builtin:"):
        return []
    name = public_name(generator)
    return [f"The generator is {name}: its licence or its provider's terms say what outputs may be used for."]
