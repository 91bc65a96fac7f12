"""How long do teacher calls take, beside libraries that ask in bulk, LangChain's client and a bare loop?

    python -m benchmarks.teacher_calls [--times 5] [--peers distilabel,curator] [--calls N]

2,000 calls to a provider that answers after 50 ms and 1,000 after 500 ms, 64 in flight, by each side in turn. Compared
are the whole process from its start to its end, the time from the first request to the last answer, and the client's
processor time and memory. Ours keeps every call in its journal; the libraries do without their caches where they can.
The floor is aiohttp's client in a loop (benchmarks/peers/aiohttp_loop.py).
"""

from collections.abc import Callable
from statistics import median

from benchmarks.measure import Row, compared
from benchmarks.peers import running
from benchmarks.peers.running import CONCURRENCY, LIBRARIES, Asked

# seconds a call takes -> calls, the whole process against the best library, from the first request against the ideal
SIZES: dict[float, tuple[int, float, float | None]] = {0.05: (2000, 0.75, None), 0.5: (1000, 0.9, 1.15)}
FIGURES: dict[str, tuple[str, Callable[[Asked], float]]] = {
    "whole process": ("s", lambda asked: asked.process.wall),
    "from the first request": ("s", lambda asked: asked.span),
    "client's processor time": ("s", lambda asked: asked.process.cpu),
    "client's memory": ("MB", lambda asked: asked.process.memory),
}
FLOOR = "aiohttp_loop"


def compare(latency: float, calls: int, found: dict[str, list[Asked]]) -> list[Row]:
    """The rows of one latency."""
    _, share, above_ideal = SIZES[latency]
    rows = []
    for figure, (unit, value) in FIGURES.items():
        name = f"{calls} calls of {latency * 1000:.0f} ms, {figure}"
        sides = {side: list(map(value, runs)) for side, runs in found.items()}
        ours, floor = sides.pop("ours"), median(sides.pop(FLOOR)) if FLOOR in sides else None
        complete = figure == "whole process" and set(LIBRARIES) <= set(sides)
        best = min(LIBRARIES, key=lambda side: median(sides[side])) if complete else None
        for side, peer in sides.items():
            met = median(ours) <= share * median(peer)
            goal = {"goal": f"<= {share} x the best", "met": met} if side == best else {}
            rows.append(
                compared(name, unit, ours, peer=peer, peer_name=side, floor=floor, more_is_better=False, **goal)
            )
        if figure == "from the first request":
            ideal = calls * latency / CONCURRENCY
            goal = {"goal": f"<= {above_ideal} x", "met": median(ours) <= above_ideal * ideal} if above_ideal else {}
            rows.append(compared(name, unit, ours, peer=ideal, peer_name="ideal", **goal))
    return rows


def main() -> None:
    given = running.parser(__doc__, (*LIBRARIES, "chat_openai")).parse_args()
    rows, sides, left_out = [], ("ours", FLOOR, *given.peers), set()
    for latency, (full, _, _) in SIZES.items():
        calls = given.calls or full
        prompts = running.prompts(calls)
        with running.Server(latency) as server:

            def measured(side: str, server: running.Server = server, prompts: dict[str, str] = prompts) -> Asked:
                return running.whole(running.ask(side, server, prompts), side, len(prompts))

            found = running.in_turn(sides, measured, given.times)
            rows += compare(latency, calls, found)
            left_out |= {*sides} - {*found}
    running.report("teacher_calls", rows, given, left_out)


if __name__ == "__main__":
    main()
