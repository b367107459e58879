"""The one flow: from an invocation to a result, stage by stage, each in the run's folder.

A stage that is recorded there is not done again, so a run that was killed goes on where it was (`RunFolder.once`).
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.bpf_objects import compile_objects
from harness.broken_patch import last_to_touch, with_broken_patch
from harness.build import (
    Identity,
    Kernel,
    SeriesBuildError,
    Toolchain,
    build_kernel,
    find_toolchain,
    identical,
    new_diagnostics,
)
from harness.build.model import Diagnostic
from harness.build.store import build_key, entry, reading, ready
from harness.choice import choose
from harness.compare import BootChange, BrokenBy, Comparison, compare
from harness.coverage import Coverage, as_text, cover, uncompiled
from harness.culprits import Along
from harness.errors import UsageError
from harness.flakiness import KnownFlake
from harness.kconfig import Fragment, ResolvedConfig, enable, merge, resolve
from harness.kconfig.configure import ALLNOCONFIG
from harness.kselftest.export import same_sources
from harness.kselftest.guests import reader_part
from harness.kselftest.proof import Proof
from harness.kselftest.proving import prove
from harness.kselftest.select import Selection
from harness.kselftest.stage import Selftests, build_sides, with_time_for
from harness.kunit import KUNIT
from harness.machine.accel import AcceleratorChoice, choose_accelerator
from harness.memory import Comparable, known_flakes
from harness.passes import Bench, run_passes
from harness.perf.blame import Blame, blame
from harness.perf.measure import has_benches, measure
from harness.perf.model import Performance
from harness.places import cache_dir
from harness.plan import Invocation, Observer, Silent
from harness.record import atomic_write
from harness.results import SideResults
from harness.series import Series, as_mbox, read_series
from harness.store import RunFolder, inputs_digest
from harness.suites import PickedSuite, Suite, suite_digest
from harness.surroundings import Surroundings, look_around
from harness.tree import (
    Applied,
    Base,
    Source,
    Tree,
    applied_repository,
    apply_series,
    base_source,
    choose_base,
    discard,
    find_tree,
    first_patches,
    freshen,
    missing_prerequisites,
    patched_source,
)

__all__ = ["Trial"]

# A change to one of these can change what Kconfig makes of the same fragments.
_CONFIGURES = ("Kconfig", "Makefile")
_CONFIGURING = ("scripts/", "arch/x86/configs/")
_NEVER_CONFIGURING = ("tools/", "Documentation/", "samples/")


@dataclass
class Trial:
    """A run under way. What it has come to is in its fields, in the order of the flow; None where it has not."""

    run: RunFolder
    invocation: Invocation
    observer: Observer = Silent()  # noqa: RUF009  # has no state
    stdin: bytes | None = None
    series: Series | None = None
    tree: Tree | None = None
    base: Base | None = None
    applied: Applied | None = None
    toolchain: Toolchain | None = None
    picked: tuple[PickedSuite, ...] = ()
    fragments: tuple[Fragment, ...] = ()
    coverage: Coverage = Coverage()  # noqa: RUF009  # frozen
    configs: tuple[ResolvedConfig, ResolvedConfig] | None = None
    base_kernel: Kernel | None = None
    patched_kernel: Kernel | None = None
    warnings: tuple[Diagnostic, ...] = ()
    identity: Identity | None = None
    accelerator: AcceleratorChoice | None = None
    results: tuple[SideResults | None, SideResults] | None = None
    comparison: Comparison | None = None
    selection: Selection = Selection()  # noqa: RUF009  # frozen
    selftests: Selftests | None = None
    proofs: tuple[Proof, ...] = ()
    performance: Performance | None = None
    broken_by: tuple[BrokenBy, ...] = ()
    surroundings: Surroundings | None = None
    known_flaky: dict[str, KnownFlake] = field(default_factory=dict)

    def go(self) -> None:
        """Do all of it. Raises KtrialError where something stops it; the fields then tell how far it came."""
        self.surroundings = look_around()
        with contextlib.ExitStack() as hold:
            self._read()
            self._apply()
            self._choose()
            self._configure()
            self._build(hold)
            if self._identical and not self._selftests_differ:
                return
            self._build_selftests(hold)
            self._test()
            self._measure()
            self._find_patches(hold)

    def _read(self) -> None:
        asked = self.invocation
        cwd = Path(asked.cwd)
        self.observer.stage("series", f"reading {asked.series}")
        inputs = inputs_digest("series", asked.series, asked.tree or "", asked.revision or 0)
        self.series = self.run.stage_value("series", Series, inputs)
        if self.series is None or self.series.commits:
            self.tree = find_tree(asked.tree, cwd=cwd, say=self._say("tree"))
        if self.series is None:
            name = asked.series if asked.series == "-" or not (cwd / asked.series).exists() else str(cwd / asked.series)
            repository = self.tree.repository if self.tree else None
            self.series = read_series(name, tree=repository, revision=asked.revision, stdin=self.stdin)
            self.run.stage_done("series", inputs, self.series)
            atomic_write(self.run.series_mbox, as_mbox(self.series))
        self.observer.stage("series", f"{self.series.title} ({len(self.series.patches)} patches)")

    def _apply(self) -> None:
        assert self.series is not None
        asked, series = self.invocation, self.series
        self.tree = self.tree or find_tree(asked.tree, cwd=Path(asked.cwd), say=self._say("tree"))
        tree = self.tree
        inputs = inputs_digest("base", str(tree.repository), asked.base or "", series)
        self.base = self.run.once("base", Base, inputs, lambda: choose_base(tree, series, asked.base))
        base = self.base
        self.observer.stage("tree", f"{tree.label}, base {base.commit[:12]} ({base.version}): {base.why}")
        remarks = missing_prerequisites(tree, base, series)
        self.series = replace(series, remarks=(*series.remarks, *remarks))
        self.applied = self.run.once(
            "applied",
            Applied,
            inputs_digest("applied", base, series),
            lambda: apply_series(tree, base, series, work=self._work("tree"), say=self._say("apply")),
            still_good=lambda _: applied_repository(self._work("tree")).is_dir(),
        )
        self.observer.stage("apply", f"{len(self.applied.patches)} patches applied, {len(self.applied.changed)} files")

    def _choose(self) -> None:
        """Which suites, and so which fragments."""
        assert self.applied is not None
        choice = choose(self.invocation, self.applied, applied_repository(self._work("tree")))
        self.picked, self.fragments, self.selection = choice.picked, choice.fragments, choice.selection
        for chosen in self.picked:
            self.observer.stage("suites", f"{chosen.suite.name}: {chosen.why}")
        if self.invocation.perf and not any(has_benches(chosen.suite) for chosen in self.picked):
            names = ", ".join(chosen.suite.name for chosen in self.picked)
            raise UsageError(f"--perf: no bench in {names}", hint="add a suite that has some: --suite xdp_multibuf")
        self.toolchain = find_toolchain(self.invocation.llvm)

    def _configure(self) -> None:
        assert self.applied is not None
        base = self._resolve("base", self._base_source())
        inputs = inputs_digest("coverage", self.applied, base.digest)
        self.coverage = self.run.once("coverage", Coverage, inputs, lambda: self._covered(base))
        if self.coverage.fragment is not None:
            self.fragments = (*self.fragments, self.coverage.fragment)
            base = self._resolve("base", self._base_source())
        same = self.invocation.no_base or not any(_configures(path) for path in self.applied.changed)
        if not same:
            with self._patched_source() as source:
                self.configs = (base, self._resolve("patched", source))
        else:
            self.configs = (base, base)
        for side, config in zip(("base", "patched"), self.configs, strict=True):
            atomic_write(self.run.config(side), config.text.encode())

    def _covered(self, base: ResolvedConfig) -> Coverage:
        """What more is to be turned on so that every touched file is compiled, and what stays uncompiled."""
        assert self.applied is not None
        changed, before = self.applied.changed, self._base_source().directory
        if all((before / name).exists() for name in changed) and not uncompiled(before, base.text, changed):
            return Coverage()
        asked, work = self.invocation, self._work("config/touched-work")
        with self._patched_source() as source:
            directory = source.directory
            config = merge(directory, self.fragments, work=work, config_base=asked.config_base, llvm=asked.llvm)
            if asked.config_base != ALLNOCONFIG:  # a whole configuration that somebody chose is left as it is
                return Coverage(left=uncompiled(directory, config, changed))
            self.observer.stage("config", "looking for what compiles every file that the series touches")
            path = self.run.path / "config" / "touched.config"
            fragment = cover(
                directory,
                config,
                changed,
                lambda symbols: enable(directory, self.fragments, symbols, work=work, llvm=asked.llvm),
                path,
            )
            if fragment is not None:
                atomic_write(path, as_text(fragment).encode())
                self.observer.stage("config", f"turned on: {', '.join(line.symbol for line in fragment.settings)}")
                config = merge(directory, (*self.fragments, fragment), work=work, llvm=asked.llvm)
            return Coverage(fragment, uncompiled(directory, config, changed))

    def _resolve(self, side: str, source: Source) -> ResolvedConfig:
        assert self.toolchain is not None
        asked = self.invocation
        self.observer.stage("config", f"{side}: {', '.join(fragment.name for fragment in self.fragments)}")
        return resolve(
            source.directory,
            self.fragments,
            work=self._work(f"config/{side}-work"),
            config_base=asked.config_base,
            llvm=asked.llvm,
            cache_key=f"{source.tree_id} {self.toolchain.digest}",
            log=self.run.path / "config" / f"{side}.log",
        )

    def _build(self, hold: contextlib.ExitStack) -> None:
        assert self.base is not None
        assert self.applied is not None
        assert self.configs is not None
        base_config, patched_config = self.configs
        if not self.invocation.no_base:
            self.base_kernel = self._kernel("base", self._base_source(), base_config, hold)
        place = self._built("patched", self.applied.tree_id, patched_config)
        if place is not None:
            nowhere = Source(directory=Path("/nonexistent"), tree_id=self.applied.tree_id)
            self.patched_kernel = self._kernel("patched", nowhere, patched_config, hold)
        else:
            with self._patched_source() as source:
                self.patched_kernel = self._patched(source, patched_config, hold)
        if self.base_kernel is not None:
            self.warnings = new_diagnostics(self.base_kernel.diagnostics, self.patched_kernel.diagnostics)
            self.identity = identical(self.base_kernel, self.patched_kernel)

    def _built(self, side: str, tree_id: str, config: ResolvedConfig) -> Kernel | None:
        """Whether this kernel is in the cache, so that its source need not even be laid out."""
        assert self.toolchain is not None
        place = entry(build_key(tree_id, config.digest, self.toolchain.digest))
        return ready(place, side=side, work=self._work(f"build/{side}"), beside=self.base_kernel)

    def _patched(self, source: Source, config: ResolvedConfig, hold: contextlib.ExitStack) -> Kernel:
        assert self.applied is not None
        assert self.toolchain is not None
        freshen(source, self.applied)
        try:
            return self._kernel("patched", source, config, hold)
        except SeriesBuildError as error:
            with self.run.noted("search for the patch that does not build"):
                found = with_broken_patch(
                    error,
                    self.applied,
                    base=self.base_kernel,
                    toolchain=self.toolchain,
                    after=self._after,
                    work=self._work("build/patched"),
                    deadline=self.invocation.build_deadline,
                    say=self._say("build"),
                )
            raise found from error

    def _kernel(self, side: str, source: Source, config: ResolvedConfig, hold: contextlib.ExitStack) -> Kernel:
        assert self.toolchain is not None
        assert self.base is not None
        assert self.applied is not None
        with self.run.noted(f"build {side}"):
            return build_kernel(
                side=side,
                source=source,
                config=config,
                toolchain=self.toolchain,
                work=self._work(f"build/{side}"),
                version=self.base.version,
                start_from=self.base_kernel,
                progress=lambda progress: self.observer.building(side, progress),
                jobs=self.invocation.jobs or None,
                deadline=self.invocation.build_deadline,
                changed=self.applied.changed,
                blame=functools.partial(last_to_touch, self.applied),
                hold=hold,
            )

    @contextlib.contextmanager
    def _after(self, count: int) -> Iterator[Source]:
        """The source with the first `count` patches."""
        assert self.applied is not None
        part = first_patches(applied_repository(self._work("tree")), self.applied, count)
        with self._patched_source(part, f"-{count}") as source:
            yield source

    def _base_source(self) -> Source:
        assert self.base is not None
        return base_source(applied_repository(self._work("tree")), self.base, self._say("tree"))

    @contextlib.contextmanager
    def _patched_source(self, applied: Applied | None = None, suffix: str = "") -> Iterator[Source]:
        """The patched tree's files, for as long as they are read."""
        assert self.base is not None
        assert self.applied is not None
        wanted = applied or self.applied
        place = Source(directory=cache_dir() / "patched" / f"{self.run.id}{suffix}", tree_id=wanted.tree_id)
        with reading(place):
            try:
                yield patched_source(applied_repository(self._work("tree")), self.base, wanted, place.directory)
            finally:
                discard(place)

    def _test(self) -> None:
        assert self.patched_kernel is not None
        asked = self.invocation
        # Of two equal kernels only tests that differ can tell anything.
        suites = tuple(chosen.suite for chosen in (self._choosing if self._identical else self.picked))
        image = (self.base_kernel or self.patched_kernel).image
        self.observer.stage("machine", "choosing an accelerator")
        self.accelerator = choose_accelerator(asked.accelerator, image)
        self.observer.stage("machine", f"{self.accelerator.accelerator}: {self.accelerator.why}")
        bench = self.bench(suites)
        if self.selftests is not None:
            bench = replace(bench, of_side=self.selftests.parts(self.run.path / "kselftest"))
            if asked.session_deadline == Invocation.session_deadline:  # nobody asked for another
                bench = replace(bench, guest=with_time_for(bench.guest, self.selftests))
        images = {"patched": self.patched_kernel.image}
        if self.base_kernel is not None:
            images = {"base": self.base_kernel.image, **images}
        self.known_flaky = self._flaky_before()
        sides = run_passes(replace(bench, flaky=self.known_flaky), images, self.run, self.observer)
        self.results = (sides.get("base"), sides["patched"])
        self.comparison = compare(*self.results)
        if self.selftests is not None and self.base_kernel is not None:
            suite, image = self._choosing[0].suite, self.base_kernel.image
            self.proofs = prove(bench, suite, self.selftests, image, self.results, self.run, self.observer)

    def _flaky_before(self) -> dict[str, KnownFlake]:
        """The tests that flaked on comparable base kernels, by the memory as it was when this run first asked."""
        assert self.base is not None
        assert self.accelerator is not None
        like = Comparable(
            version=self.base.version,
            accelerator=str(self.accelerator.accelerator),
            fragments=tuple(fragment.name for fragment in self.fragments),
            suites=tuple((chosen.suite.name, suite_digest(chosen.suite.directory)) for chosen in self.picked),
            run=self.run.id,
        )
        found = self.run.once(
            "history", tuple[KnownFlake, ...], inputs_digest(like), lambda: known_flakes(like, self._say("memory"))
        )
        return {known.test: known for known in found}

    def _measure(self) -> None:
        """What the series costs, where that was asked and both kernels boot."""
        if not self.invocation.perf or self._identical or self.base_kernel is None or self.patched_kernel is None:
            return
        if self.comparison is None or self.comparison.boot is not BootChange.BOOTS:
            return
        images = {"base": self.base_kernel.image, "patched": self.patched_kernel.image}
        suites = tuple(chosen.suite for chosen in self.picked)
        self.performance = measure(self.invocation, suites, images, self.run, self.observer, blamed=self._changed_lines)

    def _find_patches(self, hold: contextlib.ExitStack) -> None:
        """Which patch broke a test or changed a figure, where that was asked."""
        asked = self.invocation
        if not (asked.per_patch or asked.bisect) or self.applied is None or self.comparison is None:
            return
        suites = tuple(chosen.suite for chosen in self.picked)
        after = functools.partial(self._kernel_after, hold=hold)
        along = Along(asked, self.run, self.observer, self.applied, suites, after)
        if asked.bisect and self.comparison.blamed and self.comparison.boot is BootChange.BOOTS:
            sides = {side.side: side for side in self.results or () if side}
            self.broken_by = along.broken(self.comparison, self.bench(suites), sides)
        if self.performance is not None:
            self.performance = replace(self.performance, steps=along.costs(self.performance))

    def _kernel_after(self, count: int, hold: contextlib.ExitStack) -> Kernel:
        """The kernel with the first patches of the series, from the cache or built from base's objects."""
        assert self.applied is not None
        assert self.configs is not None
        repository = applied_repository(self._work("tree"))
        part = first_patches(repository, self.applied, count)
        side = f"patch-{count}"
        if self.configs[0] is self.configs[1] and self._built(side, part.tree_id, self.configs[0]) is not None:
            nowhere = Source(directory=Path("/nonexistent"), tree_id=part.tree_id)
            return self._kernel(side, nowhere, self.configs[0], hold)
        with self._patched_source(part, f"-{count}") as source:
            same = self.configs[0] is self.configs[1]
            config = self.configs[0] if same else self._resolve(side, source)
            freshen(source, part)
            return self._kernel(side, source, config, hold)

    def _changed_lines(self) -> Blame:
        assert self.applied is not None
        return blame(applied_repository(self._work("tree")), self.applied)

    @property
    def _identical(self) -> bool:
        return self.identity is not None and self.identity.same

    @property
    def _selftests_differ(self) -> bool:
        """Selftests were picked, by touch or by name, and the series changes what they are made from."""
        assert self.applied is not None
        if not self.selection:
            return False
        repository = applied_repository(self._work("tree"))
        return not same_sources(repository, self.applied.base.commit, self.applied.commit)

    @property
    def _choosing(self) -> tuple[PickedSuite, ...]:
        """The suite that chooses among programs of the kernel's tree, where it was picked."""
        return tuple(chosen for chosen in self.picked if chosen.suite.chooses)

    def _build_selftests(self, hold: contextlib.ExitStack) -> None:
        """Each side's own, where any were picked; minutes for nothing where all tests that are named are others'."""
        named = self.invocation.tests
        own = tuple(f"{chosen.suite.name}/" for chosen in self._choosing)
        if not self.selection or (named and not any(test.startswith(own) for test in named)):
            return
        assert self.base is not None
        assert self.applied is not None
        assert self.configs is not None
        assert self.toolchain is not None
        assert self.patched_kernel is not None
        self.selftests = build_sides(
            self.selection,
            repository=applied_repository(self._work("tree")),
            base=self.base,
            applied=self.applied,
            kernels=(self.base_kernel, self.patched_kernel),
            configs=(self.configs[0].text, self.configs[1].text),
            toolchain=self.toolchain,
            say=self._say("selftests"),
            hold=hold,
        )

    def bench(self, suites: tuple[Suite, ...]) -> Bench:
        """What every guest of this run has in common."""
        assert self.accelerator is not None
        objects = compile_objects(suites, self.run.path / "bpf", log=self.run.path / "bpf" / "compile.log")
        bench = Bench.of(self.invocation, self.accelerator.accelerator, suites, objects)
        if not any(suite.name == KUNIT for suite in suites):
            return bench
        part = reader_part(self.run.path / "kselftest")
        guest = replace(
            bench.guest, readable=(*bench.guest.readable, *part.readable), env={**bench.guest.env, **part.env}
        )
        return replace(bench, guest=guest)

    def _work(self, name: str) -> Path:
        folder = self.run.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _say(self, stage: str) -> _Say:
        return _Say(self.observer, stage)


@dataclass(frozen=True)
class _Say:
    """Passes a sentence on to the observer, under its stage's name."""

    observer: Observer
    stage: str

    def __call__(self, text: str) -> None:
        self.observer.stage(self.stage, text)


def _configures(path: str) -> bool:
    name = os.path.basename(path)  # noqa: PTH119  # a path of git's, not of this machine's
    if path.startswith(_NEVER_CONFIGURING):
        return False
    return name.startswith(_CONFIGURES) or path.startswith(_CONFIGURING)
