"""What a process keeps of a run's rows."""

from pada_graph.nodes.run import Rows
from pada_graph.rundir import RunDir
from pada_graph.tasks import get_task


def test_one_index_of_known_questions_is_kept_whatever_the_number_of_rounds(tmp_path):
    directory = RunDir(tmp_path)
    task = get_task("jsonl", "exact", False)
    train = [{"id": "a", "prompt": "What is one and one?", "answer": "2"}]
    manifest = {"train": directory.write_jsonl("data/train.jsonl", train)}
    directory.write_json("data/manifest.json", manifest)
    rows, files, newest = Rows(directory, task), [], None
    for number in range(3):
        files.append(f"accepted-{number}.jsonl")
        directory.write_jsonl(files[-1], [])
        newest = rows.known(files, rows.question)
        assert rows.known(files, rows.question) is newest
    assert list(rows._known.values()) == [newest]
