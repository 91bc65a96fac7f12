"""When a run will be done: measured speeds times what is left."""

from typing import Any

from pada_graph import methods
from pada_graph.config import RunConfig

Event = dict[str, Any]


class Forecast:
    """Expected time: measured seconds per trained row, per answer and per round, times what is left of each."""

    def __init__(self, config: RunConfig):
        self.config = config
        self.row = self.answer = self.round = 0.0
        self.began: dict[str, float] = {}
        self.answering: dict[tuple[int | None, str], tuple[float, int]] = {}  # first event of each: time, answers
        self.tested: dict[int | None, int] = {}  # test answers of each model
        self.fitted = self.iteration = 0  # rows and number of the newest training

    def take(self, event: Event) -> None:
        """Measure from one event."""
        match event:
            case {"event": "fine_tune", "train_rows": rows, "synthetic_rows": synthetic, "time": moment}:
                self.fitted, self.began["training"], self.iteration = rows + synthetic, moment, event["iteration"]
            case {"event": "training", "step": step, "steps": steps, "time": moment} if step == steps:
                self.row = (moment - self.began["training"]) / self.fitted
            case {"event": "predicting", "iteration": iteration, "split": split, "done": done, "time": moment}:
                first_moment, first_done = self.answering.setdefault((iteration, split), (moment, done))
                if done > first_done:
                    self.answer = (moment - first_moment) / (done - first_done)
                if split == "test":
                    self.tested[iteration] = done
            case {"event": "select_errors", "time": moment}:
                self.began["round"] = moment
            case {"event": "collect_batches", "time": moment}:
                self.round = moment - self.began.get("round", moment)

    def seconds_left(self, now: Event) -> float | None:
        """Seconds to the end of the run; None until each stage that is to come was measured, and after the end."""
        config, iteration = self.config, self.iteration
        data, rounds = config.data, methods.rounds(config)
        train_size = data.train_size * ("train" in methods.get_method(config.method).learns_from(config))
        unmeasured = not self.row or not self.answer or (iteration < rounds and not self.round)
        if unmeasured or now["event"] == "finalize":
            return None
        grown = config.generation.ratio * data.train_size
        training = sum(data.train_size + grown * t for t in range(iteration + 1, rounds + 1))
        answers = (rounds - iteration) * data.validation_size + max(0, rounds - 1 - iteration) * train_size
        answers += max(0, data.test_size * (3 if rounds else 2) - sum(self.tested.values()))
        if now["event"] == "training":
            training += self.fitted * (1 - now["step"] / now["steps"])
            answers += data.validation_size + train_size * (iteration < rounds)
        return training * self.row + answers * self.answer + max(0, rounds - iteration) * self.round
