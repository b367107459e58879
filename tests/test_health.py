"""What tests leave behind in a kernel: named for the test that made it, and judged against base. No guest is booted."""

import time

import pytest

from harness.compare import Change, compare
from harness.machine.journal import collect
from harness.results import Left, Outcome, SideResults, TestResult, left_reason
from harness.splats import find_splats
from tests.test_journal import boot, finished
from vm import health

LEAK = """unreferenced object 0xffff888006a9e800 (size 512):
  comm "python3", pid 123, jiffies 4294939296
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace (crc 61dfb5f4):
    [<ffffffff81c00010>] kmemleak_alloc+0x4b/0x80
    [<ffffffff814f0010>] __kmalloc_cache_noprof+0x2d5/0x3a0
    [<ffffffff81a00010>] bpf_test_init.isra.0+0xa5/0x150
    [<ffffffff81a00020>] bpf_prog_test_run_xdp+0x2a5/0x9d0
"""
MAP = Left("bpf map", "frames")


def gather(folder, *tests, **health):
    boot(folder)
    down = {"event": "node-down", "worker": "gw0", "error": "", "after": "", "boot": "000", **health}
    return collect("patched", [*(finished(test) for test in tests), down], folder, find_splats, attempt=1, seconds=9.0)


def test_what_was_left_behind_fails_the_test_that_made_it(tmp_path):
    made, other = gather(tmp_path, "s/t.py::a", "s/t.py::b", left=[["s/t.py::a", "link", "veth0"]]).results
    assert (made.outcome, made.reason, made.left) == (
        Outcome.FAILED,
        "left behind: link veth0",
        (Left("link", "veth0"),),
    )
    assert other.outcome is Outcome.PASSED


def test_what_kmemleak_found_is_a_splat_of_the_test_that_ran_then(tmp_path):
    reports = {"s/t.py::a": f"[   12.000000] kmemleak: {LEAK}".replace("\n ", "\n[   12.000000] ")}
    made, other = gather(tmp_path, "s/t.py::a", "s/t.py::b", kmemleak=reports).results
    assert made.outcome is Outcome.FAILED
    assert made.reason == "kernel log: kmemleak: unreferenced object in bpf_test_init"
    assert made.splats[0].frames[:2] == ("bpf_test_init", "bpf_prog_test_run_xdp")
    assert other.outcome is Outcome.PASSED


def test_what_leaked_before_the_first_test_is_the_boots(tmp_path):
    side = gather(tmp_path, "s/t.py::a", kmemleak={"": f"[    1.000000] kmemleak: {LEAK}"})
    assert side.results[0].outcome is Outcome.PASSED
    assert [splat.kind for splat in side.boots[0].splats] == ["kmemleak: unreferenced object"]


def test_a_long_list_is_cut_in_the_reason():
    left = tuple(Left("link", f"veth{number}") for number in range(6))
    assert left_reason(left) == "left behind: link veth0, link veth1, link veth2, link veth3 (and 2 more)"


def side(name, **left):
    """A side whose tests left things behind."""
    results = [
        TestResult(test, Outcome.FAILED if what else Outcome.PASSED, left_reason(what) if what else "", left=what)
        for test, what in left.items()
    ]
    return SideResults(name, tuple(results), (), 1.0, booted=True)


@pytest.mark.parametrize(
    ("base", "patched", "change"),
    [
        ((), (MAP,), Change.REGRESSION),
        ((MAP,), (MAP,), Change.STILL_FAILING),
        ((MAP,), (), Change.FIXED),
    ],
)
def test_what_only_the_patched_kernel_keeps_is_a_regression(base, patched, change):
    (test,) = compare(side("base", a=base), side("patched", a=patched)).tests
    assert test.change is change


def test_what_base_keeps_in_another_test_is_not_the_series_doing():
    changes = {test.test: test for test in compare(side("base", a=(MAP,), b=()), side("patched", a=(), b=(MAP,))).tests}
    assert changes["b"].change is Change.KNOWN_SPLAT
    assert not changes["b"].blamed


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A /sys/kernel with files that take what is written to them."""
    Clock(monkeypatch)
    event = tmp_path / "tracing" / "events" / "page_pool" / "page_pool_release"
    event.mkdir(parents=True)
    (event / "enable").write_text("0")
    (tmp_path / "tracing" / "trace_clock").write_text("[local] global mono")
    (tmp_path / "tracing" / "trace").write_text("")
    return tmp_path


def record(at, pool, pages):
    counts = f"inflight={pages} hold=9 release=1 cnt=0"
    return f" kworker/0:1-9 [000] ..... {at:.6f}: page_pool_release: page_pool={pool} {counts}\n"


@pytest.mark.parametrize(
    ("trace", "stalled"),
    [
        (record(99.0, "a", 0), []),
        (record(98.0, "a", 17) + record(99.0, "a", 0), []),
        (record(98.0, "a", 17) + record(103.0, "a", 16), [(98.0, "16 pages out")]),
        (record(98.0, "a", 17) + record(99.0, "a", 0) + record(103.0, "a", 2), [(103.0, "2 pages out")]),
        (record(20.0, "a", 17), []),  # nobody has come by for long: its records were lost
    ],
)
def test_a_page_pool_that_waits_for_its_pages_is_found(kernel, trace, stalled):
    pools = health.PagePools(kernel / "tracing")
    (kernel / "tracing" / "trace").write_text(trace)
    assert pools.stalled() == stalled
    assert (kernel / "tracing" / "trace_clock").read_text() == "local"


def test_a_kernel_without_these_checkers_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(health.PagePools, "__init__", lambda self, tracing: setattr(self, "_trace", None))
    assert health.Kmemleak(tmp_path / "none" / "kmemleak").scan() == []
    assert health.PagePools(tmp_path).stalled() == []


def test_an_object_is_dated_by_its_jiffies(tmp_path, monkeypatch):
    Clock(monkeypatch)
    monkeypatch.setattr(health, "_monotonic_of", lambda jiffies: jiffies / 1000)
    file = tmp_path / "kmemleak"
    file.write_text("")
    memory = health.Kmemleak(file)
    real = health._read
    monkeypatch.setattr(health, "_read", lambda path: LEAK * 2 if path == str(file) else real(path))
    (first, text), _ = memory.scan()
    assert first == 4294939.296
    assert all(line.startswith("[") for line in text.splitlines())
    assert find_splats(text)[0].function == "bpf_test_init"


def test_a_device_that_is_still_held_is_told_of_the_test_that_ran_when_the_kernel_began_to_wait():
    books = times((1.0, "s/t.py::a"), (5.0, "s/t.py::b"), (9.0, "s/t.py::c"))
    other = "[   16.300000] veth0: link becomes ready"
    assert books.dated(f"{held(16.203456)}\n{other}") == other
    assert books.late == [("s/t.py::b", held(16.203456))]


def test_and_so_is_each_time_that_the_kernel_says_it_again():
    books = times((5.0, "s/t.py::b"), (18.0, "s/t.py::c"), (40.0, "s/t.py::d"))
    assert [books.dated(held(at)) for at in (16.2, 26.4, 36.6)] == ["", "", ""]
    assert {test for test, _ in books.late} == {"s/t.py::b"}
    books.dated(held(56.0))  # another device of that name
    assert books.late[-1][0] == "s/t.py::d"


@pytest.mark.parametrize("scanned", [True, False])
def test_how_many_objects_leaked_is_nobodys_where_each_is_told_of_its_test(scanned):
    books = times((5.0, "s/t.py::b"))
    books._memory = type("Memory", (), {"is_scanned": scanned})()
    count = "[   56.203456] kmemleak: 8 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"
    assert books.dated(count) == ("" if scanned else count)


def test_a_device_that_was_held_before_all_tests_is_nobodys():
    books = times((8.0, "s/t.py::a"))
    assert books.dated(held(16.2)) == held(16.2)
    assert books.late == []


def times(*began):
    """Books of tests that began at these seconds."""
    books = object.__new__(health.Health)
    books._times, books._held, books.late = list(began), {}, []
    books._memory = type("Memory", (), {"is_scanned": False})()
    return books


def held(at):
    return f"[{at:12.6f}] unregister_netdevice: waiting for left to become free. Usage count = 2"
