"""A model as one GGUF file, with everything an engine needs to chat with it: weights, tokenizer, template, sampling."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf

from personable.base import Base
from personable.encoding import turn_end_ids
from personable.encoding.batches import pad_id_of
from personable.encoding.template import chat_template_of
from personable.errors import BadBase
from personable.publishing.export.forms import Quantization
from personable.publishing.export.gguf_tensors import ARCHITECTURES, stored_type, tensors_of
from personable.publishing.export.gguf_vocabulary import vocabulary_of
from personable.reply.sampling import sampling_defaults

_FILE_TYPES = {
    Quantization.F32: gguf.LlamaFileType.ALL_F32,
    Quantization.F16: gguf.LlamaFileType.MOSTLY_F16,
    Quantization.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}
_TANH_GELU = frozenset({"gelu_new", "gelu_pytorch_tanh", "gelu_fast"})
"""Names for the one approximation of GELU that llama.cpp computes for GPT-2."""


def write_gguf(
    base: Base,
    file: Path,
    *,
    quantization: Quantization = Quantization.F16,
    name: str,
    licence: str | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Writes `base` as a GGUF file.

    name: what engines show.   licence: an SPDX name.   tell: called with (tensors converted, of how many).
    Raises BadBase for an architecture or a tokenizer that llama.cpp would compute otherwise.
    """
    _check(base)
    with closing(gguf.GGUFWriter(file, base.model.config.model_type)) as writer:
        _add_general(writer, base, quantization, name, licence)
        _add_shape(writer, base)
        _add_tokenizer(writer, base)
        tensors = list(tensors_of(base.model))
        for done, (tensor_name, array) in enumerate(tensors, start=1):
            kind = stored_type(tensor_name, array, quantization)
            writer.add_tensor(tensor_name, gguf.quants.quantize(array, kind), raw_dtype=kind)
            tell(done, len(tensors))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def _check(base: Base) -> None:
    config = base.model.config
    if config.model_type not in ARCHITECTURES:
        raise BadBase(
            f"expected an architecture that can be written as GGUF here ({', '.join(ARCHITECTURES)}), found "
            f"{config.model_type} in {base.spec!r}. Next: export --to safetensors, and convert that folder with "
            "llama.cpp's convert_hf_to_gguf.py."
        )
    if config.model_type == "gpt2":
        expected = {
            "activation_function": config.activation_function in _TANH_GELU,
            "scale_attn_weights": config.scale_attn_weights,
            "scale_attn_by_inverse_layer_idx": not config.scale_attn_by_inverse_layer_idx,
            "add_cross_attention": not config.add_cross_attention,
        }
    else:
        expected = {
            "hidden_act": config.hidden_act == "silu",
            "rope_parameters": config.rope_parameters["rope_type"] == "default",
            "attention_bias": not config.attention_bias,
            "mlp_bias": not config.mlp_bias,
        }
    for setting, plain in expected.items():
        if not plain:
            raise BadBase(
                f"expected a plain {config.model_type}, found {setting} {getattr(config, setting)!r} in {base.spec!r}, "
                "which cannot be written as GGUF here. Next: export --to safetensors, and convert that folder with "
                "llama.cpp's convert_hf_to_gguf.py."
            )


def _add_general(
    writer: gguf.GGUFWriter, base: Base, quantization: Quantization, name: str, licence: str | None
) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    writer.add_file_type(_FILE_TYPES[quantization])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    sampling = sampling_defaults(base.model.generation_config, base.context_tokens)
    writer.add_sampling_temp(sampling.temperature)
    writer.add_sampling_top_k(sampling.top_k)
    writer.add_sampling_top_p(sampling.top_p)
    writer.add_sampling_min_p(sampling.min_p)  # llama.cpp's own default would leave tokens out
    writer.add_sampling_penalty_repeat(sampling.repetition_penalty)
    writer.add_sampling_penalty_last_n(-1)  # over all of the context, as everywhere else


def _add_shape(writer: gguf.GGUFWriter, base: Base) -> None:
    config = base.model.config
    writer.add_context_length(base.context_tokens)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_vocab_size(config.vocab_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def _add_tokenizer(writer: gguf.GGUFWriter, base: Base) -> None:
    tokenizer: Any = base.tokenizer
    vocabulary = vocabulary_of(tokenizer, base.model.get_input_embeddings().num_embeddings)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    ends = turn_end_ids(tokenizer)
    eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(ends)
    writer.add_eos_token_id(eos)
    # Engines stop at either; where the template closes replies with another token than EOS, that one is meant.
    writer.add_eot_token_id(min(ends - {eos}, default=eos))
    writer.add_pad_token_id(pad_id_of(tokenizer))
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(False)  # what the template does not write is not there
    writer.add_add_eos_token(False)
    writer.add_chat_template(chat_template_of(tokenizer))
