"""What one check of the machine found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "Finding", "State"]


class State(StrEnum):
    OK = "ok"
    MISSING = "missing"  # not there, and ktrial does not work without it
    BROKEN = "broken"  # there, and does not do what it should
    OPTIONAL_MISSING = "optional-missing"  # ktrial works without it: slower, or with less to show

    @property
    def stops(self) -> bool:
        """ktrial cannot run like this."""
        return self in (State.MISSING, State.BROKEN)


@dataclass(frozen=True)
class Finding:
    """What a look at one thing gave. found: its version, its path, or what was seen. advice: what to do about it."""

    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that ktrial needs, as it was found on this machine.

    why: what ktrial does with it. packages: those of Debian and Ubuntu that bring it. advice: what to do where no
    package helps, as a sentence; "" where nothing is to be done.
    """

    name: str
    state: State
    found: str
    why: str
    packages: tuple[str, ...] = ()
    advice: str = ""
