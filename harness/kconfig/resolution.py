"""Resolve fragments to a kernel's whole configuration, and refuse one that lost a setting."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError, KtrialError
from harness.kconfig.ask import ask
from harness.kconfig.configure import ALLNOCONFIG, Bench, configure, kconfig_environment
from harness.kconfig.dotconfig import config_digest, holds, values
from harness.kconfig.explain_process import Answer, Question
from harness.kconfig.fragment import Request, conflicts, requested
from harness.kconfig.model import Addition, Explanation, Fragment, Loss, Reason, ResolvedConfig
from harness.places import cache_dir
from harness.record import load_if, save

__all__ = ["enable", "explain", "merge", "resolve"]

_VERIFIED_AT_MOST = 5


def resolve(
    source: Path,
    fragments: Sequence[Fragment],
    *,
    work: Path,
    config_base: str = ALLNOCONFIG,
    llvm: bool = False,
    cache_key: str | None = None,
    log: Path | None = None,
) -> ResolvedConfig:
    """The configuration that a kernel makes of `fragments`, every setting of which holds in it.

    source: the kernel's files. work: an existing folder of the caller's, written to by the kernel's Makefiles.
    config_base: `allnoconfig`, another `*config` target (`defconfig`), or a .config file.
    cache_key: names the source and the toolchain (a tree id and a digest); a result kept under it is taken instead.
    log: where make's output goes.
    Raises ConfigError listing each setting that was lost, why, and the fewest lines that would mend it; TreeError and
    ToolchainError where the kernel's own make cannot run.
    """
    bench = _bench(source, work, config_base, llvm, log)
    kept = _kept_at(cache_key, bench, fragments) if cache_key else None
    if kept and (found := load_if(kept, ResolvedConfig)):
        return replace(found, fragments=tuple(fragments))
    resolved = _resolve(bench, fragments)
    if kept:
        save(kept, resolved)
    return resolved


def merge(
    source: Path,
    fragments: Sequence[Fragment],
    *,
    work: Path,
    config_base: str = ALLNOCONFIG,
    llvm: bool = False,
    log: Path | None = None,
) -> str:
    """The .config that comes out, whether or not every setting holds in it."""
    return configure(_bench(source, work, config_base, llvm, log), _settings(requested(fragments)))


def explain(
    source: Path,
    fragments: Sequence[Fragment],
    symbol: str,
    *,
    work: Path,
    config_base: str = ALLNOCONFIG,
    llvm: bool = False,
    log: Path | None = None,
) -> Explanation:
    """All about `symbol` (with or without CONFIG_) under a configuration, and what would turn it on.

    Raises ConfigError where the kernel has no such symbol; otherwise as `resolve`.
    """
    bench = _bench(source, work, config_base, llvm, log)
    name = symbol.removeprefix("CONFIG_")
    asked = _settings(requested(fragments))
    config = configure(bench, asked)
    off = {} if values(config).get(name, "n") != "n" else {name: "y"}
    settings = asked | off
    reply = ask(bench, _question(bench, configure(bench, settings) if off else config, settings, off, symbol=name))
    if reply.explanation is None:
        raise _unexplained(name, reply)
    holds_now = not off or holds("y", values(configure(bench, settings)).get(name))
    mend = None if holds_now else _verified(bench, settings, reply)
    extra = (Addition(name, "y", reply.explanation.definitions[0].place),) if off and (holds_now or mend) else ()
    return replace(
        reply.explanation,
        value=values(config).get(name, "n"),
        loss=None if holds_now else reply.explanation.loss,
        to_enable=extra + (mend or ()),
        verified=bool(extra),
    )


def enable(
    source: Path,
    fragments: Sequence[Fragment],
    symbols: Sequence[str],
    *,
    work: Path,
    config_base: str = ALLNOCONFIG,
    llvm: bool = False,
    log: Path | None = None,
) -> tuple[Addition, ...]:
    """The lines that turn symbols on beside what `fragments` ask for, with all that they depend on.

    The kernel's own olddefconfig has agreed to them. A symbol that cannot be turned on is left out.
    """
    bench = _bench(source, work, config_base, llvm, log)
    asked = _settings(requested(fragments))
    wanted = {name: "y" for name in symbols if name not in asked}
    config = configure(bench, asked | wanted)
    lost = _not_held(wanted, config)
    reply = ask(bench, _question(bench, config, asked | wanted, lost)) if lost else Answer()
    mend = _verified(bench, asked | wanted, reply) if lost else None
    mended = set(reply.mended) if mend else set()
    return (*(Addition(name, "y") for name in wanted if name not in lost or name in mended), *(mend or ()))


def _unexplained(name: str, reply: Answer) -> KtrialError:
    if reply.failure:
        return ConfigError(f"CONFIG_{name} cannot be explained", detail=reply.failure)
    text = reply.losses[0].text if reply.losses else "no such symbol in this kernel"
    return ConfigError(f"CONFIG_{name}: {text}", hint="the name as in Kconfig, with or without CONFIG_")


def _resolve(bench: Bench, fragments: Sequence[Fragment]) -> ResolvedConfig:
    asked = requested(fragments)
    clashes = conflicts(fragments)
    if any(not request.setting.optional for request, _ in clashes):
        raise _lost([pair for pair in clashes if not pair[0].setting.optional], None, Answer())
    settings = _settings(asked)
    config = configure(bench, settings)
    lost = _not_held(settings, config)
    optional = tuple(name for name in lost if asked[name].setting.optional)
    reply = ask(bench, _question(bench, config, settings, lost, optional)) if lost else Answer()
    losses = _losses(lost, config, reply, asked)
    required = [(asked[loss.symbol], loss) for loss in losses if not asked[loss.symbol].setting.optional]
    if required:
        raise _lost(required, _verified(bench, settings, reply), reply)
    absent = [(loss.symbol, loss.text) for loss in (*losses, *(clash for _, clash in clashes))]
    return ResolvedConfig(config, config_digest(config), tuple(fragments), tuple(absent))


def _bench(source: Path, work: Path, config_base: str, llvm: bool, log: Path | None) -> Bench:
    if not (source / "Kconfig").is_file():
        raise ConfigError(f"{source} is not a kernel tree", detail="it has no Kconfig file")
    base = config_base
    if not base.endswith("config") or "/" in base or base.startswith("."):
        try:
            base = Path(config_base).expanduser().read_text("utf-8", "replace") + "\n"
        except OSError as error:
            hint = "allnoconfig, defconfig or the path of a .config"
            raise ConfigError(
                f"no such configuration to start from: {config_base}", detail=str(error), hint=hint
            ) from None
    return Bench(source.resolve(), work.resolve(), base, llvm, log)


def _settings(asked: Mapping[str, Request]) -> dict[str, str]:
    return {name: request.setting.value for name, request in asked.items()}


def _not_held(settings: Mapping[str, str], config: str) -> dict[str, str]:
    actual = values(config)
    return {name: wanted for name, wanted in settings.items() if not holds(wanted, actual.get(name))}


def _question(
    bench: Bench,
    config: str,
    settings: Mapping[str, str],
    lost: Mapping[str, str],
    optional: tuple[str, ...] = (),
    symbol: str = "",
) -> Question:
    base = "" if bench.base == ALLNOCONFIG else (bench.base if bench.base_is_text else config)
    return Question(kconfig_environment(bench), config, base, dict(settings), dict(lost), optional, symbol)


def _losses(lost: Mapping[str, str], config: str, reply: Answer, asked: Mapping[str, Request]) -> tuple[Loss, ...]:
    """The reasons; where none could be found, the bare fact."""
    if reply.failure:
        actual = values(config)
        return tuple(Loss(n, w, actual.get(n, "n"), Reason.UNKNOWN, reply.failure) for n, w in lost.items())
    return tuple(_with_rival(loss, asked) for loss in reply.losses if loss.symbol in lost)


def _with_rival(loss: Loss, asked: Mapping[str, Request]) -> Loss:
    """Say which line asked for the member that won a choice."""
    rivals = [asked[name] for name in loss.others if name in asked and asked[name].setting.value == "y"]
    if loss.reason is not Reason.CHOICE_LOST or not rivals:
        return loss
    return replace(loss, text=f"{loss.text}; {rivals[0].place} asks for {rivals[0].setting.symbol}")


def _verified(bench: Bench, settings: Mapping[str, str], reply: Answer) -> tuple[Addition, ...] | None:
    """The first candidate that C's conf agrees with: what it should mend holds, and nothing else is lost for it."""
    if not reply.candidates:
        return None
    lost_now = set(_not_held(settings, configure(bench, settings)))
    for candidate in reply.candidates[:_VERIFIED_AT_MOST]:
        more = {addition.symbol: addition.value for addition in candidate}
        lost = set(_not_held({**settings, **more}, configure(bench, {**settings, **more})))
        if not lost & set(reply.mended) and lost <= lost_now:
            return candidate
    return None


def _lost(losses: Sequence[tuple[Request, Loss]], mend: tuple[Addition, ...] | None, reply: Answer) -> ConfigError:
    first = losses[0][1]
    count = f"{len(losses)} settings do" if len(losses) > 1 else f"CONFIG_{first.symbol}={first.wanted} does"
    lines = [_described(request, loss) for request, loss in losses]
    if first.reason is Reason.CONFLICT:
        return ConfigError(
            f"fragments in conflict over CONFIG_{first.symbol}: {first.text}",
            detail="\n".join(lines),
            hint="drop one of the two lines, or mark one optional with `# ?`",
        )
    reasons = ", ".join(dict.fromkeys(loss.reason for _, loss in losses))
    return ConfigError(
        f"{count} not take in this kernel: {reasons}",
        detail="\n".join(lines + [f"would help: {addition}  [{addition.place}]" for addition in mend or ()]),
        hint=_hint(losses, mend, reply),
    )


def _described(request: Request, loss: Loss) -> str:
    where = f" [{', '.join(loss.places)}]" if loss.places and loss.reason is not Reason.CONFLICT else ""
    return (
        f"{request.place}: CONFIG_{loss.symbol}={loss.wanted} is {loss.actual}: {loss.reason}{where}\n    {loss.text}"
    )


def _hint(losses: Sequence[tuple[Request, Loss]], mend: tuple[Addition, ...] | None, reply: Answer) -> str:
    """One line: what to add, as far as adding helps."""
    if not mend:
        return reply.failure or "no addition was found that mends it: change the line, or mark it optional with `# ?`"
    added = " ".join(map(str, mend))
    rest = [loss.symbol for _, loss in losses if loss.symbol not in reply.mended]
    others = f"; change the line for {', '.join(rest)}, or mark it optional with `# ?`" if rest else ""
    return f"add to a fragment (tried with the kernel's own olddefconfig): {added}{others}"


def _kept_at(key: str, bench: Bench, fragments: Sequence[Fragment]) -> Path:
    asked = [(f.name, s.symbol, s.value, s.optional) for f in fragments for s in f.settings]
    named = repr((1, key, bench.base, bench.llvm, asked))
    return cache_dir() / "configs" / f"{hashlib.sha256(named.encode()).hexdigest()}.json"
