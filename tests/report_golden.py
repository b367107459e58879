"""Reports as files that are looked at before they are committed."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FORMS", "is_as_it_was"]

FORMS = Path(__file__).parent / "golden" / "report_forms"


def is_as_it_was(name: str, shown: str) -> None:
    """KTRIAL_UPDATE_GOLDEN=1 writes the file anew: look at it before committing."""
    path = FORMS / name
    if os.environ.get("KTRIAL_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text()
