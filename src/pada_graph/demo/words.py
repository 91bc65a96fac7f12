"""What the rule-based teacher says about each kind of problem: the only vocabulary it has."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The vocabulary for one kind. `title` names it in categories and strategies; it is how the kind is read back."""

    title: str
    scenarios: tuple[str, ...]
    causes: tuple[str, ...]  # what goes wrong when the operation is wrong
    approach: str
    elements: tuple[str, ...]


WORDS = {
    "total": Words(
        "Combining Two Amounts",
        ("Combining Two Amounts", "Joint Total of Two Collections"),
        (
            "Two collections are to be joined, but the response does not simply add them.",
            "The joint total of two amounts needs a plain addition, which the response misses.",
        ),
        "Write problems in which two people each own or collect a stated amount and the joint total is asked for.",
        ("two stated amounts", "a question about the joint total", "a single addition"),
    ),
    "left": Words(
        "Remainder After Taking Away",
        ("Remainder After Taking Away", "Items Remaining After a Loss"),
        (
            "Items are removed and the remainder is asked for, but the response does not take them away.",
            "The remainder after a loss needs a plain subtraction, which the response misses.",
        ),
        "Write problems in which some items are given away, lost or taken, and the remainder is asked for.",
        ("a starting amount", "a removed amount", "a single subtraction"),
    ),
    "before": Words(
        "Unknown Starting Amount",
        ("Unknown Starting Amount", "Reasoning Backwards to the Original Amount"),
        (
            "The original amount before the change is unknown and must be restored, but the response works forwards in "
            "time and does not undo the change.",
            "The past, original amount is asked for; the response does not reverse the story to recover the start.",
            "Reasoning backwards in time is needed: the earlier, original state must be rebuilt from the final one.",
        ),
        "Write problems that tell how much went away and how much remains, and ask for the amount before the change; "
        "the rationale undoes the change by adding both.",
        ("an amount that went away", "the amount that remains", "a question about the time before", "an addition"),
    ),
    "fewer": Words(
        "Inverse Comparison",
        ("Inverse Comparison", "Comparison With the Smaller Side Unknown"),
        (
            "The comparison word more describes the other person; the response takes the keyword literally and does "
            "not invert the comparison to find the smaller side.",
            "A comparison between two people is inverted: the smaller side is unknown, and the keyword more misleads.",
            "Misleading comparison keyword: the person compared with has less; the comparison must be turned round.",
        ),
        "Write problems in which one person has an amount that is some number more than another person's, and ask for "
        "the other person's smaller amount; the rationale subtracts the difference.",
        ("the larger amount", "by how much it is more", "a question about the smaller side", "a subtraction"),
    ),
    "double": Words(
        "Doubling Then Subtracting",
        ("Doubling Then Subtracting", "Doubling Step Before a Removal"),
        (
            "The doubling step is skipped: the amount must be doubled, multiplied by two, before items are removed.",
            "Doubling is ignored or mixed up with the removal; the quantity has to be multiplied by two first.",
            "The multiplication by two, doubling the amount, is not carried out before the subtraction.",
        ),
        "Write problems in which an amount is doubled first and some items are removed afterwards; the rationale shows "
        "the doubled amount as a step of its own, then the subtraction.",
        ("an amount that is doubled", "a removal after the doubling", "two steps in the rationale"),
    ),
    "both": Words(
        "Total With a Relative Amount",
        ("Total With a Relative Amount", "Sum of an Amount and a Larger Second One"),
        (
            "The total stops too early: the second person's share is only given relative to the first and must be "
            "worked out before both shares are summed.",
            "An intermediate sum is reported as the grand total; the first person's share is not included in it.",
            "A two-step total is cut short: the relative share is computed, but the sum over both people is missing.",
        ),
        "Write problems in which a second person has some number more than the first and the total of both is asked "
        "for; the rationale works out the second amount, then adds the two.",
        ("the first amount", "the second amount relative to it", "a question about the total", "two additions"),
    ),
}

SLIP = " The steps are chosen well, but the arithmetic is carried out wrongly."
NO_NUMBER = " The response never arrives at a number."


def titles_in(text: str) -> list[str]:
    """The kinds whose title stands in a text, in the order of their first mention."""
    found = [(text.find(words.title), kind) for kind, words in WORDS.items() if words.title in text]
    return [kind for _, kind in sorted(found)]
