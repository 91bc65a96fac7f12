"""The fenced blocks and inline commands of README and docs, and a shell in which their programs are recorded.

Blocks are given to bash, so quoting, pipes and variables mean what a reader's shell makes of them. Its PATH holds
recorders only: each writes down how it was called, and does nothing, or hands over to the real program.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import typer.main

from pada_graph.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("notebooks/*.md"))]
SHELL = ("bash", "sh", "shell", "console")
# Programs of others: that they are called is all we can say.
FOREIGN = ("aws", "curl", "git", "hf", "langgraph", "mlflow", "python3", "ray", "srun", "torchrun", "vllm")
FOREIGN_SCRIPTS = ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py")  # of llama.cpp
PLAIN = ("cat", "cp", "head", "ls", "mkdir", "sed", "shuf", "tail")  # harmless, and what a block needs to go on
OURS = ("make", "pada-graph", "pip", "pytest", "python")
RECORDER = """#!{python} -I
import json, os, sys
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(os.environ["DOC_CALLS"], "a") as file:
    file.write(json.dumps([name, *args]) + "\\n")
if os.environ["DOC_MODE"] == "run" and name == "pada-graph":
    extra = json.loads(os.environ["DOC_STAND_INS"]).get(args[0], [])
    os.execv(sys.executable, [sys.executable, "-m", "pada_graph", *args, *extra])
if os.environ["DOC_MODE"] == "run" and name == "python":
    os.execv(sys.executable, [sys.executable, *args])
"""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str  # from the repository's root
    line: int
    language: str
    text: str

    @property
    def first(self) -> str:
        """Its first line, which names it in lists."""
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def fenced(path: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(str(path.relative_to(ROOT)), text.count("\n", 0, m.start()) + 1, m[2].strip(), m[3]) for m in found]


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [block for page in PAGES for block in fenced(page) if block.language in languages]


def inline_commands(path: Path) -> list[list[str]]:
    """Commands of ours in the running text, as `pada-graph compare runs/a runs/b`."""
    text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"`((?:pada-graph|make|pip install|python|pytest) [^`\n]*)`", text)
    return [shlex.split(command) for command in found]


class Shell:
    """Gives blocks to bash, one after the other, in one folder that a block's `cd` may change."""

    def __init__(self, folder: Path, mode: str, stand_ins: dict[str, list[str]] | None = None):
        self.folder, self.mode, self.stand_ins = folder / "work", mode, stand_ins or {}
        self.bin, self.log = folder / "bin", folder / "calls.jsonl"
        self.bin.mkdir()
        self.folder.mkdir()
        for name in (*OURS, *FOREIGN):
            (self.bin / name).write_text(RECORDER.format(python=sys.executable))
            (self.bin / name).chmod(0o755)
        for name in PLAIN:
            (self.bin / name).symlink_to(shutil.which(name) or name)

    def give(self, text: str, timeout: float = 280) -> tuple[list[list[str]], subprocess.CompletedProcess[str]]:
        """Run a block; returns the calls it made and how it ended."""
        self.log.write_text("")
        text = re.sub(r"<[\w ]+>", "PLACEHOLDER", text)
        head = "cd() { :; }\n" if self.mode == "parse" else "set -e\n"
        script = f"{head}{text}\nbuiltin cd . && pwd > {shlex.quote(str(self.bin))}/cwd"
        environment = {
            **os.environ,
            "PATH": str(self.bin),
            "PYTHONPATH": f"{ROOT / 'src'}",
            "DOC_CALLS": str(self.log),
            "DOC_MODE": self.mode,
            "DOC_STAND_INS": json.dumps(self.stand_ins),
        }
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=self.folder, env=environment, check=False, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        if (self.bin / "cwd").exists():
            self.folder = Path((self.bin / "cwd").read_text().strip())
        return [json.loads(line) for line in self.log.read_text().splitlines()], done


def fault(call: list[str], whole: bool = True) -> str | None:
    """What is wrong with a call of a program of ours: a command, option, target, extra, module or file that is not.

    Args:
        call: The program and its arguments.
        whole: False: a command in the running text, which may leave arguments out.
    """
    name, *args = call
    match name:
        case "pada-graph":
            return _cli(args, whole)
        case "make":
            targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
            unknown = [arg for arg in args if "=" not in arg and arg not in targets]
            return f"make has no target {unknown}" if unknown else None
        case "pip":
            return _pip(args)
        case "python" if args[:1] == ["-m"]:
            known = find_spec(args[1].partition(".")[0]) or (ROOT / args[1].partition(".")[0]).is_dir()
            file = ROOT / f"{args[1].replace('.', '/')}.py"
            ours = args[1].startswith(("benchmarks", "tests"))
            return None if known and (file.exists() or not ours) else f"there is no module {args[1]}"
        case "python" if args[:1] == ["-c"]:
            compile(args[1], "-c", "exec")
        case "python" | "pytest":
            files = [arg for arg in args if re.search(r"\.py$|^tests/", arg)]
            missing = [file for file in files if file not in FOREIGN_SCRIPTS and not (ROOT / file).exists()]
            return f"there is no file {missing}" if missing else None
    return None


def _cli(args: list[str], whole: bool) -> str | None:
    group = typer.main.get_command(app)
    try:
        context = group.make_context("pada-graph", list(args))
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(name, rest, parent=context)
    except Exception as error:
        if type(error).__name__ == "Exit" or (type(error).__name__ == "MissingParameter" and not whole):
            return None
        return f"pada-graph {' '.join(args)}: {error}"
    return None


def _pip(args: list[str]) -> str | None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for arg in args[1:]:
        name, _, asked = arg.rstrip("]").partition("[")
        unknown = [extra for extra in asked.split(",") if extra and extra not in extras]
        if unknown:
            return f"there is no extra {unknown}"
        name = name.partition("==")[0].lower()
        if not name.startswith("-") and name not in (".", "pada-graph", "torch", *pinned):
            return f"{name} is in no constraint"
    return None
