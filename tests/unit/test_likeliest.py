"""The likeliest token is argmax's, ties and broken scores included."""

import pytest

pytest.importorskip("torch")

import torch

from pada_graph.student.likeliest import BLOCK, likeliest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("vocabulary", [BLOCK, 10 * BLOCK, 10 * BLOCK + 1])
def test_the_likeliest_token_is_that_of_argmax_the_first_of_equal_ones(vocabulary, dtype):
    drawn = torch.Generator().manual_seed(0)
    scores = torch.randn(64, vocabulary, generator=drawn)
    equal = torch.randint(0, 3, (64, vocabulary), generator=drawn)
    hidden = torch.full((64, vocabulary), -torch.inf)
    hidden[:, -1] = scores[:, -1]
    broken = scores.clone()
    broken[::2, vocabulary // 2], broken[::3, vocabulary // 3] = torch.nan, torch.inf
    nothing = torch.full((64, vocabulary), -torch.inf)
    last = torch.randn(64, 3, vocabulary, generator=drawn)[:, -1]  # as a model's scores: with gaps between the rows
    for rows in (some.to(dtype) for some in (scores, equal, hidden, broken, nothing, last)):
        assert likeliest(rows).tolist() == rows.argmax(-1).tolist()
        assert likeliest(rows).tolist() == rows.float().numpy().argmax(-1).tolist()
