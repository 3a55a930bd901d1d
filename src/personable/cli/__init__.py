"""The command line; see `personable.cli.app`."""

from personable.cli.app import app, main

__all__ = ["app", "main"]
