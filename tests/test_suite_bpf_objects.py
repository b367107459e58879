"""BPF programs are compiled once per source, on the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.bpf_objects import compile_objects
from harness.errors import ToolchainError
from harness.suites import Suite, find_suites

SOURCE = """\
#include <linux/bpf.h>
#include "own.h"
#include <bpf/bpf_helpers.h>
SEC("xdp") int p(void *c) { return OWN; }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    folder = tmp_path / "suites" / "small" / "bpf"
    folder.mkdir(parents=True)
    (folder / "own.h").write_text("#define OWN 1\n")
    (folder / "one.bpf.c").write_text(SOURCE)
    return Suite("small", "", folder.parent, bpf_sources=(folder / "one.bpf.c",))


def _inode(out: Path) -> int:
    return (out / "small" / "one.bpf.o").stat().st_ino


def test_shipped_programs_compile(tmp_path):
    out = compile_objects(find_suites(), tmp_path / "out", cache=tmp_path / "cache")
    objects = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.bpf.o"))
    assert "xdp_multibuf/machine.bpf.o" in objects
    for suite in find_suites():
        assert len(suite.bpf_sources) == len(list((out / suite.name).glob("*"))) if suite.bpf_sources else True


def test_an_object_is_a_bpf_elf_file_with_btf(tmp_path, suite):
    out = compile_objects([suite], tmp_path / "out", cache=tmp_path / "cache")
    data = (out / "small" / "one.bpf.o").read_bytes()
    assert data[:4] == b"\x7fELF"
    assert int.from_bytes(data[18:20], "little") == 247  # EM_BPF
    assert b".BTF.ext" in data


def test_a_second_time_nothing_is_compiled(tmp_path, suite):
    first = compile_objects([suite], tmp_path / "first", cache=tmp_path / "cache")
    second = compile_objects([suite], tmp_path / "second", cache=tmp_path / "cache")
    assert _inode(first) == _inode(second)


@pytest.mark.parametrize(("name", "text"), [("own.h", "#define OWN 2\n"), ("one.bpf.c", SOURCE + "\n")])
def test_a_changed_source_or_header_is_compiled_again(tmp_path, suite, name, text):
    first = compile_objects([suite], tmp_path / "out", cache=tmp_path / "cache")
    before = _inode(first)
    (suite.directory / "bpf" / name).write_text(text)
    assert _inode(compile_objects([suite], tmp_path / "out", cache=tmp_path / "cache")) != before


def test_placing_leaves_only_objects_behind(tmp_path, suite):
    for _ in range(2):
        out = compile_objects([suite], tmp_path / "out", cache=tmp_path / "cache")
    assert os.listdir(out / "small") == ["one.bpf.o"]  # noqa: PTH208
    (kept,) = (tmp_path / "cache").iterdir()
    assert os.listdir(kept) == ["one.bpf.o"]  # noqa: PTH208


def test_a_source_that_does_not_compile_is_named_with_the_compilers_words(tmp_path, suite):
    source = suite.bpf_sources[0]
    source.write_text("int broken(void) { return nothing; }\n")
    with pytest.raises(ToolchainError) as error:
        compile_objects([suite], tmp_path / "out", cache=tmp_path / "cache")
    assert str(source) in error.value.summary
    assert "undeclared identifier 'nothing'" in error.value.detail
    assert not list((tmp_path / "cache").rglob("*.o"))


def test_a_program_sees_no_file_of_the_hosts(tmp_path, suite):
    secret = tmp_path / "secret.h"
    secret.write_text("#define OWN 1\n")
    suite.bpf_sources[0].write_text(f'#include "{secret}"\n' + SOURCE)
    with pytest.raises(ToolchainError) as error:
        compile_objects([suite], tmp_path / "out", cache=tmp_path / "cache")
    assert "file not found" in error.value.detail


def test_without_programs_nothing_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        compile_objects([Suite("none", "", tmp_path)], tmp_path / "out", cache=tmp_path / "cache") == tmp_path / "out"
    )
