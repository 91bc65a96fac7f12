"""One table of all results that are kept: python -m benchmarks.table"""

import json

from benchmarks.measure import RESULTS, Row, show


def main() -> None:
    rows = [Row(**row) for path in sorted(RESULTS.glob("*.json")) for row in json.loads(path.read_text())["rows"]]
    show(rows)


if __name__ == "__main__":
    main()
