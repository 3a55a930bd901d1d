"""Run and dialogue -> reply."""

from personable.reply.bot import Bot, FinishReason, Piece, load
from personable.reply.sampling import Sampling

__all__ = ["Bot", "FinishReason", "Piece", "Sampling", "load"]
