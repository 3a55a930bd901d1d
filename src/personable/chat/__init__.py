"""The terminal: a conversation and its screen."""

from personable.chat.entry import chat

__all__ = ["chat"]
