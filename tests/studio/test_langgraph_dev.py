"""The four graphs load and run under `langgraph dev`, as Studio uses them."""

import ast
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from pada_graph.errors import InputError, OutOfMemoryError, StoppedError
from pada_graph.lock import locked
from tests.doc_blocks import blocks

ROOT = Path(__file__).parents[2]
LANGGRAPH = Path(sys.executable).with_name("langgraph")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not LANGGRAPH.exists(), reason="needs the extra: studio")]


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[Path]:
    """A copy of what Studio reads, so that its files do not land in the repository."""
    folder = tmp_path_factory.mktemp("studio")
    for name in ("graphs", "langgraph.json", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def server(studio) -> Iterator[subprocess.Popen]:
    log = studio / "server.log"
    environment = {**os.environ, "LANGSMITH_TRACING": "false", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    environment["LANGGRAPH_CLI_NO_ANALYTICS"] = "1"
    with log.open("w") as sink:
        server = subprocess.Popen(
            [str(LANGGRAPH), "dev", "--no-browser", "--no-reload", "--port", "20123"],
            cwd=studio, env=environment, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


@pytest.fixture(scope="module")
def client(studio, server) -> SyncLangGraphClient:
    return get_sync_client(url=_url(studio / "server.log", server))


def _url(log: Path, server: subprocess.Popen) -> str:
    for _ in range(120):
        assert server.poll() is None, log.read_text()
        if found := re.search(r"API: \S*?(http://127\.0\.0\.1:\d+)", log.read_text()):  # a taken port is replaced
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{found[1]}/ok", timeout=5):
                return found[1]
        time.sleep(1)
    raise AssertionError(f"no server after two minutes:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def demo_run(client, server, studio) -> dict:
    """The demo graph's result, and what it took; its run directory serves the two subgraphs."""
    before = cpu_seconds(server.pid)
    result = client.runs.wait(None, "demo", input={"run_dir": str(studio / "runs/demo")})
    return {**result, "cpu_seconds": cpu_seconds(server.pid) - before}


def cpu_seconds(pid: int) -> float:
    """What a process has computed, and those of its children that have ended, other load aside."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def own_files(root: Path) -> dict[Path, bytes]:
    """What a run has written, without what trials wrote, and without the count of its calls."""
    paths = (path for path in root.rglob("*.json*") if "trial" not in path.parts and path.name != "heads.json")
    return {path: path.read_bytes() for path in paths}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def prompts(root: Path, role: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(root / "teacher_calls.sqlite")) as journal:
        return [prompt for (prompt,) in journal.execute("select prompt from calls where role = ?", [role])]


def test_all_four_graphs_are_offered(client):
    assert {a["graph_id"] for a in client.assistants.search()} == {
        "pada",
        "pattern_analysis",
        "synthesize_batch",
        "demo",
    }


def test_the_input_form_is_scalars_and_the_config_form_has_the_papers_defaults(client):
    assistant = client.assistants.search(graph_id="pada")[0]["assistant_id"]
    schemas = client.assistants.get_schemas(assistant)
    assert set(schemas["input_schema"]["properties"]) == {"task", "run_dir", "method", "train_size", "seed"}
    assert schemas["context_schema"]["properties"]["iterations"]["default"] == 3


def test_the_drawing_shows_the_subgraphs(client):
    assistant = client.assistants.search(graph_id="pada")[0]["assistant_id"]
    nodes = {node["id"] for node in client.assistants.get_graph(assistant, xray=True)["nodes"]}
    assert {"pattern_analysis:draft_strategy", "synthesize_batches:synthesize_batch:quality_control"} <= nodes


def test_the_demo_graph_runs_offline_to_its_end(demo_run):
    assert demo_run["stop_reason"] == "the only round is done"
    assert demo_run["accounting"][0]["requested"] == 12
    assert demo_run["cpu_seconds"] < 200  # a minute or two; more where others compute beside it


def test_pattern_analysis_runs_by_itself_on_a_run_directory_and_leaves_the_runs_own_files_alone(
    client, studio, demo_run
):
    own = own_files(studio / "runs/demo")
    result = client.runs.wait(None, "pattern_analysis", input={"run_dir": str(studio / "runs/demo"), "iteration": 1})
    assert result["patterns"] and len(result["strategies"]) == len(result["patterns"])
    assert lines(studio / "runs/demo/iteration_1/trial/analyses.jsonl") == result["analyses"]
    assert own_files(studio / "runs/demo") == own


@pytest.mark.parametrize(
    ("graph", "prompt", "role"),
    [("pattern_analysis", "strategy_drafting", "analyst"), ("synthesize_batch", "quality_control", "judge")],
)
def test_a_prompt_edited_on_its_node_is_tried_on_a_run_that_exists(client, studio, demo_run, graph, prompt, role):
    root = studio / "runs/demo"
    assistant = client.assistants.search(graph_id=graph)[0]["assistant_id"]
    field = client.assistants.get_schemas(assistant)["context_schema"]["properties"][f"{prompt}_prompt"]
    edited = {f"{prompt}_prompt": f"{field['default']}\nTake your time over it."}
    own, before = own_files(root), prompts(root, role)
    plan = lines(root / "iteration_1/plan.jsonl")[0]
    which = {"iteration": 1} if graph == "pattern_analysis" else {"batch_id": plan["batch_id"]}
    client.runs.wait(None, graph, input={"run_dir": str(root), **which}, context=edited)
    asked = [prompt for prompt in prompts(root, role) if prompt not in before]
    assert asked and all(prompt.endswith("Take your time over it.") for prompt in asked)
    assert len(prompts(root, role)) == len(before) + len(asked)  # the others are answered by the journal
    assert own_files(root) == own


def test_synthesize_batch_takes_the_name_of_a_batch_and_leaves_the_runs_own_files_alone(client, studio, demo_run):
    planned = lines(studio / "runs/demo/iteration_1/plan.jsonl")
    own = own_files(studio / "runs/demo")
    batch = {"run_dir": str(studio / "runs/demo"), "batch_id": planned[0]["batch_id"]}
    outcome = client.runs.wait(None, "synthesize_batch", input=batch)["outcomes"][0]
    assert outcome["batch_id"] == f"studio-{planned[0]['batch_id']}"
    assert outcome["requested"] == len(planned[0]["slots"])
    assert outcome["requested"] == outcome["accepted"] + outcome["rejected"] + outcome["failed"] + outcome["duplicate"]
    assert (studio / "runs/demo" / outcome["file"]).exists()
    assert own_files(studio / "runs/demo") == own


def test_the_form_of_synthesize_batch_is_scalars(client):
    assistant = client.assistants.search(graph_id="synthesize_batch")[0]["assistant_id"]
    properties = client.assistants.get_schemas(assistant)["input_schema"]["properties"]
    assert {name: value["type"] for name, value in properties.items()} == dict.fromkeys(
        ("run_dir", "batch_id", "generation_approach"), "string"
    )


VANILLA = {
    "task": "demo",
    "method": "vanilla",
    "data": {"source": "builtin:demo", "train_size": 8, "validation_size": 6, "test_size": 6},
    "student": {"model": "builtin:tiny", "training": {"epochs": 1}, "inference": {"max_new_tokens": 4}},
}


def test_a_run_directory_in_use_elsewhere_is_refused_and_free_after_an_interrupt(client, studio):
    root = studio / "runs/busy"
    refused = "another process is working on this run"
    thread = client.threads.create()["thread_id"]
    with locked(root):
        client.runs.wait(thread, "pada", input={"run_dir": str(root)}, context=VANILLA, raise_error=False)
    assert refused in str(client.threads.get_state(thread)["tasks"])
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "pada", input={"run_dir": str(root)}, context=VANILLA, interrupt_before=["fine_tune"])
    with locked(root):  # waiting for a person
        client.runs.wait(thread, "pada", input=None, context=VANILLA, raise_error=False)
    assert refused in str(client.threads.get_state(thread)["tasks"])
    result = client.runs.wait(thread, "pada", input=None, context=VANILLA)
    assert result["stop_reason"] == "vanilla fine-tuning has no rounds"
    with locked(root):  # ended
        pass


def test_the_whole_agent_runs_with_a_configuration_from_the_form(client, studio):
    result = client.runs.wait(None, "pada", input={"run_dir": str(studio / "runs/pada")}, context=VANILLA)
    assert result["best_iteration"] == 0
    assert result["stop_reason"] == "vanilla fine-tuning has no rounds"


def test_no_key_of_a_configuration_is_in_the_checkpoints(client, studio):
    model = {
        "model": "openai:some-model",
        "api_key": "sk-planted-key",
        "base_url": "http://user:planted-pw@127.0.0.1/v1",
    }
    context = {**VANILLA, "models": {"analyst": model}}
    thread = client.threads.create()["thread_id"]
    root = str(studio / "runs/keys")
    client.runs.wait(thread, "pada", input={"run_dir": root}, context=context, interrupt_before=["fine_tune"])
    kept = b"".join(path.read_bytes() for path in (studio / "runs").glob("studio.sqlite*"))
    assert b"openai:some-model" in kept and b"127.0.0.1/v1" in kept
    assert b"planted" not in kept


def test_a_copied_run_goes_on_in_its_copy(client, studio):
    root, copy = studio / "runs/original", studio / "runs/copy"
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "pada", input={"run_dir": str(root)}, context=VANILLA, interrupt_before=["fine_tune"])
    shutil.copytree(root, copy)
    there = {"configurable": {"run_dir": str(copy)}}
    with pytest.raises(Exception, match="Cannot specify both configurable and context"):
        client.runs.wait(thread, "pada", input=None, context=VANILLA, config=there)
    client.runs.wait(thread, "pada", input=None, config=there, interrupt_before=["evaluate"])
    assert (copy / "iteration_0/adapter").exists() and not (root / "iteration_0").exists()


MONEY = "Write about money alone, with prices in cents."


def test_a_person_rewords_one_strategy_and_drops_the_others(client, studio):
    root = studio / "runs/review"
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "demo", input={"run_dir": str(root)}, interrupt_before=["plan_batches"])
    state = client.threads.get_state(thread)
    first, *others = state["values"]["strategies"]
    assert state["next"] == ["plan_batches"] and others and prompts(root, "generator") == []
    edits = [{**first, "generation_approach": MONEY}, *({**other, "generation_approach": ""} for other in others)]
    client.threads.update_state(thread, {"strategies": edits})
    result = client.runs.wait(thread, "demo", input=None)
    assert [strategy["strategy_id"] for strategy in result["strategies"]] == [s["strategy_id"] for s in edits]
    assert any(MONEY in prompt for prompt in prompts(root, "generator"))
    assert not any(other["generation_approach"] in prompt for other in others for prompt in prompts(root, "generator"))
    followed = {line["strategy_id"] for line in lines(root / "iteration_1/plan.jsonl") if line["strategy_id"]}
    assert followed == {first["strategy_id"]}


def test_time_travel_forks_a_finished_run_before_its_round(client, studio):
    root = studio / "runs/travel"
    thread = client.threads.create()["thread_id"]
    finished = client.runs.wait(thread, "demo", input={"run_dir": str(root)})
    before = next(s for s in client.threads.get_history(thread, limit=100) if s["next"] == ["plan_batches"])
    edits = [{**strategy, "generation_approach": MONEY} for strategy in before["values"]["strategies"]]
    fork = client.threads.update_state(thread, {"strategies": edits}, checkpoint=before["checkpoint"])
    asked = len(prompts(root, "generator"))
    result = client.runs.wait(thread, "demo", input=None, checkpoint_id=fork["checkpoint"]["checkpoint_id"])
    assert {strategy["generation_approach"] for strategy in result["strategies"]} == {MONEY}
    assert {strategy["generation_approach"] for strategy in finished["strategies"]} != {MONEY}
    assert sum(MONEY in prompt for prompt in prompts(root, "generator")) == len(prompts(root, "generator")) - asked > 0
    assert result["stop_reason"] == finished["stop_reason"]


def test_a_streamed_run_tells_nodes_and_progress(client, studio):
    thread = client.threads.create()["thread_id"]
    stream = client.runs.stream(
        thread, "demo", input={"run_dir": str(studio / "runs/stream")}, stream_mode=["updates", "custom"],
        stream_subgraphs=True,
    )  # fmt: skip
    parts = [(part.event.split("|")[0], part.data) for part in stream]
    nodes = [name for kind, data in parts if kind == "updates" for name in data]
    events = [data["event"] for kind, data in parts if kind == "custom"]
    assert {"fine_tune", "evaluate", "draft_strategy", "quality_control", "finalize"} <= set(nodes)
    assert [event for event in events if event in ("initialize", "plan_batches", "finalize")] == [
        "initialize", "plan_batches", "finalize",
    ]  # fmt: skip
    assert events.count("training") >= 2 and events == [
        line["event"] for line in lines(studio / "runs/stream/events.jsonl")
    ]


def test_the_pages_block_does_what_the_page_says(client, studio):
    block = next(b.text for b in blocks("python") if b.page == "docs/studio.md" and "langgraph_sdk" in b.first)
    url = str(client.http.client.base_url)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(block.replace("http://127.0.0.1:2024", url), {})
    parts = [line.split(" ", 1) for line in printed.getvalue().splitlines()]
    told = [ast.literal_eval(data)["event"] for kind, data in parts if kind.partition("|")[0] == "custom"]
    logged = [line["event"] for line in lines(studio / "runs/sdk/events.jsonl")]
    assert told == logged[logged.index("plan_batches") :] and "quality_control" in told


def test_a_form_filled_in_wrongly_says_what_is_wrong(client, studio):
    thread = client.threads.create()["thread_id"]
    bad = {"run_dir": str(studio / "runs/bad"), "task": "gsm9k"}
    [error] = [part.data for part in client.runs.stream(thread, "pada", input=bad) if part.event == "error"]
    assert error["error"] == "InputError" and "did you mean 'gsm8k'?" in error["message"]
    assert "gsm8k" in str(client.threads.get_state(thread)["tasks"]) and not (studio / "runs/bad").exists()


@pytest.mark.parametrize("kind", [InputError, StoppedError, OutOfMemoryError])
def test_the_server_blots_out_no_message_of_ours(kind):
    from langgraph_api.serde import json_dumpb

    assert json.loads(json_dumpb(kind("what to mend"))) == {"error": kind.__name__, "message": "what to mend"}


def test_a_prompt_edited_on_its_node_is_what_the_analyst_is_asked(client, studio):
    assistant = client.assistants.search(graph_id="demo")[0]["assistant_id"]
    fields = client.assistants.get_schemas(assistant)["context_schema"]["properties"]
    field = fields["pattern_categorization_prompt"]
    assert field["langgraph_type"] == "prompt" and field["langgraph_nodes"][-1] == "categorize_pattern"
    edited = {"pattern_categorization_prompt": f"{field['default']}\nTake your time over it."}
    root = studio / "runs/prompts"
    client.runs.wait(None, "demo", input={"run_dir": str(root)}, context=edited, interrupt_before=["plan_batches"])
    assert any(prompt.endswith("Take your time over it.") for prompt in prompts(root, "analyst"))
    assert set(json.loads((root / "resolved_config.json").read_text())["prompts"]) == {"pattern_categorization"}


def test_a_prompt_that_lost_its_data_is_refused_before_anything_is_asked(client, studio):
    root, thread = studio / "runs/lost", client.threads.create()["thread_id"]
    lost = {"pattern_categorization_prompt": "What do these have in common?"}
    with pytest.raises(Exception, match=r"analyses .* is missing"):
        client.runs.wait(thread, "demo", input={"run_dir": str(root)}, context=lost)
    assert not root.exists()
