"""RunConfig as Studio's form: each prompt is a field of its own, tied to the nodes that ask with it.

Studio reads `langgraph_nodes` and `langgraph_type` from a context schema's own fields, not from those of a section.
"""

from typing import Any, get_args

from pydantic import Field, model_validator

from pada_graph.config import PromptName, RunConfig
from pada_graph.prompts import is_shipped, shipped

_ANALYSIS = "pattern_analysis"
_BATCHES = ("synthesize_batches", "synthesize_batch")


def _prompt(name: PromptName, description: str, *nodes: str) -> Any:
    """The field of one prompt. `nodes` go from the outermost to the one that asks; Studio's drawing can be folded."""
    extra: dict[str, Any] = {"langgraph_nodes": list(nodes), "langgraph_type": "prompt"}
    return Field(shipped(name), description=description, exclude=True, json_schema_extra=extra)


class StudioConfig(RunConfig):
    """RunConfig whose `prompts` come from one field each. A text that was not changed leaves no trace."""

    error_analysis_prompt: str = _prompt("error_analysis", "Figure 2.", _ANALYSIS, "analyze_errors")
    pattern_categorization_prompt: str = _prompt("pattern_categorization", "Figure 3.", _ANALYSIS, "categorize_pattern")
    strategy_drafting_prompt: str = _prompt("strategy_drafting", "Figure 4.", _ANALYSIS, "draft_strategy")
    generate_from_pattern_prompt: str = _prompt("generate_from_pattern", "Figure 5.", *_BATCHES, "generate_batch")
    generate_from_errors_prompt: str = _prompt("generate_from_errors", "Figure 6.", *_BATCHES, "generate_batch")
    quality_control_prompt: str = _prompt("quality_control", "Figure 7.", *_BATCHES, "quality_control")
    answer_verification_prompt: str = _prompt(
        "answer_verification", "With quality.verify_answers.", *_BATCHES, "quality_control"
    )
    answer_grading_prompt: str = _prompt("answer_grading", "With data.match judge; finalize asks it too.", "evaluate")
    auggpt_prompt: str = _prompt("auggpt", "Method auggpt.", *_BATCHES, "generate_batch")
    llms_as_instructors_prompt: str = _prompt(
        "llms_as_instructors", "Both methods of that name.", *_BATCHES, "generate_batch"
    )
    llm2llm_prompt: str = _prompt("llm2llm", "Method llm2llm.", *_BATCHES, "generate_batch")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, raw: dict[str, Any]) -> dict[str, Any]:
        fields = {f"{name}_prompt": name for name in get_args(PromptName)}
        rest = {key: value for key, value in raw.items() if key not in fields}
        given = rest.get("prompts") or {}
        texts = {fields[key]: text for key, text in raw.items() if key in fields}
        own = {name: text for name, text in texts.items() if not is_shipped(name, str(text))}
        for name in own.keys() & given.keys():
            if not is_shipped(name, given[name]) and given[name] != own[name]:
                raise ValueError(f"prompts.{name} and {name}_prompt are two different texts. Leave one of them out.")
        return {**rest, "prompts": {**given, **own}} if own else rest
