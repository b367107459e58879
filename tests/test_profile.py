"""What the profile plugin writes is read back as functions, checked against the clock, and compared."""

import struct

import pytest

from harness.errors import MachineLost, UsageError
from harness.native_tools import build_tool
from harness.perf import source_lines
from harness.perf.attribution import Kernel, attribute
from harness.perf.blame import Blame, blame
from harness.perf.profile import FunctionCost, Profile, plugin_api, read_profiles
from harness.perf.symbols import JIT, USER, Symbols, canonical, find_system_map
from harness.perf.trace import read_trace, samples
from harness.tree.model import Applied, AppliedPatch, Base, BaseReason
from tests.small_kernel import git

TEXT = 0xFFFFFFFF81000000
SYSTEM_MAP = f"""\
0000000000001000 D per_cpu_thing
{TEXT:x} T _stext
{TEXT + 0x10:x} T bpf_test_run
{TEXT + 0x40:x} t __alias
{TEXT + 0x40:x} T alias
{TEXT + 0x60:x} t copy.isra.0
{TEXT + 0x80:x} T ktime_get
{TEXT + 0x90:x} T bpf_ktime_get_ns
{TEXT + 0x100:x} T _etext
{TEXT + 0x200:x} D some_data
"""
PROGRAM = 0xFFFFFFFFA0000000


@pytest.fixture
def symbols(tmp_path):
    (tmp_path / "System.map").write_text(SYSTEM_MAP)
    return Symbols(tmp_path / "System.map")


class Written:
    """A trace as the plugin writes it."""

    def __init__(self):
        self.data = b"KTPROF1\0"
        self.marks = 0

    def block(self, number, address, *sizes):
        self.data += b"T" + struct.pack("=IHQ", number, len(sizes), address) + bytes(sizes)

    def mark(self, kind, value=0, packets=0, **counts):
        self.data += b"M" + struct.pack("=cIII", kind, value, packets, len(counts))
        for name, (runs, lines) in counts.items():
            self.data += struct.pack("=III", int(name[1:]), runs, lines)
        self.marks += 1

    def to(self, path, *, whole=True):
        path.write_bytes(self.data + (b"E" + struct.pack("=I", self.marks) if whole else b""))
        return path


def one_batch(packets=4, runs=4):
    """A segment of a bench: the clock is read, packets run 12 instructions each, and it is read again; then more."""
    trace = Written()
    trace.mark(b"B", 0)
    trace.block(1, TEXT + 0x10, 3, 3, 4)
    trace.block(2, PROGRAM, 5, 1)
    trace.block(3, TEXT + 0x5E, 2, 4)  # from one function into the next
    trace.block(4, TEXT + 0x80, 2)
    trace.mark(b"C", 0, b1=(100, 7))
    trace.mark(b"C", 0, packets, b1=(runs * 2, 8), b2=(runs, 4), b3=(runs, 4), b4=(1, 0))
    trace.mark(b"C", 0, b1=(5, 0))
    trace.mark(b"E", 0, b1=(9, 0))
    return trace


def figure(*values, per=4, **more):
    profile = {"first": 0, "segments": len(values), "clock": "ktime_get", "per": per, **more}
    return {"unit": "insns/packet", "values": list(values), "profile": profile}


def profile_of(folder, trace, told, symbols, **options):
    qemu = folder / "boots" / "000" / "qemu"
    qemu.mkdir(parents=True)
    trace.to(qemu / "profile.bin", **options)
    (found,) = read_profiles(folder / "boots", {"bench": told}, symbols)
    return found


def test_addresses_are_functions_of_the_source(symbols):
    assert symbols.name(TEXT + 0x10) == "bpf_test_run"
    assert symbols.name(TEXT + 0x3F) == "bpf_test_run"
    assert symbols.name(TEXT + 0x45) == "alias"
    assert symbols.name(TEXT + 0x60) == "copy"
    assert symbols.name(PROGRAM) == JIT
    assert symbols.name(0x7F0000001000) == USER
    assert symbols.address("ktime_get") == TEXT + 0x80
    assert symbols.is_start(TEXT + 0x40)
    assert not symbols.is_start(TEXT + 0x41)


@pytest.mark.parametrize(
    ("clone", "name"),
    [
        ("xdp_do.isra.0", "xdp_do"),
        ("xdp_do.constprop.0.isra.3", "xdp_do"),
        ("xdp_do.part.0.cold", "xdp_do"),
        ("plain", "plain"),
    ],
)
def test_clones_bear_their_source_s_name(clone, name):
    assert canonical(clone) == name


def test_an_address_of_many_names_is_called_as_on_the_other_kernel(tmp_path):
    """Whichever of its names a series adds or takes away."""
    maps = {name: tmp_path / name for name in ("base", "patched")}
    maps["base"].write_text(SYSTEM_MAP)
    maps["patched"].write_text(SYSTEM_MAP.replace("T alias", "T it"))
    assert Symbols(maps["patched"]).name(TEXT + 0x40) == "it"
    both = [Symbols(maps["patched"], maps["base"]), Symbols(maps["base"], maps["patched"])]
    assert [symbols.name(TEXT + 0x40) for symbols in both] == ["__alias", "__alias"]


def test_a_file_without_functions_is_no_system_map(tmp_path):
    (tmp_path / "System.map").write_text("hello\n")
    with pytest.raises(UsageError, match="no text symbols"):
        Symbols(tmp_path / "System.map")


def test_the_system_map_of_a_build_folder_is_found(tmp_path):
    image = tmp_path / "arch/x86/boot/bzImage"
    image.parent.mkdir(parents=True)
    assert find_system_map(image) is None
    (tmp_path / "System.map").write_text(SYSTEM_MAP)
    assert find_system_map(image) == tmp_path / "System.map"


def test_what_ran_around_the_packets_is_the_bench(tmp_path, symbols):
    segment = read_trace(one_batch().to(tmp_path / "trace"), symbols)[0]
    (sample,) = samples(segment, 0, every=False)
    assert sample.packets == 4
    assert sample.insns == {"bpf_test_run": 24, JIT: 8, "alias": 4, "copy": 4, "ktime_get": 1}
    assert sample.calls["bpf_test_run"] == 8


def test_a_profile_is_medians_for_one_packet(tmp_path, symbols):
    found = profile_of(tmp_path, one_batch(), figure(10.0), symbols)
    assert not found.failure
    assert found.counted == 10.25
    assert found.functions[0] == FunctionCost("bpf_test_run", 6.0, 2.0, 2.0)


def test_stamps_of_a_program_delimit_many_samples(tmp_path, symbols):
    trace = Written()
    trace.mark(b"B", 0)
    trace.block(1, PROGRAM, 5, 1)
    for runs in (70, 64, 64, 64):
        trace.mark(b"C", 1, runs, b1=(runs, 0))
    trace.mark(b"E", 0)
    found = profile_of(
        tmp_path, trace, figure(2.0, 2.0, 2.0, per=64, segments=1, clock="bpf_ktime_get_ns", every=True), symbols
    )
    assert not found.failure
    assert found.functions == (FunctionCost(JIT, 2.0, 0.0, 0.0),)


def read_by_turns():
    """The clock is read before and after each of two packets, with 50 instructions in between that are none's."""
    trace = Written()
    trace.mark(b"B", 0)
    trace.block(1, PROGRAM, 5, 1)
    for runs in (1, 10, 25, 12):
        trace.mark(b"C", 1, b1=(runs, 0))
    trace.mark(b"E", 0)
    return trace


def test_the_clock_is_read_by_turns(tmp_path, symbols):
    told = figure(22.0, per=1, segments=1, clock="bpf_ktime_get_ns", every=True, stride=2, packets=False)
    found = profile_of(tmp_path, read_by_turns(), told, symbols)
    assert (found.failure, found.counted) == ("", 22)


def test_laps_of_user_space_may_be_of_different_lengths(tmp_path, symbols):
    trace = Written()
    trace.mark(b"B", 0)
    trace.block(1, 0x401000, 5, 1)
    for runs in (7, 900, 64, 96):
        trace.mark(b"C", 2, b1=(runs, 0))
    trace.mark(b"E", 0)
    told = figure(2.0, per=[64, 96], segments=1, clock="lap", every=True, skip=1, packets=False)
    found = profile_of(tmp_path, trace, told, symbols)
    assert not found.failure
    assert found.functions == (FunctionCost(USER, 2.0, 0.0, 0.0),)


@pytest.mark.parametrize(
    ("trace", "told", "words"),
    [
        (one_batch(), figure(20.0), "10.25 insns for a packet were counted, and the clock said 20.00"),
        (one_batch(packets=3), figure(10.0), "3 packets were counted where 4 were sent"),
        (one_batch(), figure(10.0, 10.0), "ended before its profile was whole"),
        (one_batch(), figure(10.0, clock=""), "does not say by which clock"),
        (one_batch(packets=0), figure(10.0), "never read"),
        (one_batch(packets=0), figure(10.0, every=True), "0 packets were counted where 4 were sent"),
        (one_batch(), figure(10.0, per=[4, 4]), "read for 1 samples, and it has 2"),
    ],
)
def test_what_does_not_add_up_is_told_and_not_used(tmp_path, symbols, trace, told, words):
    found = profile_of(tmp_path, trace, told, symbols)
    assert words in found.failure
    assert not found.functions


def test_a_trace_that_is_cut_short_is_no_profile(tmp_path, symbols):
    with pytest.raises(MachineLost, match="cut short"):
        profile_of(tmp_path, one_batch(), figure(10.0), symbols, whole=False)


@pytest.mark.parametrize(
    ("version", "api"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", 1),
        ("QEMU emulator version 8.2.2", 1),
        ("QEMU emulator version 9.0.2", 2),
        ("QEMU emulator version 9.1.0", 3),
        ("QEMU emulator version 10.0.7 (Debian 1:10.0.7+ds-0+deb13u1)", 3),
    ],
)
def test_the_plugin_is_built_for_the_qemu_that_is_there(version, api):
    assert plugin_api(version) == api


@pytest.mark.parametrize("api", [1, 2, 3])
def test_the_plugin_compiles_for_every_interface(tmp_path, api):
    assert build_tool("profile", tmp_path, variables=(f"PLUGIN_API={api}",), cache=tmp_path / "cache").is_file()


def kernel(*boots, has=lambda name: True, frames=dict, at=()):
    """A side: for each boot the functions' instructions."""
    profiles = tuple(
        Profile(
            "bench",
            functions=tuple(FunctionCost(name, insns, 1.0, 1.0) for name, insns in functions.items()),
            at=at,
        )
        for functions in boots
    )
    return Kernel(profiles, has, lambda _: frames(), lambda address: "grown" if address < 200 else "other")


def test_a_difference_goes_to_the_functions_that_make_it():
    base = kernel({"same": 30, "grown": 10, "gone": 9}, {"same": 30, "grown": 10, "gone": 9}, has=lambda n: n != "new")
    patched = kernel(
        {"same": 30, "grown": 22, "new": 3}, {"same": 30, "grown": 22, "new": 3}, has=lambda n: n != "gone"
    )
    told = attribute("bench", base, patched)
    assert told.delta == 6
    assert told.rest == 0
    assert [(each.name, each.delta, each.why) for each in told.functions] == [
        ("grown", 12, ""),
        ("gone", -9, "inlined or gone"),
        ("new", 3, "new"),
    ]


def test_what_differs_between_boots_of_one_kernel_is_no_difference():
    told = attribute("bench", kernel({"slab": 30}, {"slab": 33}), kernel({"slab": 33}, {"slab": 34}))
    assert told.functions == ()
    assert told.rest == told.delta == 2


def test_instructions_at_a_patch_s_lines_are_its_own():
    frames = {100: (("inlined", ("a.h", 5)), ("grown", ("a.c", 10))), 101: (("grown", ("a.c", 12)),)}
    base = kernel({"grown": 1}, at=(((101,), 1.0),), frames=lambda: frames)
    patched = kernel({"grown": 3}, at=(((100, 101), 1.0), ((100,), 1.0)), frames=lambda: frames)
    told = attribute("bench", base, patched, Blame(added={("a.c", 10): 2}, removed={("a.c", 12): 1}))
    assert [(share.number, share.insns) for share in told.functions[0].patches] == [(2, 2.0), (1, -1.0)]


def test_a_function_that_the_compiler_moved_is_found_where_it_is():
    """Its instructions run in another function on one of the kernels; DWARF has their names."""
    inlined = {100: (("gone", ("a.h", 5)), ("grown", ("a.c", 10)))}
    apart = kernel({"grown": 10, "gone": 9}, at=(((300, 301), 9.0),), has=lambda name: name != "elsewhere")
    within = kernel({"grown": 19}, at=(((100,), 9.0),), frames=lambda: inlined, has=lambda name: name != "gone")
    told = {each.name: each.why for each in attribute("bench", apart, within).functions}
    assert told == {"grown": "", "gone": "inlined into grown (+9)"}
    told = {each.name: each.why for each in attribute("bench", within, apart).functions}
    assert told == {"grown": "", "gone": "no longer inlined into grown (-9)"}


def test_each_instruction_is_looked_up_once(monkeypatch, tmp_path):
    asked = []

    def frames(vmlinux, addresses):
        asked.append(sorted(addresses))
        return {1: (("f", ("a.c", 1)),)}

    monkeypatch.setattr(source_lines, "frames_of", frames)
    lines = source_lines.SourceLines(tmp_path / "vmlinux")
    assert lines.frames([1, 2])[1] == lines.frames([2, 1])[1] == (("f", ("a.c", 1)),)
    lines.frames([2, 3])
    assert asked == [[1, 2], [3]]  # of 2 nothing is known, and will not be


def test_a_profile_that_failed_attributes_nothing():
    broken = Kernel((Profile("bench", failure="the guest ended"),), lambda _: True, lambda _: {}, str)
    assert attribute("bench", kernel({"a": 1}), broken).failure == "on patched: the guest ended"


def test_lines_are_blamed_on_the_patches_that_changed_them(tmp_path):
    git(tmp_path, "init", "--quiet")
    commits = []
    for text in ("a\nb\nc\nd\n", "a\nb\nnew\nc\nd\n", "b\nnew\nC\nd\n"):
        (tmp_path / "x.c").write_text(text)
        git(tmp_path, "add", "x.c")
        git(tmp_path, "commit", "--quiet", "--message", "change")
        commits.append(git(tmp_path, "rev-parse", "HEAD").strip())
    base = Base(commits[0], "tree", BaseReason.HEAD, "it is HEAD", "6.12")
    patches = tuple(AppliedPatch(n, "s", commits[n], ("x.c",), "clean") for n in (1, 2))
    found = blame(tmp_path, Applied(base, patches, commits[2], "tree", ("x.c", "gone.c")))
    assert found.added == {("x.c", 2): 1, ("x.c", 3): 2}
    assert found.removed == {("x.c", 1): 2, ("x.c", 3): 2}
