"""training.json, metrics.jsonl and evaluation.json -> the model card."""
