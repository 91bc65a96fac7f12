"""How many rows are lost, and how many calls paid twice, when a provider fails and when the client is killed?

    python -m benchmarks.rows_lost [--times 1] [--peers distilabel,curator] [--calls N]

1. 1,000 rows of 200 ms, 64 in flight: the provider refuses 1 in 100 for its content whenever it is asked, answers 5 %
   at first with words that are no JSON, and all with 429s for half of every second second. Compared are the rows that
   come back with their answer, those lost beyond the refused ones, and the calls sent.
2. As many rows of a provider without a fault, the client killed (SIGKILL) when half are answered, with 64 in flight and
   a second after the last answer, and started again with the same folder. Compared are the answered calls that were
   asked again, and the rows lost.

A run that is not at its end after three minutes is given up; its rows are lost.

Every side asks for objects and keeps what it can for another run, as its library has it (benchmarks/peers).
"""

from collections.abc import Callable
from statistics import median

from benchmarks.measure import Row
from benchmarks.peers import running
from benchmarks.peers.running import LIBRARIES, Asked

ROWS = 1000
POISON = 100  # one row in so many
LATENCY = 0.2
FAULTS = ("--malformed", "0.05", "--burst", "2,0.5")
FLAGS = ("--parse", "--resume")


def counts(name: str, unit: str, found: dict[str, float], none: bool = False) -> list[Row]:
    """A row a peer, without ratios, as many are of nothing; `none`: ours is to be 0."""
    ours = found["ours"]
    goal = {"goal": "0", "met": ours == 0} if none else {}
    return [Row(name, unit, ours, peer, side, **goal) for side, peer in found.items() if side != "ours"]


def main() -> None:
    given = running.parser(__doc__, (*LIBRARIES, "chat_openai"), least=1).parse_args()
    count = given.calls or ROWS
    sides = ("ours", *given.peers)

    poisoned = running.prompts(count, POISON)
    refused = sum("POISON" in prompt for prompt in poisoned.values())
    with running.Server(LATENCY, *FAULTS) as server:
        faults = running.in_turn(sides, lambda side: running.ask(side, server, poisoned, *FLAGS), given.times)
    clean = running.prompts(count)
    with running.Server(LATENCY) as server:
        kills = running.in_turn(
            sides, lambda side: running.ask(side, server, clean, *FLAGS, killed_at=count // 2), given.times
        )

    def medians(found: dict[str, list[Asked]], value: Callable[[Asked], float]) -> dict[str, float]:
        return {side: median(map(value, runs)) for side, runs in found.items()}

    faulty, killed = f"{count} rows, faults", f"{count} rows, killed at half"
    lost = medians(faults, lambda asked: count - refused - asked.right)
    rows = counts(f"{faulty}: rows returned", "rows", medians(faults, lambda asked: asked.right))
    rows += counts(f"{faulty}: rows lost beyond the {refused} refused", "rows", lost, none=True)
    rows += counts(f"{faulty}: calls sent", "calls", medians(faults, lambda asked: asked.stats["requests"]))
    repeated = medians(kills, lambda asked: asked.stats["repeated"])
    rows += counts(f"{killed}: answered calls repeated", "calls", repeated, none=True)
    rows += counts(f"{killed}: rows lost", "rows", medians(kills, lambda asked: count - asked.right), none=True)
    running.report("rows_lost", rows, given, {*sides} - {*faults} | {*sides} - {*kills})


if __name__ == "__main__":
    main()
