"""The student answers, in this process, greedily: many prompts at a time (decoding.py).

Text is exactly what one prompt at a time would give in float32; in bfloat16 padding may flip a near-tie
(transformers#25921). Training and inference use the same dtype, and adapters are never merged into the base.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pada_graph import stopping
from pada_graph.config import Student
from pada_graph.services import Completion
from pada_graph.student import decoding, manifest, models, packing, render


class TransformersPredictor:
    """Answers with the base model or with one adapter on top of it. The base is loaded once, at the first call.

    Safe to call from several threads: batches take turns, and each finds its own adapter in place.
    """

    def __init__(self, student: Student):
        self._student = student
        self._lock = threading.Lock()
        self._base: Any = None
        self._tokenizer: Any = None
        self._ends: list[int] = []
        self._model: Any = None  # the base, or the base inside a PeftModel
        self._adapter: tuple[Path, str] | None = (
            None  # where it lies, and its manifest's sha256: a path may be retrained
        )

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        """Answer every prompt, longest first; completions come some at a time, as rows end.

        A text holds no special tokens and no surrounding whitespace, and ends before the first of the `stop` strings
        in it; whitespace before anything else ends nothing.

        Raises:
            InputError: the model cannot be loaded.
            StoppedError: the adapter is damaged, or another base model's or rank's; or the session has to stop.
        """
        with self._lock:
            self._load()
            wanted = None if adapter is None else self._identify(adapter)
            encoded = [render.prompt_ids(self._tokenizer, prompt) for prompt in prompts]
            turns = self._answer(encoded, max_new_tokens, tuple(stop))
        while True:
            with self._lock:
                self._load()  # it may have been released meanwhile
                self._use(wanted)
                ended = next(turns, None)
            if ended is None:
                return
            for index, answer in ended:
                yield Completion(index, *self._read(answer, max_new_tokens, stop))

    def release(self) -> None:
        """Give a GPU's memory back, which the next training needs; the base is loaded anew for the next prompts."""
        with self._lock:
            if self._base is None or self._base.device.type == "cpu":
                return
            device, self._base, self._model, self._adapter = self._base.device.type, None, None, None
            models.give_back(device)

    def _load(self) -> None:
        if self._base is not None:
            return
        from transformers import GenerationConfig

        path = models.resolve(self._student.model)
        self._tokenizer = models.load_tokenizer(path)
        self._ends = models.end_ids(path, self._tokenizer)
        base = models.load_base(path, models.choose_dtype(self._student.dtype)).to(models.device()).eval()
        if decoding.can_decode(base):  # others may write into their weights (RWKV, Gemma 3n)
            packing.pack(base)
        # A model's own defaults (temperature, repetition penalty) do not apply: decoding is greedy.
        base.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=self._ends, pad_token_id=self._tokenizer.pad_token_id
        )
        self._base = self._model = base

    def _identify(self, adapter: Path) -> tuple[Path, str]:
        manifest.check(adapter, self._student.model, self._student.lora.model_dump())
        return adapter, manifest.file_sha256(adapter / manifest.MANIFEST)

    def _use(self, adapter: tuple[Path, str] | None) -> None:
        """Put an adapter on the base, or take it off; the base's weights are never touched."""
        if adapter == self._adapter:
            return
        if self._adapter is not None:
            self._base = self._model = self._model.unload()
            self._adapter = None
        if adapter is not None:
            self._model = models.with_adapter(self._base, adapter[0])
            self._adapter = adapter

    def _answer(
        self, prompts: list[list[int]], limit: int, stop: tuple[str, ...]
    ) -> Iterator[list[tuple[int, list[int]]]]:
        """Indices and new tokens, some at a time; with `generate` a row goes on after its end."""
        together, room = self._student.inference.batch_size, decoding.cached_tokens(self._base)
        if decoding.can_decode(self._base):
            stopped = _StopStrings(self._tokenizer, stop)
            decoder = decoding.Decoder(
                self._forward,
                together=together,
                room=room,
                read_tokens=decoding.tokens_at_once(self._base),
                limit=limit,
                ends=self._ends,
                stopped=stopped,
                device=self._base.device,
            )
            yield from decoder.answer(prompts)
            return
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        while order:
            count = min(together, max(1, room // (len(prompts[order[0]]) + limit)))
            indices, order = order[:count], order[count:]
            answers = self._generate([prompts[index] for index in indices], limit, stop)
            yield list(zip(indices, answers, strict=True))

    def _forward(self, **inputs: Any) -> Any:
        stopping.check()  # at every step: with many rows in flight the first answer may take minutes
        return self._model(**inputs)

    def _generate(self, rows: list[list[int]], limit: int, stop: tuple[str, ...]) -> list[list[int]]:
        """Transformers' own loop, for models whose cache is not the plain one."""
        import torch

        width = max(len(row) for row in rows)
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self._base.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self._base.device)
        stopped = _StopStrings(self._tokenizer, stop)

        def criterion(input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            stopping.check()
            return torch.tensor(stopped(input_ids[:, width:].tolist()), device=input_ids.device)

        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=limit,
                stopping_criteria=[criterion],
            )
        answers: list[list[int]] = output[:, width:].tolist()
        return answers

    def _read(self, row: list[int], max_new_tokens: int, stop: Sequence[str]) -> tuple[str, bool]:
        length = next((place for place, token in enumerate(row) if token in self._ends), len(row))
        text = self._tokenizer.decode(row[:length], skip_special_tokens=True).lstrip()
        cut = min((place for string in stop if (place := text.find(string)) >= 0), default=None)
        truncated = cut is None and length == max_new_tokens
        return text[:cut].strip(), truncated


class _StopStrings:
    """Says of answers so far which hold a stop string: looks at the tokens in which it could have ended now."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]):
        self._tokenizer, self._stop = tokenizer, stop
        self._tail = max((len(string.encode()) for string in stop), default=0) + 1  # a token writes at least one byte

    def __call__(self, answers: list[list[int]]) -> list[bool]:
        if not self._stop:
            return [False] * len(answers)
        tails = self._decode([answer[-self._tail :] for answer in answers])
        return [
            self._holds(tail) and self._holds(self._decode([answer])[0].lstrip())
            for tail, answer in zip(tails, answers, strict=True)
        ]

    def _decode(self, answers: list[list[int]]) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return texts

    def _holds(self, text: str) -> bool:
        return any(string in text for string in self._stop)
