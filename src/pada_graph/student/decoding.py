"""Greedy decoding of many prompts: rows that end make room for others, and what all prompts begin with is read once.

The tokens are those of transformers' `generate`, which keeps a batch together until its last row ends and copies the
whole key-value cache at every step. Here rows lie right-aligned in a cache with free columns, so that a step writes in
place and a new row can join at any step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from pada_graph.student.likeliest import likeliest

if TYPE_CHECKING:
    import torch
    from transformers.cache_utils import Cache

    Layers = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each layer: rows, heads, columns, size

FREE_COLUMNS = 64  # steps between two copies of the cache
REFILL = 4  # rows that ended are taken out, and others let in, once they are this part of all
READ_TOKENS = 2048  # of prompts, at once, which bounds what their layers' results take
FLOAT32_READ_TOKENS = 512  # they keep a CPU busy in float32, and fewer rows at once are less padded
CACHE_BYTES = 2 << 30  # of the keys and values of all rows in flight


@dataclass
class Row:
    """One prompt on its way to an answer."""

    index: int
    prompt: list[int]  # without the head that all prompts share
    answer: list[int] = field(default_factory=list)  # its last token is not in the cache yet
    ended: bool = False


@dataclass
class _Part:
    """Some rows' keys and values, and which columns each row sees."""

    layers: "Layers"
    seen: "torch.Tensor"  # bool: rows, columns


def can_decode(model: Any) -> bool:
    """Whether a model works with rows that lie anywhere in a cache.

    It does if each layer caches keys and values of all tokens (no window, no recurrent state), and if what a token is
    depends on the positions it is given alone, not on its column or on how long other rows are.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    rotary = str(getattr(model.config, "rope_parameters", None) or getattr(model.config, "rope_scaling", None))
    return (
        {"position_ids", "past_key_values"} <= signature(model.forward).parameters.keys()
        and "local" not in (getattr(model.config, "attention_layers", None) or ())  # GPT-Neo's windows, of columns
        and not any(kind in rotary for kind in ("dynamic", "longrope"))
        and all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    )


def cached_tokens(model: Any) -> int:
    """How many tokens' keys and values fit into CACHE_BYTES; at least so many where layers keep a window or a state."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1)
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    return int(CACHE_BYTES // (2 * config.num_hidden_layers * shared * width * model.dtype.itemsize))


def tokens_at_once(model: Any) -> int:
    """How many tokens of prompts are read at once."""
    import torch

    in_float32 = model.device.type == "cpu" and model.dtype == torch.float32
    return FLOAT32_READ_TOKENS if in_float32 else READ_TOKENS


@cache
def _roomy_layer() -> Any:
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[misc]
        """A layer's cache with free columns behind those that are written."""

        def __init__(self, keys: "torch.Tensor", values: "torch.Tensor", written: int):
            super().__init__()
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
            self.room = keys, values
            self.keys, self.values = keys[:, :, :written], values[:, :, :written]

        def update(
            self, key_states: "torch.Tensor", value_states: "torch.Tensor", *_: Any, **__: Any
        ) -> "tuple[torch.Tensor, torch.Tensor]":
            """Write the next columns in place."""
            start = self.keys.shape[2]
            end = start + key_states.shape[2]
            keys, values = self.room
            keys[:, :, start:end], values[:, :, start:end] = key_states, value_states
            self.keys, self.values = keys[:, :, :end], values[:, :, :end]
            return self.keys, self.values

    return RoomyLayer


def shared_head(prompts: Sequence[list[int]]) -> list[int]:
    """What all prompts begin with; each keeps at least one token of its own."""
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*(prompt[:-1] for prompt in prompts), strict=False))
    return [column[0] for column in alike]


class Decoder:
    """Answers prompts with at most `together` of them in flight.

    Args:
        model: what computes; called anew at every step, for another adapter may have been on it meanwhile.
        together: rows in flight at most.
        room: tokens in the cache at most, but for a row that alone has more.
        read_tokens: of prompts, at once.
        limit: tokens of an answer at most.
        ends: tokens that end an answer.
        stopped: which of some answers so far hold a stop string.
        device: where the model is.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        together: int,
        room: int,
        read_tokens: int,
        limit: int,
        ends: Sequence[int],
        stopped: Callable[[list[list[int]]], list[bool]],
        device: "torch.device",
    ):
        self._model, self._together, self._room, self._limit = model, together, room, limit
        self._ends, self._stopped, self._device = frozenset(ends), stopped, device
        self._read_tokens = read_tokens
        self._rows: list[Row] = []  # in flight
        self._cache: Cache | None = None  # of the rows in flight
        self._seen: torch.Tensor  # bool: rows, columns written or free

    def answer(self, prompts: Sequence[list[int]]) -> Iterator[list[tuple[int, list[int]]]]:
        """Answer all prompts, longest first; their indices and answers come some at a time, as rows end."""
        import torch

        shared = shared_head(prompts)
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        waiting = [Row(index, prompts[index][len(shared) :]) for index in order]
        head: _Part | None = None
        while waiting or self._rows:
            with torch.inference_mode():
                if shared and head is None:
                    head, _ = self._read([Row(-1, shared)], None)
                ended = self._pack(self._let_in(waiting, head))
                while self._rows and not self._is_time_to_pack():
                    self._step()
            yield [(row.index, row.answer) for row in ended]

    def _is_time_to_pack(self) -> bool:
        ended = sum(row.ended for row in self._rows)
        return ended * REFILL >= len(self._rows) or self._written() == self._seen.shape[1]

    def _let_in(self, waiting: list[Row], head: _Part | None) -> list[_Part]:
        """Read prompts, those at the end first, until no more rows fit; each gets its first token."""
        parts = []
        while group := self._group(waiting, 0 if head is None else head.seen.shape[1]):
            part, tokens = self._read(group, head)
            self._note(group, tokens)
            self._rows += group
            parts.append(part)
        return parts

    def _group(self, waiting: list[Row], head: int) -> list[Row]:
        """The next rows to be read at once, taken from the end of `waiting`."""
        going = [row for row in self._rows if not row.ended]
        group: list[Row] = []
        while waiting:
            rows = [*going, *group, waiting[-1]]
            columns = max(head + len(row.prompt) for row in rows) + self._limit
            full = len(rows) > self._together or len(rows) * columns > self._room
            if (full and len(rows) > 1) or (group and (len(group) + 1) * len(group[0].prompt) > self._read_tokens):
                break
            group.append(waiting.pop())
        return group

    def _read(self, rows: list[Row], head: _Part | None) -> tuple[_Part, list[int]]:
        """Compute the prompts of some rows behind the head; also the token that follows each."""
        import torch
        from transformers.cache_utils import DynamicCache

        width = max(len(row.prompt) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        seen = torch.zeros(len(rows), width, dtype=torch.bool)
        for place, row in enumerate(rows):
            ids[place, width - len(row.prompt) :] = torch.tensor(row.prompt)
            seen[place, width - len(row.prompt) :] = True
        ids, seen = ids.to(self._device), seen.to(self._device)
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache()
        if head is not None:
            for number, (keys, values) in enumerate(head.layers):
                cache.update(*(state.expand(len(rows), -1, -1, -1) for state in (keys, values)), number)
            seen = torch.cat([head.seen.expand(len(rows), -1), seen], dim=1)
            positions = positions + head.seen.shape[1]
        tokens = self._next_tokens(ids, seen, positions, cache)
        return _Part([(layer.keys, layer.values) for layer in cache.layers], seen), tokens

    def _step(self) -> None:
        """Add a token to every answer."""
        import torch

        columns = self._written() + 1
        self._seen[:, columns - 1] = True
        seen = self._seen[:, :columns]
        ids = torch.tensor([row.answer[-1:] for row in self._rows], device=self._device)
        ended = torch.tensor([[row.ended] for row in self._rows], device=self._device)
        positions = (seen.sum(1, keepdim=True) - 1).masked_fill(ended, 0)  # those could leave the model's range
        self._note(self._rows, self._next_tokens(ids, seen, positions, self._cache))

    def _next_tokens(
        self, ids: "torch.Tensor", seen: "torch.Tensor", positions: "torch.Tensor", cache: "Cache"
    ) -> list[int]:
        output = self._model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        tokens: list[int] = likeliest(output.logits[:, -1]).tolist()
        return tokens

    def _note(self, rows: list[Row], tokens: list[int]) -> None:
        """Append to the answers that go on, and see which end here."""
        going = [(row, token) for row, token in zip(rows, tokens, strict=True) if not row.ended]
        for row, token in going:
            row.answer.append(token)
        stopped = self._stopped([row.answer for row, _ in going])
        for (row, token), met in zip(going, stopped, strict=True):
            row.ended = met or token in self._ends or len(row.answer) == self._limit

    def _pack(self, joining: list[_Part]) -> list[Row]:
        """Lay the rows that go on into a new cache, with those that join; return those that ended."""
        import torch
        from transformers.cache_utils import Cache

        parts = [*self._in_flight(), *joining]
        ends = [row.ended for row in self._rows]
        ended = [row for row in self._rows if row.ended]
        self._rows, self._cache = [row for row in self._rows if not row.ended], None
        kept = []
        for part in parts:
            count = part.seen.shape[0]
            going = [place for place in range(count) if not ends[place]]
            del ends[:count]
            if going:
                rows = torch.tensor(going, device=self._device)
                first = int(part.seen[rows].any(0).int().argmax())  # columns before belong to rows that ended
                kept.append((part, rows, first))
        if not kept:
            return ended
        width = max(part.seen.shape[1] - first for part, _, first in kept)
        columns = width + min(FREE_COLUMNS, self._limit)

        def side_by_side(states: list[torch.Tensor]) -> torch.Tensor:
            _, *heads, _, size = states[0].shape
            room = states[0].new_empty(len(self._rows), *heads, columns, size)  # free columns are written before read
            top = 0
            for state, (_, rows, first) in zip(states, kept, strict=True):
                left = width - state.shape[-2] + first
                place, going = room[top : top + len(rows)], state[..., first:, :]
                place[..., :left, :] = 0  # a weight of 0 does not hide what is no number
                place[..., left:width, :] = going if len(rows) == len(state) else going[rows]
                top += len(rows)
            return room

        self._seen = side_by_side([part.seen[..., None] for part, _, _ in kept])[..., 0]
        layers = []
        while kept[0][0].layers:  # one by one, so that the old ones can go
            of_parts = [part.layers.pop(0) for part, _, _ in kept]
            keys, values = (side_by_side([pair[which] for pair in of_parts]) for which in (0, 1))
            layers.append(_roomy_layer()(keys, values, width))
        self._cache = Cache(layers=layers)
        return ended

    def _written(self) -> int:
        return int(self._cache.get_seq_length()) if self._cache else 0

    def _in_flight(self) -> list[_Part]:
        if not self._cache:
            return []
        layers = [(layer.keys, layer.values) for layer in self._cache.layers]
        return [_Part(layers, self._seen[:, : self._written()])]
