"""How text is cut before byte-level BPE merges it, by the names that GGUF files use (`tokenizer.ggml.pre`).

transformers reads a GGUF file's tokens and merges but not this name, and cuts as GPT-2 does whatever it says.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
BY_NAME: dict[str, tuple[dict[str, Any], ...]] = {"gpt-2": (_BYTES,), "smollm": (_DIGITS, _BYTES)}
"""Name -> steps, as tokenizer.json holds them. SmolLM's cuts numbers into digits."""


def restore_pre_tokenizer(tokenizer: Any, file: Path) -> Any:
    """The tokenizer that transformers made of a GGUF file, cutting text as the file says.

    A name that is not known here is warned of: text may then become other tokens than the model was trained on.
    """
    import gguf

    field = gguf.GGUFReader(file).get_field("tokenizer.ggml.pre")
    name = field.contents() if field else "gpt-2"
    if name not in BY_NAME:
        log.warning("%s: its pre-tokenizer %r is not known here; text is cut as GPT-2 does", file.name, name)
        return tokenizer
    steps = BY_NAME[name]
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    settings["pre_tokenizer"] = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": list(steps)}
    tokenizer.backend_tokenizer.pre_tokenizer = (
        type(tokenizer.backend_tokenizer).from_str(json.dumps(settings)).pre_tokenizer
    )
    return tokenizer
