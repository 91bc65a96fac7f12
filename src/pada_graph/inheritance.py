"""Files that a run is given before it begins, by a finished run that had to make the same ones.

The untuned model's answers depend on the held-out rows and the student alone, iteration 0 (rows, adapter, training log,
answers) on the train rows, the recipe and the seed too, and neither on the method. inherited.json names each file that
was taken over with its sha256, so that a start can tell them from files of a run whose graph state was lost
(consistency.py). Nodes find them and do nothing.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pada_graph.errors import StoppedError
from pada_graph.rundir import RunDir
from pada_graph.student.manifest import file_sha256

INHERITED = "inherited.json"
TRAIN_ANSWERS = "iteration_0/predictions_train.jsonl"
UNTUNED = "untuned"
FOLDERS = (UNTUNED, "iteration_0")
_SHARED = (
    f"{UNTUNED}/predictions_validation.jsonl",
    f"{UNTUNED}/predictions_test.jsonl",
    "iteration_0/train.jsonl",
    "iteration_0/training_log.jsonl",
    "iteration_0/predictions_validation.jsonl",
    TRAIN_ANSWERS,
    "iteration_0/predictions_test.jsonl",
)


def inherit(donor: Path, heir: Path, folders: Sequence[str] = FOLDERS) -> None:
    """Give a run that has not begun what it shares with a finished one, each of `folders` whole or not at all.

    Adapters are hard links where the file system has them: training never writes into an adapter that is in place.

    Raises:
        StoppedError: the disk refuses a file, or a copy is not what was copied.
    """
    source, target = RunDir(donor), RunDir(heir)
    names = [name for name in _SHARED if source.path(name).exists()]
    adapter = source.path("iteration_0/adapter")
    names += sorted(path.relative_to(donor).as_posix() for path in adapter.rglob("*") if path.is_file())
    digests = {name: file_sha256(source.path(name)) for name in names if name.partition("/")[0] in folders}
    made = target.path(".inherited.tmp")
    try:
        shutil.rmtree(made, ignore_errors=True)
        for name, digest in digests.items():
            _copy(source.path(name), made / name, link="/adapter/" in name)
            if file_sha256(made / name) != digest:
                raise StoppedError(f"{made / name}: is not what {donor / name} was. Run the same command again.")
        target.write_json(INHERITED, {"from": donor.name, "files": digests})
        for folder in folders:
            shutil.rmtree(target.path(folder), ignore_errors=True)  # left by an attempt that was killed in between
            (made / folder).rename(target.path(folder))
        made.rmdir()
    except OSError as error:
        raise StoppedError(
            f"{heir}: iteration 0 of {donor} cannot be taken over ({error}). Free some space or mend the permissions, "
            "then run the same command again."
        ) from error


def is_inherited(directory: RunDir, folder: str) -> bool:
    """Whether a folder of the run holds exactly the files that were taken over.

    Raises:
        InputError: inherited.json is damaged, or the folder holds a link.
    """
    if not directory.path(INHERITED).exists():
        return False
    given = {
        name: digest
        for name, digest in directory.read_json(INHERITED)["files"].items()
        if name.startswith(f"{folder}/")
    }
    paths = [path for path in directory.path(folder).rglob("*") if not path.is_dir()]
    names = [path.relative_to(directory.root).as_posix() for path in paths]
    return bool(given) and given == {name: file_sha256(directory.path(name)) for name in names}


def _copy(source: Path, target: Path, *, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            pass
        else:
            return
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
