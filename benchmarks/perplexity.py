"""Reply perplexity of a base or run on dialogues: per token of reply and turn end, token-weighted.

python benchmarks/perplexity.py starter ../shared/data/convai2/valid_self_original.txt.xz
python benchmarks/perplexity.py starter ../shared/data/convai2/valid_self_original.txt.xz --detokenise
"""

from __future__ import annotations

import argparse
import json
import random

from personable.base import load_base
from personable.corpus import fingerprint, read_dialogues
from personable.encoding import Budget, encode_dialogue
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.likelihood import reply_surprise


def main() -> None:
    """Parses the command line and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("path")
    parser.add_argument("--detokenise", action="store_true", help="mend the spaced punctuation of ConvAI2 text first")
    parser.add_argument("--dialogues", type=int, help="a seeded sample of this many")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dialogues = list(read_dialogues(given.path, detokenise=given.detokenise).dialogues)
    if given.dialogues is not None and given.dialogues < len(dialogues):
        dialogues = random.Random(given.seed).sample(dialogues, given.dialogues)
    base = load_base(given.base)
    budget = Budget(base.context_tokens)
    # Like lengths together; the result does not depend on it.
    encoded = sorted(
        (encode_dialogue(one, base.tokenizer, budget) for one in dialogues), key=lambda one: len(one.input_ids)
    )
    collate = Collator(pad_id_of(base.tokenizer))
    found = reply_surprise(base.model, (collate(encoded[start : start + 8]) for start in range(0, len(encoded), 8)))
    result = {
        "base": given.base,
        "data": given.path,
        "fingerprint": fingerprint(dialogues),
        "detokenised": given.detokenise,
        "dialogues": len(dialogues),
        "dialogues_with_dropped_turns": sum(one.dropped_turns > 0 for one in encoded),
        "replies": sum(len(one.replies) for one in dialogues),
        "scored_tokens": found.tokens,
        "reply_perplexity": round(found.perplexity, 3),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
