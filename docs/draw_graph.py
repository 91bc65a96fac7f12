"""Draw the compiled graph into docs/graph.mmd and docs/graph.svg (`make graph`)."""

from pathlib import Path

from pada_graph import build_graph

DOCS = Path(__file__).parent


def mermaid() -> str:
    """The Mermaid source of the compiled graph with its subgraphs."""
    return build_graph().get_graph(xray=True).draw_mermaid()


if __name__ == "__main__":
    import mermaidx

    (DOCS / "graph.mmd").write_text(mermaid(), encoding="utf-8")
    mermaidx.render(mermaid()).save(str(DOCS / "graph.svg"))
