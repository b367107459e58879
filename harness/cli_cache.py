"""`ktrial cache`: what the cache holds, and making it smaller."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from harness import record
from harness.cache import CacheEntry, entries, prune
from harness.cli_tables import gigabytes, plain_table, show_table, table_console
from harness.errors import UsageError
from harness.places import cache_dir

__all__ = ["app", "parse_size"]

app = typer.Typer(no_args_is_help=True, help="List what the cache holds, and make it smaller.")

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", re.IGNORECASE)
_DIGEST = re.compile(r"([0-9a-f]{16})[0-9a-f]{16,}(.*)")
_DAY = 86400


def parse_size(text: str) -> int:
    """A size in bytes as a person writes it: `20G`, `500 MB`, `0`. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no size", hint="write it as 20G or 500M")
    return int(float(match[1]) * _FACTORS[match[2].upper()])


@app.command("list")
def list_(json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False) -> None:
    """List trees, sources, kernels and the rest, the most recently used first."""
    held = entries()
    if json:
        sys.stdout.write(record.encode(held).decode())
        return
    console = table_console()
    if held:
        table = plain_table("what", "size", "last used", "key")
        for entry in held:
            table.add_row(entry.kind, gigabytes(entry.size), _used(entry), escape(_name(entry.key)))
        show_table(table)
    console.print(f"{gigabytes(sum(entry.size for entry in held))} in {cache_dir()}", soft_wrap=True)


@app.command("prune")
def prune_(
    max_size: Annotated[str, typer.Option("--max-size", help="What the cache may hold after: 20G, 500M, 0.")],
) -> None:
    """Remove what was not used for longest, until the rest is small enough. What a run is using stays."""
    limit = parse_size(max_size)
    removed = prune(limit)
    for entry in removed:
        typer.echo(f"removed {entry.kind} {entry.key} ({gigabytes(entry.size)})")
    left = sum(entry.size for entry in entries())
    typer.echo(f"{gigabytes(sum(entry.size for entry in removed))} removed, {gigabytes(left)} left in {cache_dir()}")
    if left > limit:
        typer.echo("the rest is in use: end the runs that use it, and prune again")


def _name(key: str) -> str:
    """An entry's name, with a digest shortened."""
    match = _DIGEST.fullmatch(key)
    return f"{match[1]}{match[2]}" if match else key


def _used(entry: CacheEntry) -> str:
    """When an entry was last used: `in use`, `today`, `3 days ago`, or the date."""
    if entry.in_use:
        return "in use"
    days = int((time.time() - entry.last_used) // _DAY)
    if days > 30:
        return f"{datetime.fromtimestamp(entry.last_used, UTC):%Y-%m-%d}"
    return {0: "within a day", 1: "a day ago"}.get(days, f"{days} days ago")
