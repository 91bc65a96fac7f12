"""Which token has the highest score: `argmax` is slow on a CPU (pytorch#140000), and `amax` is not.

So of blocks of the vocabulary the one with the highest score is looked for, and then the token in that one alone.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BLOCK = 128  # scores, of which vocabularies are mostly a multiple


def likeliest(scores: "torch.Tensor") -> "torch.Tensor":
    """The first token with the highest score of each row, as by `argmax`.

    Args:
        scores: rows, vocabulary.

    Returns:
        Integers, one a row.
    """
    import torch

    if scores.device.type != "cpu" or scores.shape[1] % BLOCK:
        return scores.argmax(-1)
    blocks = scores.reshape(len(scores), -1, BLOCK)
    highest = blocks.amax(-1).argmax(-1)
    return highest * BLOCK + blocks[torch.arange(len(scores), device=scores.device), highest].argmax(-1)
