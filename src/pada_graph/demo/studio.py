"""The configuration of Studio's demo graph: a minute or two instead of ten, because the student is tiny and random."""

from pada_graph.config import (
    Data,
    Generation,
    Inference,
    Model,
    Models,
    Patterns,
    Student,
    Training,
)
from pada_graph.studio import StudioConfig

RULES = Model(model="builtin:rules", temperature=None)


class TinyDemo(StudioConfig):
    """RunConfig with offline defaults. It shows the machinery; the student is too small to learn the task."""

    task: str = "demo"
    iterations: int = 1
    data: Data = Data(source="builtin:demo", train_size=24, validation_size=12, test_size=12)
    student: Student = Student(model="builtin:tiny", training=Training(epochs=1), inference=Inference(max_new_tokens=8))
    models: Models = Models(analyst=RULES, generator=RULES, judge=RULES)
    patterns: Patterns = Patterns(embedder="builtin:minilm")
    generation: Generation = Generation(batch_size=4)
