"""The command `ktrial`, before anything else is loaded: Ctrl-C is no traceback in the first second either."""

from __future__ import annotations

import sys

from harness.errors import ExitCode

__all__ = ["main"]


def main() -> None:
    """Run `ktrial`."""
    try:
        from harness.cli import main as ktrial
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    ktrial()
