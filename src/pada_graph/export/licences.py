"""What the licences of base model and teachers ask of a model that was trained with them.

Llama licences from 3.1 on (section 1.b.i): a model that Llama's materials or outputs were used to create or improve
shows "Built with Llama", and its name begins with "Llama". That holds for a teacher's outputs too.
"""

import re

from pada_graph.config import RunConfig
from pada_graph.methods import rounds, used_roles

_LLAMA = re.compile(r"(?<![a-z])llama[-_ ]?(\d)(?:[.-](\d))?", re.IGNORECASE)
_KNOWN = {"builtin:smollm2-135m": "apache-2.0", "builtin:tiny": "apache-2.0"}


def licence(config: RunConfig) -> str:
    """The hub's name of the model's licence: its base's; "other" where we do not know it."""
    name = config.student.model
    if version := _llama(name):
        return {"3": "llama3"}.get(version, f"llama{version}")
    return _KNOWN.get(name, "other")


def obligations(config: RunConfig) -> list[str]:
    """Sentences for the card, each naming the model it comes from."""
    found = []
    models = {"the base model": config.student.model}
    models |= {f"the {role}": model for role, model in _teachers(config).items()}
    llamas = [f"{what} is {name}" for what, name in models.items() if _llama(name)]
    if llamas:
        found.append(
            f"Built with Llama: {'; '.join(llamas)}. The Llama licence asks that this is shown, that its text comes "
            'with the model, and that the model\'s name begins with "Llama".'
        )
    if licence(config) == "other":
        found.append(f"The licence of the base model {config.student.model} applies; add it before you publish.")
    generator = config.models.generator.model
    if "generator" in _teachers(config) and not generator.startswith("builtin:"):
        found.append(
            f"The generator was {generator}: its licence or its provider's terms say what outputs may be used for."
        )
    return found


def must_be_called_llama(config: RunConfig) -> bool:
    """Whether the model's name has to begin with "Llama"."""
    return any(map(_llama, [config.student.model, *_teachers(config).values()]))


def _teachers(config: RunConfig) -> dict[str, str]:
    """Models that had a part in what the student was trained on; a judge that graded answers alone had none."""
    return {role: getattr(config.models, role).model for role in used_roles(config) if rounds(config)}


def _llama(model: str) -> str | None:
    match = _LLAMA.search(model)
    return None if match is None else ".".join(part for part in match.groups() if part)
