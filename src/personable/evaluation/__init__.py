"""Run and dialogues -> numbers that can be trusted."""
