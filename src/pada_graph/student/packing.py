"""Weights laid out once as oneDNN multiplies them, for answers on a CPU.

In float32 PyTorch has MKL do such products, in bfloat16 oneDNN; both lay a weight out anew for each: where rows are few
and the vocabulary is large, that took longer than the product, in a profile by hand. The two operators are what
torch.compile puts in the place of a frozen layer whose number of rows is not known beforehand
(torch/_inductor/fx_passes/mkldnn_fusion.py).
"""

from functools import cache
from typing import Any


def pack(model: Any) -> None:
    """Replace the linear layers of a model in place, one by one, if oneDNN multiplies its type on this CPU.

    The model can take adapters and answer afterwards, but neither be trained nor saved. It takes as much memory as
    before, and once more its vocabulary where the embedding shares the head's weight.
    """
    import torch

    if model.device.type != "cpu" or not _multiplies(model.dtype):
        return
    names = [name for name, layer in model.named_modules() if type(layer) is torch.nn.Linear]
    for name in names:
        parent, _, place = name.rpartition(".")
        setattr(model.get_submodule(parent), place, _packed_linear()(model.get_submodule(name)))


def _multiplies(dtype: Any) -> bool:
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def _packed_linear() -> Any:
    import torch

    class PackedLinear(torch.nn.Linear):
        """A linear layer that is frozen; PEFT takes it for any other."""

        def __init__(self, layer: torch.nn.Linear):
            torch.nn.Module.__init__(self)
            self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
            self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach()))

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
            return result

    return PackedLinear
