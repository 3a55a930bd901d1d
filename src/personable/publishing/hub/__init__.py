"""Run folder -> the Hugging Face Hub: checks, one commit, a Space."""
