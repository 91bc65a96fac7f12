"""The one place where text becomes the student's tokens: for training, for evaluation and for previews.

TRL trains exactly the ids made here (it leaves a data set with input_ids and labels as it is), so what the model sees
before an answer is the same in training and in evaluation, and only the answer and its end carry loss. TRL's own
rendering of a conversational row would also train what a template writes after the end, such as ChatML's newline.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pada_graph.errors import InputError

DATE = "26 Jul 2024"  # whenever a prompt is rendered
# Llama 3's template writes today's date unless told one; Qwen 3's opens a reasoning block unless told not to.
TEMPLATE_ARGUMENTS: dict[str, Any] = {"date_string": DATE, "enable_thinking": False}
IGNORED = -100  # label of a token that carries no loss
MASKED_SAMPLE = ("What is 2 + 3?", "5")


def dated(template: str) -> str:
    """The template, with a macro that hides the clock from it if it asks (SmolLM3 and Granite do)."""
    clock = f"{{%- macro strftime_now(format) -%}}{DATE}{{%- endmacro %}}{{{{ '' }}}}"  # else a first newline would go
    return clock + template if "strftime_now" in template else template


def prompt_text(tokenizer: Any, prompt: str) -> str:
    """The user turn `prompt` as the model reads it, up to where the assistant begins."""
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, **TEMPLATE_ARGUMENTS
    )
    return text


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """Token ids of `prompt_text`. The template writes all special tokens, so none are added."""
    ids: list[int] = tokenizer(prompt_text(tokenizer, prompt), add_special_tokens=False)["input_ids"]
    return ids


def training_row(tokenizer: Any, ends: Sequence[int], prompt: str, completion: str) -> dict[str, list[int]]:
    """Render a prompt/completion pair as `input_ids` and `labels`, of one length.

    Args:
        tokenizer: of the student, with a chat template.
        ends: ids of the tokens that end an answer.
        prompt: the user turn.
        completion: the assistant turn.

    Raises:
        InputError: the chat template cannot be trained: it renders the prompt differently once an answer follows, or
            does not end the answer with a token that ends generation.
    """
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, **TEMPLATE_ARGUMENTS)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    start = prompt_ids(tokenizer, prompt)
    if ids[: len(start)] != start:
        raise InputError(
            "student.model: its chat template renders a prompt differently when an answer follows, so the student "
            f"would be trained on another prompt than it is asked. Prompt: {prompt[:80]!r}"
        )
    end = next((i for i in range(len(ids) - 1, len(start) - 1, -1) if ids[i] in ends), None)
    if end is None:
        raise InputError(
            "student.model: its chat template does not end an assistant turn with an end-of-sequence token, so the "
            "student would never learn to stop. Use an instruction-tuned model."
        )
    ids = ids[: end + 1]
    return {"input_ids": ids, "labels": [IGNORED] * len(start) + ids[len(start) :]}


def blank_row(row: dict[str, list[int]]) -> dict[str, list[int]]:
    """A row from which nothing is learned: one token, taken from `row`, without loss."""
    return {"input_ids": row["input_ids"][:1], "labels": [IGNORED]}


def render_hash(tokenizer: Any) -> str:
    """Sha256 of all that shapes a rendering: the template, its arguments, and a sample with its ids."""
    sample = prompt_text(tokenizer, MASKED_SAMPLE[0])
    parts = [str(tokenizer.chat_template), TEMPLATE_ARGUMENTS, sample, prompt_ids(tokenizer, MASKED_SAMPLE[0])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
