"""The planted bugs are small, well-formed patches to the code that the suites cover."""

from __future__ import annotations

import email
import email.policy
import subprocess
from pathlib import Path

import pytest

from harness.suites import find_suites, pick_suites

MUTANTS = sorted((Path(__file__).parent / "mutants").glob("*.patch"))
# By the first word of a name; the others are found by xdp_multibuf.
FOUND_BY = {
    "meta": "xdp_metadata",
    "xsk": "af_xdp",
    **dict.fromkeys(("bonding", "netdevsim", "tun", "virtio", "vmxnet3"), "drivers"),
}


def _touched(patch: Path) -> dict[str, int]:
    """Lines added and removed by file, as git reads the patch."""
    done = subprocess.run(["git", "apply", "--numstat", patch], check=True, capture_output=True, text=True, cwd="/")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {file: int(added) + int(removed) for added, removed, file in rows}


def test_there_are_several_for_each_file():
    assert len(MUTANTS) >= 40
    files = [file for patch in MUTANTS for file in _touched(patch)]
    for file in ("net/core/filter.c", "net/core/xdp.c", "net/bpf/test_run.c"):
        assert files.count(file) >= 2


@pytest.mark.parametrize("patch", MUTANTS, ids=lambda path: path.stem)
def test_a_planted_bug_is_one_small_mail(patch):
    mail = email.message_from_bytes(patch.read_bytes(), policy=email.policy.default)
    assert mail["subject"].startswith("[PATCH] ")
    assert mail["from"] == "Kernel Developer <dev@example.org>"
    touched = _touched(patch)
    assert len(touched) == 1
    assert sum(touched.values()) <= 12


@pytest.mark.parametrize("patch", MUTANTS, ids=lambda path: path.stem)
def test_a_planted_bug_picks_the_suite_that_finds_it(patch):
    picked = [picked.suite.name for picked in pick_suites(find_suites(), _touched(patch))]
    assert FOUND_BY.get(patch.name.partition("-")[0], "xdp_multibuf") in picked
