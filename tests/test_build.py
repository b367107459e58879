"""Building kernels: small ones, with the real make and gcc in the real jail."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from contextlib import ExitStack, contextmanager

import pytest
from build_kernels import TOOLCHAIN, Run, edited, make_config, make_source

from harness.build import (
    BaseBuildError,
    SeriesBuildError,
    first_broken,
    identical,
    in_use,
    new_diagnostics,
)
from harness.build.store import entry_of, ready
from harness.errors import ExitCode, MachineLost
from harness.locks import is_locked

BROKEN = edited("net/core/filter.c", "clamp(frags) + 1", "clamp(frags) + undeclared")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def base_source(tmp_path):
    return make_source(tmp_path / "base")


@pytest.fixture
def base(run, base_source):
    return run.build("base", base_source)


def test_a_built_kernel_has_its_image_symbols_configuration_and_log(base, run):
    assert base.image.exists()
    assert base.vmlinux.exists()
    assert (base.directory / "System.map").exists()
    assert (base.directory / ".config").read_text() == "CONFIG_NET=y\n"
    assert base.log == run.folder / "base" / "build.log"
    assert "CC      net/core/filter.o" in base.log.read_text()
    assert (base.compiled, base.reused, base.whole) == (3, False, True)


def test_progress_counts_objects(base, run):
    assert run.phases == ["configuring", "compiling", "linking", "collecting"]
    assert run.seen[-1].compiled == 3


def test_the_same_kernel_is_found_again_at_once(base, run, base_source, tmp_path):
    again = Run(tmp_path / "second")
    began = time.monotonic()
    found = again.build("base", base_source)
    assert time.monotonic() - began < 0.5
    assert (found.reused, found.seconds, found.key, found.compiled) == (True, 0.0, base.key, base.compiled)
    assert found.diagnostics == base.diagnostics
    assert found.log.read_text() == base.log.read_text()
    assert again.phases == ["ready"]


def test_another_configuration_is_another_kernel(base, run, base_source):
    other = run.build("base", base_source, config=make_config("CONFIG_NET=y\nCONFIG_BPF=y\n"))
    assert other.key != base.key
    assert not other.reused


def test_only_what_the_series_changed_is_compiled(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("lib/clamp.c", "? LIMIT", "? 1"))
    patched = run.build("patched", source, base, changed=["lib/clamp.c"])
    log = patched.log.read_text()
    assert "CC      lib/clamp.o" in log
    assert "filter.o" not in log
    assert (patched.compiled, patched.whole) == (1, False)
    assert [progress.total for progress in run.seen if progress.phase == "compiling"][-1] == 1


def test_a_changed_header_compiles_what_includes_it(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("include/net.h", "17", "18"))
    assert run.build("patched", source, base, changed=["include/net.h"]).compiled == 3
    assert run.seen[-2].total == 3


def test_changes_written_before_the_base_was_built_are_compiled(run, base_source, tmp_path):
    source = make_source(tmp_path / "patched", edited("lib/clamp.c", "? LIMIT", "? 1"))
    time.sleep(0.1)
    base = run.build("base", base_source)
    patched = run.build("patched", source, base)
    assert patched.compiled == 1
    assert patched.code_digest != base.code_digest


def test_a_series_that_changes_no_source_compiles_nothing_and_is_identical(base, run, tmp_path):
    patched = run.build("patched", make_source(tmp_path / "patched", {"README": "words\n"}), base)
    assert patched.compiled == 0
    assert identical(base, patched).same


def test_a_changed_comment_leaves_code_and_data_identical(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "are cut", "are not passed"))
    patched = run.build("patched", source, base)
    assert patched.compiled == 1
    assert identical(base, patched).same
    assert patched.code_digest == base.code_digest


def test_changed_code_names_the_sections_that_differ(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "+ 1", "+ 2"))
    identity = identical(base, run.build("patched", source, base))
    assert (identity.same, identity.differing) == (False, (".text",))


def test_building_a_series_leaves_the_base_as_it_was(base, run, tmp_path):
    before = (base.vmlinux.read_bytes(), base.image.read_bytes())
    run.build("patched", make_source(tmp_path / "patched", edited("include/net.h", "17", "18")), base)
    assert (base.vmlinux.read_bytes(), base.image.read_bytes()) == before


def test_of_a_series_only_the_artifacts_are_kept(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "+ 1", "+ 2"))
    patched = run.build("patched", source, base)
    assert not (patched.directory / "obj").exists()
    assert (base.directory / "obj").exists()
    assert run.build("patched", source, base).reused


def test_a_series_kernel_that_becomes_a_base_is_built_whole(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "+ 1", "+ 2"))
    patched = run.build("patched", source, base)
    assert not patched.whole
    promoted = run.build("base", source)
    assert (promoted.whole, promoted.reused, promoted.compiled) == (True, False, 3)
    assert promoted.code_digest == patched.code_digest


def warned(source: str) -> dict[str, str]:
    """A small kernel's file with a warning more."""
    return edited(source, "{\n", "{\n\tint unused_here;\n")


def test_a_series_kernel_of_another_base_tells_no_less_of_its_warnings(run, tmp_path):
    """`B^..B`, then `base..B`: what the earlier commits warn of is in none of the objects that the first compiled."""
    earlier, last = warned("lib/clamp.c"), edited("net/core/filter.c", "+ 1", "+ 2")
    before = run.build("base", make_source(tmp_path / "before", earlier))
    source = make_source(tmp_path / "both", {**earlier, **last})
    assert new_diagnostics(before.diagnostics, run.build("patched", source, before).diagnostics) == ()
    base = run.build("base", make_source(tmp_path / "base"))
    patched = run.build("patched", source, base)
    assert (patched.reused, patched.lender) == (False, base.key)
    assert [found.file for found in new_diagnostics(base.diagnostics, patched.diagnostics)] == ["lib/clamp.c"]
    assert run.build("patched", source, base).reused


def test_a_record_without_a_lender_is_one_of_an_unknown_base(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "+ 1", "+ 2"))
    place = entry_of(run.build("patched", source, base))
    old = json.loads(place.record.read_text())
    del old["lender"]
    place.record.write_text(json.dumps(old))
    known = ready(place, side="patched", work=tmp_path)
    assert known is not None
    assert (known.whole, known.lender) == (False, "")
    assert ready(place, side="patched", work=tmp_path, beside=base) is None
    assert ready(place, side="patch-1", work=tmp_path, beside=base) is not None
    assert not run.build("patched", source, base).reused


def test_a_removed_file_leaves_the_kernel(base, run, tmp_path):
    changes = {"lib/clamp.c": "", **edited("net/core/filter.c", "clamp(frags)", "frags")}
    patched = run.build("patched", make_source(tmp_path / "patched", changes), base)
    assert "clamp" not in (patched.directory / "System.map").read_text()


def test_a_configuration_that_the_series_changes_is_resolved_again(base, run, tmp_path):
    config = make_config("CONFIG_NET=y\nCONFIG_NEW=y\n")
    source = make_source(tmp_path / "patched", {"generated.h": "#define GENERATED 2\n"})
    patched = run.build("patched", source, base, config=config)
    assert (patched.directory / ".config").read_text() == config.text
    assert patched.code_digest != base.code_digest


def test_modules_are_installed_and_compared(run, base_source, tmp_path):
    config = make_config("CONFIG_TOY=m\n")
    base = run.build("base", base_source, config=config)
    assert [path.name for path in base.directory.glob("modules/**/*.ko")] == ["toy.ko"]
    source = make_source(tmp_path / "patched", edited("mod/toy.c", "return 1", "return 2"))
    identity = identical(base, run.build("patched", source, base, config=config))
    assert identity.differing == ("kernel/mod/toy.ko:.text",)


def test_a_warning_the_base_has_too_is_not_new(base, run, tmp_path):
    moved = edited("net/core/filter.c", "/* Frames", "\n\n/* Frames")
    patched = run.build("patched", make_source(tmp_path / "patched", moved), base)
    assert [diagnostic.flag for diagnostic in base.diagnostics] == ["-Wunused-variable"]
    assert new_diagnostics(base.diagnostics, patched.diagnostics) == ()


def test_a_second_warning_of_the_same_words_is_new(base, run, tmp_path):
    text = "\nint other(void)\n{\n\tint unused;\n\n\treturn 0;\n}\n"
    more = edited("net/core/filter.c", "+ 1;\n}\n", "+ 1;\n}\n" + text)
    patched = run.build("patched", make_source(tmp_path / "patched", more), base)
    (news,) = new_diagnostics(base.diagnostics, patched.diagnostics)
    assert (news.file, news.line) == ("net/core/filter.c", 13)


def test_a_series_that_does_not_build_shows_the_line_and_names_the_patch(base, run, tmp_path):
    patches = {"net/core/filter.c": 'patch 2/3 "net: count frags"'}
    with pytest.raises(SeriesBuildError) as caught:
        run.build("patched", make_source(tmp_path / "patched", BROKEN), base, blame=lambda file: patches.get(file, ""))
    error = caught.value
    assert error.exit_code == ExitCode.DOES_NOT_BUILD
    assert error.summary.startswith("the patched kernel does not build: net/core/filter.c:8: 'undeclared' undeclared")
    assert error.summary.endswith('(patch 2/3 "net: count frags" touches net/core/filter.c)')
    assert ">     8 | \treturn clamp(frags) + undeclared;" in error.detail
    assert error.target == "net/core/filter.o"
    assert error.log is not None
    assert "undeclared" in error.log.read_text()


def test_an_undefined_symbol_names_its_user(base, run, tmp_path):
    changes = edited("net/core/filter.c", "return clamp", "extern int gone(int); return gone")
    with pytest.raises(SeriesBuildError, match=r"net/core/filter\.c:8: undefined reference to 'gone'"):
        run.build("patched", make_source(tmp_path / "patched", changes), base)


def test_an_error_in_a_header_names_the_patch_of_the_header(base, run, tmp_path):
    changes = {"include/net.h": "#define LIMIT 17\nint clamp(int frags)\nint filter(int frags);\n"}
    with pytest.raises(SeriesBuildError) as caught:
        run.build("patched", make_source(tmp_path / "p", changes), base, blame={"include/net.h": "patch 1"}.get)
    assert caught.value.patch == "patch 1"


def test_a_base_that_does_not_build_is_the_trees_fault(run, tmp_path):
    with pytest.raises(BaseBuildError) as caught:
        run.build("base", make_source(tmp_path / "broken", BROKEN))
    assert caught.value.exit_code == ExitCode.TREE_UNUSABLE


def test_a_compiler_killed_twice_is_the_machines_fault(base, run, tmp_path):
    words = "gcc: fatal error: Killed signal terminated program cc1"
    changes = edited("Makefile", "\t@mkdir -p $(@D)\n\t@test", f'\t@echo "{words}"; exit 1\n\t@test')
    source = make_source(tmp_path / "patched", {**changes, **BROKEN})
    with pytest.raises(MachineLost, match="the compiler was killed") as caught:
        run.build("patched", source, base)
    assert caught.value.log is not None
    assert caught.value.log.read_text().count(words) == 2


def test_a_full_disk_is_the_machines_fault(base, run, tmp_path):
    words = "fatal error: error writing to /tmp/x.s: No space left on device"
    changes = edited("Makefile", "\t@mkdir -p $(@D)\n\t@test", f'\t@echo "{words}"; exit 1\n\t@test')
    with pytest.raises(MachineLost, match="the disk is full"):
        run.build("patched", make_source(tmp_path / "patched", {**changes, **BROKEN}), base)


def test_a_build_past_its_deadline_is_not_blamed_on_the_series(base, run, tmp_path):
    changes = edited("Makefile", "\t@mkdir -p $(@D)\n\t@test", "\t@sleep 30\n\t@test")
    with pytest.raises(MachineLost, match="past its deadline of 1 s"):
        run.build("patched", make_source(tmp_path / "patched", {**changes, **BROKEN}), base, deadline=1)


def test_a_corrected_series_builds_after_a_failure(base, run, tmp_path):
    with pytest.raises(SeriesBuildError):
        run.build("patched", make_source(tmp_path / "patched", BROKEN), base)
    good = make_source(tmp_path / "good", edited("net/core/filter.c", "+ 1", "+ 2"))
    assert run.build("patched", good, base).compiled == 1


def _build_in_another_process(folder, source, answers):
    kernel = Run(folder).build("base", source)
    answers.put((os.getpid(), kernel.reused, kernel.key))


def _child(folder, source):
    answers = multiprocessing.get_context("fork").Queue()
    process = multiprocessing.get_context("fork").Process(
        target=_build_in_another_process, args=(folder, source, answers)
    )
    process.start()
    return process, answers


def test_two_runs_at_once_build_a_kernel_once(tmp_path):
    source = make_source(tmp_path / "slow", {"slow": "yes\n"})
    children = [_child(tmp_path / f"run{n}", source) for n in range(3)]
    answers = [queue.get(timeout=30) for _, queue in children]
    for process, _ in children:
        process.join(10)
    assert sorted(reused for _, reused, _ in answers) == [False, True, True]
    assert len({key for _, _, key in answers}) == 1


def test_a_run_that_waits_for_another_says_so(tmp_path, run):
    source = make_source(tmp_path / "slow", {"slow": "yes\n"})
    process, answers = _child(tmp_path / "first", source)
    _wait_for(lambda: list(tmp_path.glob("cache/builds/*/obj/*/*.o")))
    assert run.build("base", source).reused
    assert run.phases == ["waiting", "ready"]
    answers.get(timeout=30)
    process.join(10)


def test_a_build_that_was_killed_goes_on_where_it_was(tmp_path, run, monkeypatch):
    monkeypatch.setattr("harness.build.objects.LAST", 0)
    source = make_source(tmp_path / "slow", {"slow": "yes\n"})
    process, _ = _child(tmp_path / "first", source)
    _wait_for(lambda: "CC" in "".join(path.read_text() for path in tmp_path.glob("cache/builds/*/build.log")))
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    kernel = run.build("base", source)
    assert not kernel.reused
    assert kernel.compiled  # of what the first run compiled, the log may miss what it was killed before writing
    assert sum(1 for progress in run.seen if progress.phase == "compiling") < 3
    assert len(kernel.diagnostics) == 1


def test_a_half_copied_object_folder_is_begun_again(base, run, tmp_path):
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "+ 1", "+ 2"))
    patched = run.build("patched", source, base)
    (patched.directory / "kernel.json").unlink()
    (patched.directory / "borrowed-objects").write_text("x")
    (patched.directory / "obj" / "net" / "core").mkdir(parents=True)
    (patched.directory / "obj" / "net" / "core" / "filter.o").write_bytes(b"half")
    (patched.directory / "obj.partial").mkdir()
    again = run.build("patched", source, base)
    assert again.code_digest == patched.code_digest
    assert not (patched.directory / "obj.partial").exists()


def test_a_resumed_build_that_a_torn_file_breaks_is_begun_again(run, base_source, base):
    (base.directory / "kernel.json").unlink()
    (base.directory / "obj" / "lib" / "clamp.o").write_bytes(b"half an object")
    assert run.build("base", base_source).code_digest == base.code_digest


def test_a_kernel_is_held_until_its_user_lets_go(run, base_source):
    with ExitStack() as hold:
        kernel = run.build("base", base_source, hold=hold)
        assert not kernel.reused
        lock = kernel.directory.with_name(kernel.key + ".lock")
        assert is_locked(lock)
    assert not is_locked(lock)
    with in_use(kernel):
        assert is_locked(lock)


def test_a_patched_kernel_is_built_whole_where_the_base_is_gone(base, run, tmp_path):
    (base.directory / "kernel.json").unlink()
    source = make_source(tmp_path / "patched", edited("net/core/filter.c", "+ 1", "+ 2"))
    assert run.build("patched", source, base).whole


@pytest.mark.parametrize("guilty", [1, 2, 3, 4, 5])
def test_the_first_patch_that_breaks_an_object_is_found(base, tmp_path, guilty):
    tried = []

    @contextmanager
    def after(number):
        tried.append(number)
        broken = BROKEN if number >= guilty else {"README": f"{number}\n"}
        yield make_source(tmp_path / f"after-{number}", broken)

    found = first_broken(after, 5, "net/core/filter.o", base=base, toolchain=TOOLCHAIN, work=tmp_path / "work", jobs=2)
    assert found == guilty
    assert len(tried) <= 3
    assert not list(tmp_path.glob("cache/builds/.culprit-*"))


def _wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
