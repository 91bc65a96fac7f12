"""The demo's teacher: a chat model that follows rules.

It is a stand-in for the large language models, not one of them: it knows the six kinds of problems of
`pada_graph.demo.problems` and nothing else. It keeps the demo exact, free and offline, while prompts, replies, journal,
clustering and quality control are those of a real run. Results obtained with it say nothing about any real teacher.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from pada_graph.demo import analyst, generator, judge

_CHARACTERS_PER_TOKEN = 4  # a rough count, so that the accounting of tokens has something to show


class RuleBasedTeacher(BaseChatModel):
    """Analyst, generator and judge by rule. The same prompt always has the same reply, in every process.

    As generator it errs on purpose in a share of the batches, unless the prompt holds feedback; as judge it recomputes
    every answer.
    """

    @property
    def _llm_type(self) -> str:
        return "rules"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt = "\n".join(str(message.text) for message in messages)
        text = answer(prompt)
        tokens_in, tokens_out = (len(part) // _CHARACTERS_PER_TOKEN + 1 for part in (prompt, text))
        message = AIMessage(
            content=text,
            usage_metadata={
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            },
            response_metadata={"finish_reason": "stop", "model_name": "builtin:rules"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def answer(prompt: str) -> str:
    """Answer one of the prompts with the JSON that it asks for.

    Raises:
        ValueError: the prompt is none of those in prompts/ that the demo needs, or lacks its data.
    """
    for opening, reply in _REPLIES.items():
        if prompt.startswith(opening):
            return json.dumps(reply(prompt), ensure_ascii=False, indent=1)
    raise ValueError("builtin:rules answers only the prompts of this package's demo; name a real model under models.*")


def _block(prompt: str, heading: str) -> Any:
    """The JSON data that follows a heading at the start of a line.

    Data cannot pose as a heading: JSON strings hold no line breaks.
    """
    found = re.search(rf"^{re.escape(heading)}\b[^\n]*\n", prompt, re.MULTILINE)
    if found is None:
        raise ValueError(f"builtin:rules finds no {heading} in the prompt")
    return json.JSONDecoder().raw_decode(prompt, found.end())[0]


def _has_feedback(prompt: str) -> bool:
    return re.search(r"^QUALITY_CONTROL_FEEDBACK_FROM_PREVIOUS_ATTEMPT:$", prompt, re.MULTILINE) is not None


def _generate_from_pattern(prompt: str) -> list[dict[str, str]]:
    strategy, examples = (
        _block(prompt, "IMPROVEMENT_STRATEGY"),
        _block(prompt, "ORIGINAL_EXAMPLES_TO_BASE_GENERATION_ON"),
    )
    pairs = [(entry["example_id"], entry) for entry in examples]
    return generator.write(pairs, strategy, seed=prompt, careful=_has_feedback(prompt))


def _generate_from_errors(prompt: str) -> list[dict[str, str]]:
    examples = _block(prompt, "TRAINING_ERROR_EXAMPLES")
    pairs = [(entry["example_id"], entry["QUESTION/TASK"]) for entry in examples]
    return generator.write(pairs, None, seed=prompt, careful=_has_feedback(prompt))


def _reword(prompt: str) -> list[dict[str, str]]:
    """AugGPT: the rules know one wording for each kind of problem, so other names have to do."""
    texts = generator.reword(str(_block(prompt, "TEXT_TO_REPHRASE")), _ids(prompt), seed=prompt)
    return [{"sample_id": id_, "question": text} for id_, text in texts.items()]


def _practise(prompt: str) -> list[dict[str, str]]:
    return _like(prompt, str(_block(prompt, "QUESTION_THE_STUDENT_GOT_WRONG")))


def _model_on(prompt: str) -> list[dict[str, str]]:
    return _like(prompt, str(_block(prompt, "EXAMPLE")["question"]))


def _like(prompt: str, question: str) -> list[dict[str, str]]:
    """Samples of the kind of one question (LLMs-as-Instructors, LLM2LLM)."""
    pairs = [(id_, {"question": question}) for id_ in _ids(prompt)]
    samples = generator.write(pairs, None, seed=prompt, careful=True)
    return [{"sample_id": sample.pop("based_on_example"), **sample} for sample in samples]


def _ids(prompt: str) -> list[str]:
    """The ids that a baseline's prompt gives to the samples."""
    listed = re.findall(r'^- "sample_id": (.*)$', prompt, re.MULTILINE)[-1]
    return re.findall(r'"(e[0-9]+)"', listed)


# How each prompt of prompts/ begins -> who answers it.
_REPLIES: dict[str, Callable[[str], Any]] = {
    "Analyze these incorrect responses": lambda p: analyst.analyse(_block(p, "SAMPLES")),
    "Please analyze these samples that have been grouped": lambda p: analyst.categorise(
        _block(p, "ANALYZED_SAMPLES_IN_THIS_GROUP")
    ),
    "Based on these error pattern categories": lambda p: analyst.draft_strategies(_block(p, "ERROR_CATEGORIES")),
    "Please generate synthetic data samples based on the following": _generate_from_pattern,
    "Please generate synthetic data samples based on these": _generate_from_errors,
    "Please rephrase the following text": _reword,
    "Please act as a teacher": _practise,
    "Please write new training examples": _model_on,
    "Please evaluate the quality": lambda p: judge.rate(
        _block(p, "ORIGINAL-SYNTHETIC_PAIRS"), _block(p, "IMPROVEMENT_STRATEGIES")
    ),
}
