"""Multiple choice: listing the options and reading the letter of an answer. Shared by ARC, HellaSwag and jsonl.

Accuracy is that of the generated letter, not of option likelihoods: the two differ by 20-30 points
(lm-evaluation-harness issue 2914, pull request 2829) and the student is trained on text. Llama 3's published evaluation
reads the letter too. Reading is strict on purpose: there is no "last capital letter" rule, which takes "A good reason
is ..." for A. An output that states no letter is unparsed, hence wrong; nothing is guessed.
"""

import re
from collections.abc import Mapping
from typing import Any

from pada_graph.state import Row
from pada_graph.tasks.base import Verdict

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_FLAGS = re.IGNORECASE | re.ASCII  # without ASCII, IGNORECASE lets [A-Z] match a long s and the Kelvin sign
_OPEN, _CLOSE = r"[(\[\"']*", r"[)\]\"']*"
_ALONE = r"(?![a-z0-9'’+]|[-.][a-z0-9])"  # not the start of a word, of "B-cell", of "U.S."
_WHOLE = re.compile(rf"{_OPEN}([a-z]){_CLOSE}[.:]?{_CLOSE}", _FLAGS)
_STATEMENT = re.compile(
    r"(?P<negated>\b(?:wrong|incorrect|not the(?: right| correct)?) )?(?P<final>\bfinal )?\banswer ?(?:is ?:?|:)\s?"
    rf"(?:the )?(?:(?:option|choice|letter) )?(?P<open>{_OPEN})(?P<letter>[a-z]){_ALONE}",
    _FLAGS,
)
_LEADING = re.compile(rf"^{_OPEN}([a-z])(?:[.):,\]]+(?=\s|$)|$)", _FLAGS | re.MULTILINE)
# A small letter counts only before punctuation: in "B, a wet palm" it is the article.
_SECOND = re.compile(
    rf"[.):,\]\"']* ?(?:\b(?:or|and)\b|/|,|&) ?{_OPEN}((?-i:[A-Z]){_ALONE}|[a-z](?=[.):,\]]|$))", _FLAGS | re.MULTILINE
)
_RUN_ON = re.compile(r"(?<=\S)\s*\bQuestion:")


def before_run_on(output: str) -> str:
    """The part of an output that answers: what precedes a further "Question:" that the model asks itself."""
    return _RUN_ON.split(output.strip(), maxsplit=1)[0]


def read_letter(output: str, labels: str) -> str | None:
    """Read the letter that an output gives as its answer.

    In this order, in the text up to a blank line or a run-on "Question:", without markdown: the whole text is one label
    in brackets or quotes; the first statement "answer is X" or "answer: X" (a "final answer" outranks others; "X or Y"
    is no answer, "not X" no statement); a label that leads the text, followed by . ) : , or the end of its line.

    Args:
        output: What the model wrote.
        labels: The item's own letters, e.g. "ABCD". No other letter is ever returned.

    Returns:
        The letter in upper case, or None if the output states none.
    """
    paragraph = re.split(r"\n[^\S\n]*\n", before_run_on(output), maxsplit=1)[0]
    plain = re.sub(r"[*_`#>~]", "", paragraph)
    text = "\n".join(" ".join(line.split()) for line in plain.splitlines()).strip()
    if whole := _WHOLE.fullmatch(text):
        return _known(whole[1], labels)
    statements = [found for found in _STATEMENT.finditer(text) if not found["negated"] and not _is_article(found)]
    if statements:
        stated = next((found for found in statements if found["final"]), statements[0])
        return None if _names_another(stated, "letter", labels) else _known(stated["letter"], labels)
    leading = list(_LEADING.finditer(text))
    if not leading or leading[0].start() > 0 or _names_another(leading[0], 1, labels):
        return None
    one = {found[1].upper() for found in leading}  # more than one: the options are being repeated, none is chosen
    return _known(leading[0][1], labels) if len(one) == 1 else None


def _known(letter: str, labels: str) -> str | None:
    return letter.upper() if letter.upper() in labels else None


def _is_article(statement: re.Match[str]) -> bool:
    """Whether the letter is the article in "answer is a good one"; "answer is A because ..." is a statement."""
    rest = statement.string[statement.end() :]
    if statement["letter"] not in "aA" or statement["open"] or not rest.startswith(" "):
        return False
    return not re.match(r" (because|since|as|for|or|and)\b| [^a-zA-Z]", rest)


def _names_another(first: re.Match[str], group: int | str, labels: str) -> bool:
    """Whether a second letter of the item follows, as in "B or C", "B/C", "B, C"."""
    second = _SECOND.match(first.string, first.end(group))
    return second is not None and second[1].upper() != first[group].upper() and second[1].upper() in labels


def judge_letter(output: str, labels: str, answer: str) -> Verdict:
    """The verdict on an output whose answer is a letter."""
    letter = read_letter(output, labels)
    if letter is None:
        return Verdict(False, None, f"format error: no single answer letter out of {', '.join(labels)} can be read")
    return Verdict(
        letter == answer, letter, "" if letter == answer else f"chose {letter}, but the correct choice is {answer}"
    )


def listed(choices: list[str]) -> str:
    """The choices as lines "A. text"."""
    return "\n".join(f"{LETTERS[index]}. {choice}" for index, choice in enumerate(choices))


def texts_field(raw: Mapping[str, Any], field: str) -> list[str]:
    """Return a list of at least two distinct non-empty strings; "A. ", "B) " before all of them is taken off.

    Case counts: "Rr" and "RR" are different genotypes.

    Raises:
        ValueError: it is something else.
    """
    value = raw.get(field)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f'field "{field}" must be a list of strings')
    texts = [text.strip() for text in value]
    prefixes = [re.compile(rf"\(?{letter}[.):]\s+(?=\S)") for letter in LETTERS[: len(texts)]]
    if all(prefix.match(text) for prefix, text in zip(prefixes, texts, strict=False)):
        texts = [prefix.sub("", text, count=1) for prefix, text in zip(prefixes, texts, strict=False)]
    if not 2 <= len(texts) <= len(LETTERS):
        raise ValueError(f'field "{field}" must hold 2 to {len(LETTERS)} texts, but holds {len(texts)}')
    for index, text in enumerate(texts):
        if not text:
            raise ValueError(f'field "{field}": text {index + 1} is empty')
        if text in texts[:index]:
            raise ValueError(f'field "{field}": {text!r} is there twice, so the answer is not unique')
    return texts


def letter_field(raw: Mapping[str, Any], field: str, count: int) -> str:
    """Return the letter of one of `count` choices; "b", "(B)" and "B." are B.

    Raises:
        ValueError: it is something else, or a letter beyond the choices.
    """
    value = raw.get(field)
    labels = LETTERS[:count]
    found = _WHOLE.fullmatch(value.strip()) if isinstance(value, str) else None
    letter = _known(found[1], labels) if found else None
    if letter is None:
        raise ValueError(f'field "{field}" must be one of the letters {", ".join(labels)}, but is {value!r}')
    return letter


def choice_question(row: Row, question: str, choices: str) -> str:
    """Question and choices together: some questions ("Which is a mineral?") are asked again with other choices."""
    return "\n".join([row[question], *row[choices]])
