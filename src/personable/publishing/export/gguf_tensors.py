"""A model's weights as GGUF stores them: names, layout and type of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from transformers.pytorch_utils import Conv1D

from personable.errors import BadBase
from personable.publishing.export.forms import Quantization

ARCHITECTURES = {"gpt2": gguf.MODEL_ARCH.GPT2, "llama": gguf.MODEL_ARCH.LLAMA}
"""What can be written, by the `model_type` of config.json."""

_Q8_BLOCK = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType.Q8_0][0]
_HALF = {Quantization.F32: gguf.GGMLQuantizationType.F32, Quantization.F16: gguf.GGMLQuantizationType.F16}


def tensors_of(model: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """GGUF name and float32 array of every weight, each stored once: a head tied to the embeddings is left out.

    Matrices are (out, in). Raises BadBase for a weight that llama.cpp has no place for.
    """
    config = model.config
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    transposed = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Conv1D)}
    head, embeddings = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and head is embeddings:
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise BadBase(
                f"expected the weights of a plain {config.model_type}, found {name}, which GGUF has no name for."
            )
        array = (weight.t() if name in transposed else weight).float().contiguous().numpy()
        if config.model_type == "llama":
            array = _rotated_in_pairs(name, array, config)
        yield known, array


def _rotated_in_pairs(name: str, array: NDArray[np.float32], config: Any) -> NDArray[np.float32]:
    """Queries and keys with the rows of each head in the order of llama.cpp, which rotates neighbours, not halves."""
    if ".q_proj." in name:
        heads = config.num_attention_heads
    elif ".k_proj." in name:
        heads = config.num_key_value_heads
    else:
        return array
    paired = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return np.ascontiguousarray(paired.swapaxes(1, 2).reshape(array.shape))


def stored_type(name: str, array: NDArray[np.float32], quantization: Quantization) -> gguf.GGMLQuantizationType:
    """The type llama.cpp's own converter gives a tensor."""
    if array.ndim < 2 or name == "position_embd.weight":
        return gguf.GGMLQuantizationType.F32
    if quantization is Quantization.Q8_0:
        fits = array.shape[-1] % _Q8_BLOCK == 0
        return gguf.GGMLQuantizationType.Q8_0 if fits else gguf.GGMLQuantizationType.F16
    return _HALF[quantization]
