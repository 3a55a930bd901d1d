"""Scripts for those who work on Personable; nothing of them is installed."""
