"""What the paper's own tables can and cannot show: test sizes, chance level, noise (docs/evaluation.md).

Run: python benchmarks/paper_numbers.py
"""

from math import sqrt

from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

# Table 1, per cent: vanilla, AugGPT, LLMs-as-Instructors, PaDA-Agent at 1,000, 600 and 300 train samples.
TABLE_1 = {
    "HellaSwag": "24.2 45.2 47.4 51.2 21.6 32.4 35.2 40.8 24.6 27.6 28.0 32.6",
    "SQuAD": "60.4 59.4 63.2 63.6 59.6 60.8 61.2 60.4 60.6 59.6 60.6 63.2",
    "ARC": "52.6 53.8 49.2 54.6 50.5 51.2 50.5 50.5 47.3 45.7 50.5 50.8",
    "GSM8K": "28.3 26.7 27.5 30.3 26.3 24.3 28.0 30.5 23.4 18.7 27.8 28.4",
    "HumanEval": "9.4 18.8 12.5 12.5",  # 100 samples
}
SIZES = {"HellaSwag": 500, "SQuAD": 500, "ARC": 1172, "GSM8K": 1319}
METHODS = ("vanilla", "AugGPT", "LLMs-as-Instructors")
CHANCE = 0.25


def fits(figures: list[str], n: int) -> bool:
    """Whether every figure is some k / n, rounded to one decimal of a per cent."""
    return all(any(f"{100 * (int(float(f) * n / 100) + step) / n:.1f}" == f for step in (0, 1)) for f in figures)


def main() -> None:
    tables = {task: row.split() for task, row in TABLE_1.items()}
    for task, figures in tables.items():
        likely = [n for n in (32, 164, 299, 500, 1172, 1319) if fits(figures, n)]
        smallest = next(n for n in range(1, 2000) if fits(figures, n))
        print(f"{task}: figures fit n = {likely}; the smallest n that fits is {smallest}")
    low, high = binomtest(121, 500).proportion_ci(0.95, "wilson")
    print(f"Vanilla HellaSwag, 121 of 500: Wilson 95 % {100 * low:.1f} to {100 * high:.1f}; chance {CHANCE:.0%}")

    at_1000 = {task: [float(f) for f in tables[task][:4]] for task in SIZES}
    relative = {task: pada / vanilla - 1 for task, (vanilla, _, _, pada) in at_1000.items()}
    mean = sum(relative.values()) / len(relative)
    rest = [gain for task, gain in relative.items() if task != "HellaSwag"]
    print("Relative gains:", ", ".join(f"{task} {gain:.1%}" for task, gain in relative.items()))
    print(f"Their mean {mean:.1%}; without HellaSwag {sum(rest) / len(rest):.1%}")
    vanilla, *_, pada = (accuracy / 100 for accuracy in at_1000["HellaSwag"])
    corrected = [(accuracy - CHANCE) / (1 - CHANCE) for accuracy in (vanilla, pada)]
    print(f"HellaSwag corrected for chance: {corrected[0]:.2f} to {corrected[1]:.2f}")

    names, p_values = [], []
    for task, n in SIZES.items():
        *others, ours = (round(accuracy * n / 100) for accuracy in at_1000[task])
        for method, other in zip(METHODS, others, strict=True):
            z, p = proportions_ztest([ours, other], [n, n])
            print(f"{task} (n = {n}), PaDA-Agent against {method}: z = {z:.1f}, p = {p:.3g}")
            names.append(f"{task} against {method}")
            p_values.append(p)
    kept = [name for name, keep in zip(names, multipletests(p_values, method="holm")[0], strict=True) if keep]
    print("Significant after Holm's adjustment:", ", ".join(kept))
    z = (6 - 4) / sqrt(2 * 32 * (5 / 32) * (1 - 5 / 32))
    print(f"HumanEval, 6 against 4 of 32: z = {z:.1f}, exact McNemar at best p = {binomtest(2, 2).pvalue}")
    print(f"Six one-way flips: p = {binomtest(6, 6).pvalue}; five: p = {binomtest(5, 5).pvalue}")


if __name__ == "__main__":
    main()
