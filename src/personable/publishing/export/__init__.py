"""Run folder -> what other engines open."""
