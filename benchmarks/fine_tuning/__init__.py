"""Ways of fine-tuning a base on persona dialogues, each in a process of its own: what the benchmarks compare."""
