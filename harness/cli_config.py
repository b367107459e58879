"""`ktrial config`: merge fragments into a .config, check them, explain a symbol, compare two configurations."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from harness import record
from harness.cli_console import new_console
from harness.cli_explain import show_explanation
from harness.cli_tables import plain_table, show_table, table_console
from harness.errors import UsageError
from harness.kconfig import Fragment, ResolvedConfig, diff, explain, fragment_names, load_fragment, merge, resolve
from harness.record import atomic_write
from harness.report import safe
from harness.store import find_run
from harness.tree import Base, BaseReason, base_source, find_tree, kernel_version
from harness.tree.git import git

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Merge, check, explain and compare kernel configurations.")

_DEFAULT = ("boot", "xdp")
_BUILT_IN_PLACE = (".config", "include/config", "include/generated")


def _fragment_names(incomplete: str) -> list[str]:
    return [name for name in fragment_names() if name.startswith(incomplete)]


_Tree = Annotated[
    str | None,
    typer.Option(
        "--tree",
        help="A kernel: a folder of its files, a git checkout, or debian:6.12. Else the current folder or debian:6.12.",
    ),
]
_Config = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        "-c",
        help="A fragment of configs/ by name, or a file; may be given several times.",
        autocompletion=_fragment_names,
    ),
]
_ConfigBase = Annotated[
    str, typer.Option("--config-base", help="What the fragments are put on: allnoconfig, defconfig or a .config file.")
]
_Llvm = Annotated[bool, typer.Option("--llvm", help="Ask clang and LLD (LLVM=1) what they can do, in place of gcc.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("merge")
def merge_command(
    tree: _Tree = None,
    config: _Config = None,
    config_base: _ConfigBase = "allnoconfig",
    output: Annotated[str, typer.Option("--output", "-o", help="The .config to write; - prints it.")] = "-",
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Write it even if a setting is lost.")] = False,
    llvm: _Llvm = False,
) -> None:
    """Make a whole .config of fragments.

    Example: ktrial config merge --tree ~/linux -c boot -c xdp -o /tmp/build/.config
    """
    fragments = _fragments(config)
    with _place(tree) as (source, work):
        if unchecked:
            text = merge(source, fragments, work=work, config_base=config_base, llvm=llvm)
        else:
            text = resolve(source, fragments, work=work, config_base=config_base, llvm=llvm).text
    if output == "-":
        sys.stdout.write(text)
    else:
        atomic_write(Path(output).expanduser(), text.encode())


@app.command()
def check(
    tree: _Tree = None,
    config: _Config = None,
    config_base: _ConfigBase = "allnoconfig",
    llvm: _Llvm = False,
    json: _Json = False,
) -> None:
    """Check that a kernel takes every setting of some fragments; if not, say why and what would help (status 4).

    Example: ktrial config check --tree debian:6.1 -c boot -c xdp -c debug
    """
    with _place(tree) as (source, work):
        resolved = resolve(source, _fragments(config), work=work, config_base=config_base, llvm=llvm)
    if json:
        sys.stdout.write(record.encode(resolved).decode())
    else:
        _show_checked(table_console(), resolved)


@app.command("explain")
def explain_command(
    symbol: Annotated[str, typer.Argument(help="A symbol, with or without CONFIG_.")],
    tree: _Tree = None,
    config: _Config = None,
    config_base: _ConfigBase = "allnoconfig",
    llvm: _Llvm = False,
    json: _Json = False,
) -> None:
    """Show what a symbol depends on, who selects it, why it has its value, and what would turn it on.

    Example: ktrial config explain DEBUG_INFO_BTF -c boot
    """
    with _place(tree) as (source, work):
        found = explain(source, _fragments(config), symbol, work=work, config_base=config_base, llvm=llvm)
    if json:
        sys.stdout.write(record.encode(found).decode())
    else:
        show_explanation(table_console(), found)


@app.command("diff")
def diff_command(
    a: Annotated[str, typer.Argument(help="A .config, a folder with one, or a run: RUN, RUN:base, RUN:patched.")],
    b: Annotated[
        str | None, typer.Argument(help="The other one. Without it: base against patched of the run A.")
    ] = None,
    json: _Json = False,
) -> None:
    """Compare two configurations, symbol by symbol.

    Example: ktrial config diff /boot/config-6.1.0-37-amd64 last:base
    """
    first, second = (a, b) if b is not None else (f"{a}:base", f"{a}:patched")
    differences = diff(_config_text(first), _config_text(second))
    if json:
        sys.stdout.write(record.encode(differences).decode())
        return
    table = plain_table("symbol", escape(first), escape(second))
    for found in differences:
        table.add_row(*(escape(safe.line(cell or "-")) for cell in (found.symbol, found.before, found.after)))
    if differences:
        show_table(table)
    else:
        typer.echo("The same settings.")


def _fragments(names: list[str] | None) -> list[Fragment]:
    return [load_fragment(name) for name in names or _DEFAULT]


@contextlib.contextmanager
def _place(tree: str | None) -> Iterator[tuple[Path, Path]]:
    """The kernel's files, and a folder to work in that is removed afterwards."""
    console = new_console(stderr=True)
    source = _source(tree, console)
    with tempfile.TemporaryDirectory(prefix="ktrial-config-") as work:
        yield source, Path(work)


def _source(tree: str | None, console: Console) -> Path:
    """A folder that was not built in place is read as it is, edits included; else HEAD of the tree, from the cache."""
    folder = Path(tree).expanduser() if tree else Path()
    has_kernel = (folder / "Kconfig").is_file() and (folder / "Makefile").is_file()
    if has_kernel and not any((folder / name).exists() for name in _BUILT_IN_PLACE):
        return folder.resolve()

    def say(line: str) -> None:
        console.print(escape(line), style="dim")

    repository = find_tree(tree, cwd=Path.cwd(), say=say).repository
    return base_source(repository, _head(repository), say).directory


def _head(repository: Path) -> Base:
    commit = git(repository, "rev-parse", "--verify", "HEAD^{commit}").text.strip()
    tree_id = git(repository, "rev-parse", "--verify", f"{commit}^{{tree}}").text.strip()
    return Base(commit, tree_id, BaseReason.HEAD, f"HEAD {commit[:12]}", kernel_version(repository, commit))


def _config_text(name: str) -> str:
    """The .config that an argument of `diff` names. Raises UsageError."""
    path = Path(name).expanduser()
    path = path / ".config" if path.is_dir() and (path / ".config").is_file() else path
    if not path.is_file():
        path = _config_of_run(name)
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        hint = "give a .config, a folder with one, or a run: last:base, last:patched"
        raise UsageError(f"{name}: no configuration there ({error.strerror})", hint=hint) from error


def _config_of_run(name: str) -> Path:
    run, _, side = name.rpartition(":")
    return find_run(run).config(side) if side in ("base", "patched") else find_run(name).config("patched")


def _show_checked(console: Console, resolved: ResolvedConfig) -> None:
    for fragment in resolved.fragments:
        console.print(f"[green]{len(fragment.settings):4}[/] settings of {escape(fragment.name)}")
    for symbol, reason in resolved.absent:
        console.print(f"[yellow]absent[/] {escape(symbol)}: {escape(safe.line(reason))}")
    console.print(f"All that must hold does. Digest {resolved.digest[:16]}")
