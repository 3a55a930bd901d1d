"""How the dialogues of one run become token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from personable.dialogue import Dialogue
from personable.encoding import Budget, EncodedDialogue, encode_dialogue


@dataclass(frozen=True, slots=True)
class Layout:
    """How dialogues are laid out for one run."""

    tokenizer: Any
    budget: Budget
    learn_partner: bool = False

    def encode(self, dialogue: Dialogue) -> EncodedDialogue:
        """See `encode_dialogue`."""
        return encode_dialogue(dialogue, self.tokenizer, self.budget, learn_partner=self.learn_partner)
