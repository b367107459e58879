"""The suites' benches as the host collects them: which there are, in which order, and which are quick."""

import itertools
import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

SUITES = PROJECT / "suites"


@pytest.fixture(scope="module")
def collected():
    """Names of all benches that an expression of marks selects, in the order in which they run."""

    def collect(*words):
        folders = [str(path) for path in sorted(SUITES.glob("*/bench_*.py"))]
        argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-c", str(SUITES / "pytest.ini"), *words]
        env = {**os.environ, "PYTHONPATH": str(PROJECT / "vm"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([*argv, *folders], cwd=SUITES, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line for line in done.stdout.splitlines() if "::" in line]

    return collect


def place(name):
    """What a bench is run on: its file, device, mode, and whether its frames are jumbo frames."""
    cases = dict(pair.split("=") for pair in name.partition("[")[2].rstrip("]").split(","))
    mode = cases.get("mode", "") if "bench_actions" in name else ""
    return name.partition("::")[0], cases.get("device", ""), mode, cases.get("size") == "9000"


def test_benches_of_one_place_follow_each_other(collected):
    of_devices = [name for name in collected() if "[device=" in name]
    assert len(of_devices) > 200
    places = [key for key, _ in itertools.groupby(of_devices, place)]
    assert len(places) == len(set(places))


def test_the_quick_selection_is_small_and_has_every_kind(collected):
    quick = collected("-m", "quick")
    assert 15 <= len(quick) <= 40
    for kind in (
        "bench_drop",
        "bench_tx",
        "bench_rxdrop",
        "bench_txonly",
        "bench_pass_to_socket",
        "bench_tcp_forwarded",
    ):
        assert any(f"::{kind}[" in name for name in quick), kind
    assert any("xdp_multibuf/" in name for name in quick)
