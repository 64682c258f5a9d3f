"""The command line."""

from selfsup_lifting.cli.commands import main as main
