"""Run folder -> model card, exports, the Hub."""
