"""One table of all results that are kept, and where each comes from: python -m benchmarks.table"""

import json

from benchmarks.measure import RESULTS, Row, show


def main() -> None:
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.rglob("*.json"))]
    show([Row(**row) for result in found for row in result["rows"]])
    for result in found:
        machine, revision = result["machine"], result["versions"].get("revision", "not noted")
        device = machine.get("gpu", f"{machine['cores']} cores of {machine['cpu']}")
        print(f"{result['command']}: {device}, revision {revision}")


if __name__ == "__main__":
    main()
