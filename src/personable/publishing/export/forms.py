"""What a run can be exported as. Standard library only, so that `--help` never waits."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """What an export is."""

    GGUF = "gguf"
    """One file for llama.cpp, Ollama and LM Studio, NAME.gguf, and NAME.Modelfile for Ollama beside it."""
    SAFETENSORS = "safetensors"
    """A plain model folder for transformers, vLLM, SGLang."""


class Quantization(StrEnum):
    """How a GGUF file stores its matrices; vectors and position embeddings are float32 in each."""

    F32 = "f32"
    """Exact."""
    F16 = "f16"
    """Half the size."""
    Q8_0 = "q8_0"
    """A quarter: 8 bits a weight and a scale for every 32; float16 where a row is no multiple of 32."""
