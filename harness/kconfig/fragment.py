"""Read Kconfig fragments: settings, each with its reason and a mark where it may be absent.

A fragment is a piece of .config: `CONFIG_X=value` or `# CONFIG_X is not set`. The comment above a setting is its
reason and holds for the settings after it, up to the next comment; a trailing `# ?` marks a setting that may be absent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from harness.errors import ConfigError
from harness.kconfig.model import Fragment, Loss, Reason, Setting
from harness.places import configs_dir

__all__ = ["Request", "conflicts", "fragment_digest", "fragment_names", "load_fragment", "parse_fragment", "requested"]

_SUFFIX = ".config"
_UNSET = re.compile(r"#\s*CONFIG_(\w+) is not set\s*(?P<optional>#\s*\?)?\s*$")
_SET = re.compile(r"CONFIG_(\w+)=(?P<value>\"(?:[^\"\\]|\\.)*\"|[^\s\"#]+)\s*(?P<optional>#\s*\?)?\s*$")
_VALUE = re.compile(r"[ynm]|-?\d+|0[xX][0-9a-fA-F]+|\".*\"", re.DOTALL)


def fragment_names() -> tuple[str, ...]:
    """The fragments that come with ktrial."""
    return tuple(sorted(path.stem for path in configs_dir().glob(f"*{_SUFFIX}")))


def load_fragment(name_or_path: str) -> Fragment:
    """The fragment of that name in `configs/`, or in that file.

    Raises ConfigError where there is none or a line is not a setting.
    """
    shipped = configs_dir() / f"{name_or_path}{_SUFFIX}"
    is_name = "/" not in name_or_path and shipped.is_file()
    path = shipped if is_name else Path(name_or_path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"no Kconfig fragment {name_or_path!r}", detail=str(error), hint=_other_names(name_or_path)
        ) from error
    return Fragment(name_or_path if is_name else str(path), path.resolve(), parse_fragment(text, path))


def fragment_digest(fragment: Fragment) -> str:
    """SHA-256, hex, of what a fragment asks for; its comments and their order do not count."""
    asked = sorted((each.symbol, each.value, each.optional) for each in fragment.settings)
    return hashlib.sha256(repr(asked).encode()).hexdigest()


def parse_fragment(text: str, path: Path) -> tuple[Setting, ...]:
    """The settings of a fragment. path: for errors. Raises ConfigError naming the first bad line."""
    reader = _Reader(path)
    for number, line in enumerate(text.splitlines(), start=1):
        reader.take(number, line.strip())
    return tuple(reader.settings.values())


class _Reader:
    """Goes through a fragment line by line, keeping the comment that is the reason for the next settings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings: dict[str, Setting] = {}
        self.reason: list[str] = []
        self.in_comment = False

    def take(self, number: int, line: str) -> None:
        if match := _UNSET.match(line):
            self._add(number, match, "n")
        elif line.startswith("#"):
            self.reason = [*(self.reason if self.in_comment else []), line.lstrip("# ")]
            self.in_comment = True
        elif match := _SET.match(line):
            if not _VALUE.fullmatch(match["value"]):
                raise self._bad(number, line, match[1], match["value"])
            self._add(number, match, match["value"])
        elif line:
            raise self._bad(number, line)
        else:
            self.in_comment = False

    def _add(self, number: int, match: re.Match[str], value: str) -> None:
        self.in_comment = False
        setting = Setting(match[1], value, number, match["optional"] is not None, " ".join(self.reason).strip())
        other = self.settings.get(setting.symbol)
        if other and other.value != setting.value:
            raise ConfigError(
                f"{self.path}:{number}: CONFIG_{setting.symbol} is already set on line {other.line}",
                detail=f"line {other.line}: {other.value}\nline {number}: {setting.value}",
                hint="keep one of the two lines",
            )
        self.settings.setdefault(setting.symbol, setting)

    def _bad(self, number: int, line: str, symbol: str = "", value: str = "") -> ConfigError:
        return ConfigError(
            f"{self.path}:{number}: not a Kconfig setting: {line}",
            detail="a line is CONFIG_NAME=value, # CONFIG_NAME is not set, or a comment; `# ?` at its end marks it "
            "optional",
            hint=_suggestion(line, symbol, value),
        )


def _suggestion(line: str, symbol: str, value: str) -> str:
    """What was probably meant by a line that is not a setting."""
    if value:
        tristate = {"yes": "y", "Y": "y", "on": "y", "true": "y", "no": "n", "N": "n", "off": "n", "M": "m"}.get(value)
        return f"did you mean CONFIG_{symbol}={tristate}" if tristate else f'text is quoted: CONFIG_{symbol}="{value}"'
    if match := re.match(r"(?:CONFIG_)?(\w+)\s*[=:]\s*([\w\"./-]+)$", line):
        return f"did you mean CONFIG_{match[1]}={match[2]}"
    if match := re.match(r"(?:CONFIG_)?(\w+)( is not set)?$", line):
        return f"did you mean {f'# CONFIG_{match[1]} is not set' if match[2] else f'CONFIG_{match[1]}=y'}"
    if match := re.match(r"(CONFIG_\w+=\S+)\s+#", line):
        return f"a comment goes on a line of its own, above {match[1]}"
    return "see the fragments in configs/ for examples"


def _other_names(name: str) -> str:
    names = fragment_names()
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"give a file, or one of {', '.join(names)}"


@dataclass(frozen=True)
class Request:
    """A setting and the fragment it is from."""

    fragment: Fragment
    setting: Setting

    @property
    def place(self) -> str:
        return f"{self.fragment.path.name if self.fragment.path.suffix else self.fragment.name}:{self.setting.line}"


def requested(fragments: Sequence[Fragment]) -> dict[str, Request]:
    """What the fragments together ask for, by symbol.

    A setting that must hold wins over an optional one; between equals the first fragment's line is kept.
    """
    chosen: dict[str, Request] = {}
    for request in _requests(fragments):
        other = chosen.get(request.setting.symbol)
        if other is None or (other.setting.optional and not request.setting.optional):
            chosen[request.setting.symbol] = request
    return chosen


def conflicts(fragments: Sequence[Fragment]) -> tuple[tuple[Request, Loss], ...]:
    """Settings that cannot hold because another fragment asks for something else."""
    chosen = requested(fragments)
    found = []
    for request in _requests(fragments):
        winner = chosen[request.setting.symbol]
        if winner.setting.value != request.setting.value:
            found.append((request, _conflict(request, winner)))
    return tuple(found)


def _conflict(request: Request, winner: Request) -> Loss:
    theirs, ours = winner.setting, request.setting
    return Loss(
        ours.symbol,
        ours.value,
        theirs.value,
        Reason.CONFLICT,
        f"{request.place} asks for {ours.value}, {winner.place} for {theirs.value}",
        places=(request.place, winner.place),
    )


def _requests(fragments: Iterable[Fragment]) -> Iterable[Request]:
    for fragment in fragments:
        yield from (Request(fragment, setting) for setting in fragment.settings)
