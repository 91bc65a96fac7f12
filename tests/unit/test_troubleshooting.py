"""docs/troubleshooting.md and the source have the same messages: none is missing there, none is quoted that is gone."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `(.+?)` \|", PAGE, flags=re.MULTILINE)
ERRORS = ("InputError", "StoppedError", "DivergedError", "OutOfMemoryError")
HOLE = "\0"
# Raised with the words of another message, which has its own place in the source.
PASSED_ON = {
    "cli.py: f'{file}: {error.strerror}.'": "of the operating system",
    "cli.py: str(error)": "of scoring.py and the sandbox",
    "config_file.py: '\\n'.join((f'{where}: {line}' for line in lines))": "of pydantic, or _explain",
    "data.py: f'{faults[0]}{others}'": "of the first row that cannot be parsed",
    "consistency.py: unusable(root / JOURNAL, error)": "of teacher/journal_file.py",
    "teacher/journal.py: unusable(self.path, error)": "of teacher/journal_file.py",
    "teacher/retries.py: str(gate.problem)": "of teacher/provider_errors.py",
}


def words(node: ast.expr) -> str:
    """A message as it stands in the source, with a mark where a value goes."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(words(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return words(left) + words(right)
        case ast.IfExp(body=body, orelse=orelse):
            return f"{words(body)}\n{words(orelse)}"
        case ast.Call(func=ast.Name(id="redact"), args=[text, *_]):
            return words(text)
    return HOLE


def sources() -> list[tuple[str, ast.Module]]:
    folder = ROOT / "src/pada_graph"
    return [(str(path.relative_to(folder)), ast.parse(path.read_text())) for path in sorted(folder.rglob("*.py"))]


def raised() -> dict[str, str]:
    """Every message of the errors that users meet, by file and source text."""
    found = {}
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                found[f"{name}: {ast.unparse(node.args[0])}"] = words(node.args[0])
    return found


def pattern(quoted: str) -> re.Pattern[str]:
    """`…` stands for anything; a named constant is a hole in the source."""
    parts = [re.escape(part).replace("builtin:rules", f"(?:builtin:rules|{HOLE})") for part in quoted.split("…")]
    return re.compile(".*?".join(parts), flags=re.DOTALL)


def test_every_message_is_on_the_page():
    patterns = [pattern(quoted) for quoted in QUOTED]
    messages = {place: text for place, text in raised().items() if place not in PASSED_ON}
    assert len(messages) > 120
    assert [place for place, text in messages.items() if not any(p.search(text) for p in patterns)] == []


def test_every_message_on_the_page_is_in_the_source():
    kinds = (ast.Constant, ast.JoinedStr, ast.BinOp)
    texts = {words(node) for _, tree in sources() for node in ast.walk(tree) if isinstance(node, kinds)}

    def stands(quoted: str) -> bool:
        longest = max(quoted.replace("builtin:rules", "…").split("…"), key=len)
        return any(pattern(quoted).search(text) for text in texts if longest in text)

    assert [quoted for quoted in QUOTED if not stands(quoted)] == []


def test_no_quotation_is_so_short_that_it_says_nothing():
    assert [quoted for quoted in QUOTED if len(quoted.replace("…", "").strip(" :.")) < 8] == []


def test_messages_that_are_passed_on_are_still_there():
    assert PASSED_ON.keys() <= raised().keys()
