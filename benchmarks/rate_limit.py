"""How close to a provider's rate limit do teacher calls come, and how many of them are refused on the way?

    python -m benchmarks.rate_limit [--times 5] [--peers distilabel,curator] [--calls N]

400 calls of 500 ms, 64 in flight, to a provider that lets 20 calls a second pass, and 20 at once, and answers others
with 429 and Retry-After. Compared are the time from the first request to the last answer, as a multiple of the ideal
(calls - 20) / 20 s, and the 429s. Nobody is told the limit, but for one more row, which has no goal: curator paces
itself by x-ratelimit headers, and in that row they say the limit. Elsewhere they say more than is asked, since without
them it would pace itself by a guess of its own.
"""

from statistics import median

from benchmarks.measure import Row, compared
from benchmarks.peers import running
from benchmarks.peers.running import LIBRARIES, Asked

CALLS = 400
RATE = 20
LATENCY = 0.5
ABOVE_IDEAL = 1.15
TOLD = "curator, told the limit"


def compare(calls: int, found: dict[str, list[Asked]]) -> list[Row]:
    """The rows: ours beside each side."""
    ideal = (calls - RATE) / RATE
    wall = {side: [asked.span / ideal for asked in runs] for side, runs in found.items()}
    refused = {side: median(asked.stats["throttled"] for asked in runs) for side, runs in found.items()}
    peers = [side for side in found if side != "ours"]
    fewest = min((side for side in peers if side != TOLD), key=refused.__getitem__, default=None)
    name = f"{calls} calls, {RATE} a second"
    goal = {"goal": f"<= {ABOVE_IDEAL}", "met": median(wall["ours"]) <= ABOVE_IDEAL}
    rows = [compared(f"{name}: time over the ideal", "x", wall["ours"], peer=1.0, peer_name="ideal", **goal)]
    rows += [compared(rows[0].name, "x", wall["ours"], peer=wall[side], peer_name=side) for side in peers]
    for side in peers:  # without ratios, as one may be of nothing
        goal = {"goal": "fewer than any not told", "met": refused["ours"] < refused[side]} if side == fewest else {}
        rows.append(Row(f"{name}: 429s", "calls", refused["ours"], refused[side], side, **goal))
    return rows


def main() -> None:
    given = running.parser(__doc__, (*LIBRARIES, "chat_openai")).parse_args()
    prompts = running.prompts(given.calls or CALLS)
    limit = ("--rate", str(RATE))
    with running.Server(LATENCY, *limit) as server, running.Server(LATENCY, *limit, "--told") as telling:

        def measured(side: str) -> Asked:
            asked = running.ask("curator", telling, prompts) if side == TOLD else running.ask(side, server, prompts)
            return running.whole(asked, side, len(prompts))

        told = [TOLD] if "curator" in given.peers else []
        sides = ("ours", *given.peers, *told)
        found = running.in_turn(sides, measured, given.times)
    running.report("rate_limit", compare(len(prompts), found), given, {*sides} - {*found})


if __name__ == "__main__":
    main()
