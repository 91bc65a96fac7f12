"""When a run will be done: measured speeds times what is left."""

from typing import Any, Literal

from pada_graph import methods
from pada_graph.config import RunConfig

Event = dict[str, Any]
Answers = tuple[int | None, str]  # of one model (None: untuned) to one split


class Trainings:
    """What trainings take: seconds to load, of a row, and to save. Moments are in seconds."""

    def __init__(self) -> None:
        """Begin before the first one, with nothing measured."""
        self.load = self.row = self.save = 0.0  # the newest measured; 0: none
        self.iteration = -1  # of the newest training
        self.rows, self._rows_left = 0, 0.0  # its rows, and those not yet trained on
        self._began = self._stepped = 0.0  # its moment, and that of its newest step
        self._first_step = 0  # of its process: a resumed one begins later; 0: none yet

    def begin(self, moment: float, iteration: int, rows: int) -> None:
        """A training set of so many rows is ready."""
        self.iteration, self.rows, self._rows_left = iteration, rows, rows
        self._began, self._first_step = moment, 0

    def step(self, moment: float, step: int, steps: int, seconds: float | None) -> None:
        """An optimiser step is done, `seconds` after the first one began; None: the trainer does not tell."""
        before, self._rows_left = self._rows_left, self.rows * (1 - step / steps)
        if not self._first_step or self._rows_left >= before:  # out of memory, it went back to a checkpoint
            self._first_step = step
        trained = moment - self._began if seconds is None else seconds
        self.load, self._stepped = moment - self._began - trained, moment
        self.row = trained / (self.rows * (step - self._first_step + 1) / steps)

    def end(self, moment: float) -> None:
        """Something else begins. An adapter that was found whole was not trained, and says nothing."""
        if self._first_step:
            self.save = moment - self._stepped
        self._first_step = 0

    def left(self) -> float:
        """Seconds that were left of the training at work at its last event."""
        return self._rows_left * self.row + self.save + (0.0 if self._first_step else self.load)


class Forecast:
    """Expected time: measured seconds per trained row, per answer and per round, times what is left of each.

    It keeps the run's own clock, which begins with the first session and stands still between sessions. As with the
    board, another thread may read it while events come in.
    """

    def __init__(self, config: RunConfig):
        """Begin with nothing measured and everything left."""
        self._config = config
        self._rounds = methods.rounds(config)
        self._outside = self._heard = 0.0  # seconds outside sessions; moment of the last event
        self._stage: Literal["", "training", "predicting", "round"] = ""
        self._since = 0.0  # moment from which what is left of the stage counts
        self._trainings = Trainings()
        self._answer = self._round = 0.0  # seconds of one; 0: not measured
        self._collected = 0  # rounds
        self._answered: dict[Answers, int] = {}
        self._asked: tuple[float, int] | None = None  # of the split at work: the first event's moment and answers
        self._answers: Answers = (None, "")  # at work
        self._accuracy: dict[int, float] = {}  # on validation, by iteration
        self._ended = False

    def take(self, event: Event) -> None:
        """Measure from one event."""
        if event["event"] == "session":
            self._outside, self._asked = event["time"] - self._heard, None
        self._heard = moment = event["time"] - self._outside
        match event:
            case {"event": "fine_tune", "iteration": iteration, "train_rows": rows, "synthetic_rows": synthetic}:
                self._stage, self._since = "training", moment
                self._trainings.begin(moment, iteration, rows + synthetic)
            case {"event": "training", "step": step, "steps": steps}:
                self._since = moment
                self._trainings.step(moment, step, steps, event.get("seconds"))
            case {"event": "predicting", "iteration": iteration, "split": split, "done": done, "total": total}:
                self._trainings.end(moment)
                self._stage, self._since = "predicting", moment
                self._count((iteration, split), done, total)
            case {"event": "score", "iteration": iteration, "split": split, "n": n, "accuracy": accuracy}:
                self._trainings.end(moment)
                self._stage, self._since, self._asked = "round", moment, None
                self._answered[iteration, split] = n
                if iteration is not None and split == "validation":
                    self._accuracy[iteration] = accuracy
            case {"event": "collect_batches", "iteration": iteration}:
                self._round, self._collected, self._stage = moment - self._since, iteration, ""
            case {"event": "finalize"}:
                self._ended = True

    def seconds_left(self, now: float) -> float | None:
        """Seconds to the end of the run; None until each stage that is to come was measured, and after the end."""
        done, answers, rounds = self._trainings, self._answers_left(), self._rounds_left()
        trainings = 0 if self._closing() else self._rounds - done.iteration
        if self._ended or not done.row or (answers and not self._answer) or (rounds and not self._round):
            return None
        grown = self._config.generation.ratio * self._config.data.train_size  # rows from one training to the next
        rows = sum(done.rows + grown * later for later in range(1, trainings + 1))
        training = rows * done.row + trainings * (done.load + done.save)
        training += done.left() if self._stage == "training" else 0.0
        return training + answers * self._answer + rounds * self._round - self._passed(now)

    def training_left(self, now: float) -> float | None:
        """Seconds to the end of the training at work; None where there is none, and before the first step of all."""
        if self._stage != "training" or not self._trainings.row:
            return None
        return self._trainings.left() - self._passed(now)

    def _count(self, answers: Answers, done: int, total: int) -> None:
        """Measure answers; those of a batch end together, so that the first ones of a split say nothing."""
        if self._asked is None:
            self._asked = self._since, done
        began, before = self._asked
        if 10 * (done - before) >= total:
            self._answer = (self._since - began) / (done - before)
        self._answers, self._answered[answers] = answers, done

    def _passed(self, now: float) -> float:
        """Seconds that the stage at work has had. What it takes beyond its due is not taken off the others."""
        match self._stage:
            case "training":
                due = self._trainings.left()
            case "predicting":
                due = self._unanswered(self._answers) * self._answer
            case "round":
                due = self._round if self._rounds_left() else 0.0
            case _:
                due = 0.0
        return min(due, now - self._outside - self._since)

    def _closing(self) -> bool:
        """Whether the test split is open: no round follows, whatever was planned."""
        return any(split == "test" for _, split in list(self._answered))

    def _rounds_left(self) -> int:
        return 0 if self._closing() else self._rounds - max(self._collected, self._trainings.iteration)

    def _answers_left(self) -> int:
        rounds, learns_from = self._rounds, methods.get_method(self._config.method).learns_from(self._config)
        known = self._closing() or len(self._accuracy) > rounds
        best = max(list(self._accuracy), key=lambda iteration: self._accuracy[iteration]) if known else rounds
        wanted: set[Answers] = {(None, "test"), (0, "test"), (best, "test")}
        if not self._closing():
            wanted |= {(iteration, "validation") for iteration in (None, *range(rounds + 1))}
            wanted |= {(iteration, "train") for iteration in range(rounds) if "train" in learns_from}
        return sum(self._unanswered(answers) for answers in wanted)

    def _unanswered(self, answers: Answers) -> int:
        data, split = self._config.data, answers[1]
        sizes = {"train": data.train_size, "validation": data.validation_size, "test": data.test_size}
        return sizes[split] - self._answered.get(answers, 0)
