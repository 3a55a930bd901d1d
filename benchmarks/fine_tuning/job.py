"""What a measuring process is asked to do: a JSON file on the way in, another on the way out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

ROW_TOKENS = 1024
DIALOGUES_PER_ROW = 4
"""ConvAI2 dialogues have some 255 tokens, so a row of 1024 holds four."""


class Variant(StrEnum):
    """A way of fine-tuning."""

    CLASSIC = "classic"
    """One example per reply with its whole history, padded to the longest of the data, as TransferTransfo's train.py
    pads its dataset; plain Trainer, logits of all tokens."""
    CLASSIC_DYNAMIC = "classic_dynamic"
    """The same, padded to the longest of each micro-batch only."""
    TRL_TUNED = "trl_tuned"
    """SFTTrainer with packing (bfd); bf16 and gradient checkpointing off on a CPU."""
    TRL_DEFAULTS = "trl_defaults"
    """SFTTrainer as it comes: bf16, gradient checkpointing, no packing."""
    TRL_BF16 = "trl_bf16"
    """trl_tuned in bf16: tuned further where the processor computes it."""
    PERSONABLE = "personable"
    PERSONABLE_LORA = "personable_lora"
    """r 16, all linear layers."""
    PERSONABLE_DROPOUT = "personable_dropout"
    """With dropout 0.1."""
    PERSONABLE_BF16 = "personable_bf16"
    """What a recipe gets by default where the processor computes bf16."""

    @property
    def needs_peers(self) -> bool:
        """Whether it runs in the environment that `make bench-peers` makes."""
        return self in (Variant.TRL_TUNED, Variant.TRL_DEFAULTS, Variant.TRL_BF16)


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement."""

    variant: Variant
    base: str
    """A model folder, or another spec of a base."""
    data: Path
    """A folder that `material` wrote."""
    device: str
    """`cpu` or `cuda`."""
    dialogues_per_step: int = DIALOGUES_PER_ROW
    replies_per_batch: int = 4
    """Examples of a micro-batch, for the classic variants."""
    padded_tokens: int = ROW_TOKENS
    """What the classic variant pads to."""
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    dropout: float = 0.0
    lora: bool = False
    bf16: bool = False
    """For all variants; always so on a GPU."""
    seed: int = 0
    steps: int = 1
    """Optimiser steps on the later dialogues, after one on the first."""
    marks: tuple[float, ...] = ()
    """Seconds of training after which validation perplexity is measured; the last ends it. Empty: speed is measured."""

    @property
    def computes_bf16(self) -> bool:
        """Whether matrix products are taken in bf16; what TRL's defaults do is theirs."""
        return self.bf16 or self.device == "cuda" or self.variant in (Variant.TRL_BF16, Variant.PERSONABLE_BF16)

    @property
    def rows_per_step(self) -> int:
        """Rows of 1024 tokens with as many dialogues."""
        return max(self.dialogues_per_step // DIALOGUES_PER_ROW, 1)


def write_job(job: Job, path: Path) -> None:
    """The job as JSON."""
    path.write_text(json.dumps(asdict(job) | {"data": str(job.data)}), encoding="utf-8")


def read_job(path: Path) -> Job:
    """What `write_job` wrote."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    kept = {"variant": Variant(fields["variant"]), "data": Path(fields["data"]), "marks": tuple(fields["marks"])}
    return Job(**(fields | kept))
