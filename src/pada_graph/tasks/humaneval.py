"""HumanEval: write a Python function from its signature and docstring (Chen et al., 2021; arXiv 2107.03374).

As in openai/human-eval, a completion runs after the prompt, and `check(entry_point)` decides; but the tests run in a
process of their own (sandbox), where the helpers that they use are the prompt's, not the completion's. Of a chat reply
only the fenced block that defines the function is run (else its first block, else all of it). The target is the whole
function in a fence: a bare body would lose its first indent to chat templates, which trim messages. The hub has one
split of 164 rows: all of ours are cut from it. Not covered: pass@k for k > 1, the longer tests of EvalPlus.
"""

import ast
import re
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar

from pada_graph.sandbox import run_tests, sandbox_mode
from pada_graph.state import Row, Split
from pada_graph.tasks.base import Task, Verdict, text_field

_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
_DEFINED = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
_METADATA = re.compile(r"\A\s*METADATA = \{[^}]*\}")
_INDENT = " " * 4


class HumanEval(Task):
    """Rows: {"prompt", "entry_point", "test", "canonical_solution": the body that follows the prompt}."""

    name = "humaneval"
    hub = ("openai/openai_humaneval", "openai_humaneval")
    pools: ClassVar[dict[Split, str]] = {"train": "test", "validation": "test", "test": "test"}
    max_new_tokens = 768
    proves_answers = True
    generated_fields: ClassVar[dict[str, str]] = {
        "prompt": "Python source: the imports it needs, the signature, a docstring that says what is returned",
        "solution": "Python source: the function's body, indented by four spaces, that follows the prompt",
        "check": 'Python source: a function "def check(candidate):" with at least three asserts on calls of candidate, '
        "whose arguments and results are plain data",
    }
    reworded = "prompt"

    def __init__(self, unsafe: bool = False):
        self.unsafe = unsafe  # run the code all the same where no sandbox works

    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row from the hub's layout; "task_id" becomes the row's id.

        Raises:
            ValueError: names the field that is missing.
        """
        return {field: text_field(raw, field) for field in ("prompt", "entry_point", "test", "canonical_solution")}

    def example(self, row: Row) -> dict[str, Any]:
        """Prompt, body and tests."""
        check = _METADATA.sub("", row["test"]).strip()
        return {"prompt": row["prompt"], "solution": row["canonical_solution"], "check": check}

    def variant(self, fields: Mapping[str, Any], seed: Row) -> Row:
        """Make a row from a generated function, after its solution has passed its tests in the sandbox.

        A solution given as the whole function, or without its indent, is brought to the form of a body.

        Raises:
            ValueError: a field is missing, something does not compile, or the solution fails the tests.
            InputError: there is no sandbox on this machine.
        """
        prompt = text_field(fields, "prompt").strip("\n") + "\n"
        check = text_field(fields, "check").strip("\n") + "\n"
        if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in _parsed(check, "check").body):
            raise ValueError('field "check" must define a function "def check(candidate):"')
        functions = [node for node in _parsed(prompt, "prompt").body if isinstance(node, ast.FunctionDef)]
        if not functions or ast.get_docstring(functions[-1]) is None or len(functions[-1].body) > 1:
            raise ValueError(
                'field "prompt" must end with the signature and docstring of the function, without its body'
            )
        entry_point = functions[-1].name
        body = _body(prompt, text_field(fields, "solution"), entry_point)
        row = {"prompt": prompt, "entry_point": entry_point, "test": check, "canonical_solution": body}
        if self._run(prompt, row).correct:
            raise ValueError('field "check" tests nothing: it passes without the solution')
        verdict = self._run(prompt + body, row)
        if not verdict.correct:
            raise ValueError(f'field "solution" does not pass its own "check": {verdict.reason}')
        return row

    def reword(self, seed: Row, text: str) -> Row:
        """The seed's row with a reworded docstring; code, solution and tests stay.

        Raises:
            ValueError: the head does not compile, or more than descriptions changed in it.
        """
        head = text.strip("\n") + "\n"
        if _without_docstrings(head) != _without_docstrings(seed["prompt"]):
            raise ValueError('field "prompt" must keep the code as it is: only docstrings may be reworded')
        return super().reword(seed, "") | {"prompt": head}

    def prompt(self, row: Row) -> str:
        """The function's head, and the form of the answer."""
        head = row["prompt"].strip("\n")
        task = "Complete this Python function. Answer with the whole function in one ```python block."
        return f"{task}\n\n```python\n{head}\n```"

    def target(self, row: Row) -> str:
        """The whole function in a fence."""
        return f"```python\n{row['prompt'].strip(chr(10))}\n{row['canonical_solution'].strip(chr(10))}\n```"

    def check(self) -> None:
        """Probe the sandbox, once per process: without it no verdict is possible.

        Raises:
            InputError: none works here, and `unsafe` is false; says what to install or allow.
        """
        sandbox_mode(self.unsafe)

    def environment(self) -> dict[str, str]:
        """Which sandbox the verdicts come from."""
        return {"sandbox": sandbox_mode(self.unsafe)}

    def score(self, output: str, row: Row) -> Verdict:
        """Run the tests on the output's code, placed after the prompt; from any number of threads at once.

        Raises:
            InputError: there is no sandbox on this machine.
            StoppedError: the sandbox worked before, and cannot be started now.
        """
        code = _code(output, row["entry_point"])
        if not code.strip():
            return Verdict(False, None, "format error: the output holds no code")
        return self._run(f"{row['prompt'].rstrip(chr(10))}\n{code}", row, code)

    def question(self, row: Row) -> str:
        """The function's head."""
        return str(row["prompt"])

    def _run(self, program: str, row: Row, parsed: str = "") -> Verdict:
        outcome = run_tests(program, row["entry_point"], row["prompt"], row["test"], self.unsafe)
        reason = "" if outcome.passed else f"the tests fail: {outcome.error.strip(': ')}"
        return Verdict(outcome.passed, parsed, reason)


def _code(output: str, entry_point: str) -> str:
    blocks = [found[1] for found in _FENCED.finditer(output)]
    defining = next((block for block in blocks if entry_point in _DEFINED.findall(block)), None)
    if defining is not None:
        return textwrap.dedent(defining)  # a fence inside a list item is indented
    unfenced = _FENCE.split(output, maxsplit=1)[0]
    if entry_point in _DEFINED.findall(unfenced):  # only a closing fence, or a fenced example after the function
        return unfenced
    return blocks[0] if blocks else output


def _parsed(source: str, field: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f'field "{field}" does not compile: {error}') from error


def _without_docstrings(source: str) -> str:
    """The code of a function's head, whatever its docstrings and comments say."""
    tree = _parsed(source, "prompt")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Expr(ast.Constant(""))
    return ast.dump(tree)


def _body(prompt: str, solution: str, entry_point: str) -> str:
    """Bring a solution to the form of canonical_solution: the indented lines that follow the prompt."""
    solution = solution.strip("\n")
    if re.search(rf"^def {re.escape(entry_point)}\b", solution, re.MULTILINE):
        solution = _inside(solution, entry_point)
    # As it is; with another indent or none; or with only the first line's indent lost.
    bodies = (solution, textwrap.indent(textwrap.dedent(solution), _INDENT), _INDENT + solution.lstrip())
    for body in bodies:
        try:
            last = _parsed(f"{prompt}{body}\n", "solution").body[-1]
        except ValueError:
            continue
        if isinstance(last, ast.FunctionDef) and last.name == entry_point and len(last.body) > 1:
            return body + "\n"
    raise ValueError(
        'field "solution" must be the body of the function, indented by four spaces, and compile after the prompt'
    )


def _inside(solution: str, entry_point: str) -> str:
    """The lines of a whole function's body, without its docstring; other sources as they are."""
    *_, last = _parsed(solution, "solution").body
    if not isinstance(last, ast.FunctionDef) or last.name != entry_point:
        return solution
    has_docstring = ast.get_docstring(last) is not None and len(last.body) > 1
    start = last.body[0].end_lineno if has_docstring else last.body[0].lineno - 1
    return "\n".join(solution.splitlines()[start:]).strip("\n")
