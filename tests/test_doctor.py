"""`ktrial doctor` tells what is there, what is broken, what is missing, and which package brings it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from harness import record
from harness.cli_doctor import doctor
from harness.command import Jail
from harness.doctor import Check, State, accelerator, apt, examine, host, missing_packages, programs, system
from harness.doctor.instruments import instruments
from harness.errors import ToolchainError
from harness.machine import accel
from harness.machine.accel import AcceleratorChoice
from harness.machine.model import Accelerator


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty cache: nothing there to boot."""
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Take programs off the PATH: everything else stays reachable through links."""

    def take(*names):
        folder = tmp_path / "bin"
        folder.mkdir()
        for directory in ("/usr/sbin", "/usr/bin"):
            for entry in os.scandir(directory):
                link = folder / entry.name
                if entry.name not in names and not link.is_symlink():
                    link.symlink_to(entry.path)
        monkeypatch.setenv("PATH", str(folder))

    return take


@pytest.fixture
def app():
    app = typer.Typer()
    app.command()(doctor)
    return app


def by_name(checks):
    return {check.name: check for check in checks}


def fake_program(folder, name, script):
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_every_package_satisfies_a_check_that_exists():
    names = {check.name for check in examine(boot=False)}
    assert {package.check for package in system.read_packages()} <= names


def test_every_package_has_a_reason():
    assert all(package.why for package in system.read_packages())


def test_a_missing_program_names_its_package(without):
    without("bison")
    bison = by_name(examine(boot=False))["bison"]
    assert (bison.state, bison.packages) == (State.MISSING, ("bison",))


def test_a_missing_ccache_stops_nothing(without):
    without("ccache")
    ccache = by_name(examine(boot=False))["ccache"]
    assert ccache.state is State.OPTIONAL_MISSING
    assert not ccache.state.stops


@pytest.mark.parametrize(
    ("script", "state", "found"),
    [
        ("echo 6.0.1", State.OK, "PyYAML 6.0.1"),
        ("echo No module named yaml >&2; exit 1", State.OPTIONAL_MISSING, "has no PyYAML"),
        (None, State.OPTIONAL_MISSING, "python3 has no PyYAML"),
    ],
)
def test_the_systems_python_is_asked_for_yaml(tmp_path, monkeypatch, script, state, found):
    if script:
        fake_program(tmp_path, "python3", script)
    monkeypatch.setattr(programs, "_SYSTEM_PATH", str(tmp_path))
    yaml = by_name(examine(boot=False))["yaml"]
    assert (yaml.state, yaml.packages) == (state, ("python3-yaml",))
    assert found in yaml.found


def test_without_gcc_the_libraries_are_not_called_broken(without):
    without("gcc")
    checks = by_name(examine(boot=False))
    assert {checks[name].state for name in ("gcc", "libelf", "libssl", "libbpf")} == {State.MISSING}


def test_a_header_that_is_not_there_is_missing():
    finding = programs.header("no/such/header.h", "c")()
    assert finding.state is State.MISSING
    assert "no/such/header.h" in finding.found


def test_a_clang_without_the_bpf_target_is_broken(without, tmp_path):
    without("clang")
    fake_program(
        tmp_path / "bin", "clang", '[ "$1" = --version ] && { echo clang version 99; exit; }\necho no bpf here; exit 1'
    )
    finding = programs.bpf_compiler()
    assert finding.state is State.BROKEN
    assert "no bpf here" in finding.found


def test_an_old_pahole_is_broken(without, tmp_path):
    without("pahole")
    fake_program(tmp_path / "bin", "pahole", "echo v1.12")
    assert programs.pahole().state is State.BROKEN


def test_a_qemu_without_tcg_is_broken(without, tmp_path):
    without("qemu-system-x86_64")
    fake_program(tmp_path / "bin", "qemu-system-x86_64", "echo kvm")
    assert programs.qemu().state is State.BROKEN


@pytest.mark.parametrize(
    ("kvm", "pmu", "words"),
    [
        (False, "cpu", "icount, profile; no cycles and no wall in guests: KVM boots none"),
        (True, "power", "icount, profile; wall; no cycles: this machine shows no PMU"),
        (True, "cpu_core", "icount, profile; wall and cycles"),
        (None, "cpu", "icount, profile; wall and cycles where KVM boots a kernel"),
    ],
)
def test_the_instruments_of_this_machine_are_named(without, tmp_path, kvm, pmu, words):
    without("qemu-system-x86_64")
    fake_program(tmp_path / "bin", "qemu-system-x86_64", "printf 'help\\n-icount [shift=N]\\n-plugin [file=]FILE\\n'")
    (tmp_path / "devices" / pmu).mkdir(parents=True)
    found = instruments(lambda: kvm, tmp_path / "devices")()
    assert (found.state, found.found) == (State.OK, words)


def test_a_qemu_without_plugins_profiles_nothing(without, tmp_path):
    without("qemu-system-x86_64")
    fake_program(tmp_path / "bin", "qemu-system-x86_64", "printf 'help\\n-icount [shift=N]\\n'")
    found = instruments(None, tmp_path)()
    assert found.state is State.OPTIONAL_MISSING
    assert found.found.startswith("icount; ")
    assert "plugins" in found.advice


def test_a_sandbox_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    unmakable = Jail(read_only=((tmp_path / "not there", Path("/mnt")),))
    monkeypatch.setattr(programs, "Jail", lambda: unmakable)
    finding = programs.sandbox()
    assert finding.state is State.BROKEN
    assert "not there" in finding.found
    assert "user namespaces" in finding.advice


def test_a_program_that_crashes_is_broken(without, tmp_path):
    without("flex")
    fake_program(tmp_path / "bin", "flex", "echo cannot load libfl >&2; exit 127")
    assert by_name(examine(boot=False))["flex"].state is State.BROKEN


@pytest.mark.parametrize(
    ("name", "forbids", "turn"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_each_switch_that_forbids_user_namespaces_is_named(tmp_path, name, forbids, turn):
    switch = tmp_path / name
    switch.parent.mkdir()
    switch.write_text(f"{forbids}\n")
    assert turn in programs._why_no_sandbox(tmp_path)


def test_virtme_ng_beside_the_interpreter_is_taken(tmp_path, monkeypatch):
    fake_program(tmp_path, "vng", "echo virtme-ng 99.1")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert programs.virtme_ng().found == f"virtme-ng 99.1, {tmp_path}/vng"


def test_a_virtme_ng_elsewhere_does_not_do(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    finding = programs.virtme_ng()
    assert (finding.state, finding.advice) == (State.MISSING, f"{tmp_path}/python -m pip install virtme-ng")


def test_no_kvm_is_no_obstacle(tmp_path):
    finding = host.kvm(None, tmp_path / "kvm")()
    assert finding.state is State.OPTIONAL_MISSING
    assert "TCG" in finding.found


def test_a_device_that_is_not_kvm_is_told_apart():
    assert "is not KVM" in host.kvm(None, Path("/dev/null"))().found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every device")
def test_a_kvm_that_is_not_permitted_says_which_group_to_join(tmp_path):
    device = tmp_path / "kvm"
    device.touch(mode=0)
    assert "adduser" in host.kvm(None, device)().advice


@pytest.mark.parametrize(
    ("booted", "state", "words"),
    [
        (True, State.OK, "boots a kernel"),
        (False, State.OPTIONAL_MISSING, "hangs"),
        (None, State.OK, "decides by booting"),
    ],
)
def test_kvm_is_judged_by_booting_a_kernel(monkeypatch, booted, state, words):
    monkeypatch.setattr(host, "_open", lambda device: None)
    finding = host.kvm(lambda: booted)()
    assert finding.state is state
    assert words in finding.found


def test_little_memory_stops_a_trial(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\n")
    assert host.memory(meminfo).state is State.BROKEN


def test_a_full_disk_says_which_variable_moves_the_folder(tmp_path):
    finding = host.disk(tmp_path / "not" / "yet", 10**9, "KTRIAL_CACHE")()
    assert finding.state is State.BROKEN
    assert "KTRIAL_CACHE" in finding.advice


@pytest.mark.parametrize(
    ("text", "debian"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n', True),
        ("NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n", True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ("ID=fedora\n", False),
        ('ID=opensuse-leap\nID_LIKE="suse opensuse"\n', False),
    ],
)
def test_systems_with_debians_package_names_are_recognised(tmp_path, text, debian):
    release = tmp_path / "os-release"
    release.write_text(text)
    assert system.this_system(release).debian is debian


def test_a_system_without_os_release_has_no_known_packages(tmp_path):
    assert not system.this_system(tmp_path / "none").debian


def test_missing_packages_are_those_of_the_checks_that_failed():
    checks = (
        Check("gcc", State.MISSING, "", "", ("gcc", "libc6-dev")),
        Check("ld", State.OK, "", "", ("binutils",)),
        Check("ccache", State.OPTIONAL_MISSING, "", "", ("ccache",)),
    )
    assert missing_packages(checks) == ("ccache", "gcc", "libc6-dev")


@pytest.mark.skipif(not system.this_system().debian, reason="dpkg is Debian's")
def test_what_is_broken_though_installed_is_not_installed_again():
    packages = ("dpkg", "no-such-package-at-all")
    assert missing_packages([Check("sandbox", State.BROKEN, "", "", packages)]) == ("no-such-package-at-all",)


def test_elsewhere_nothing_is_installed(monkeypatch):
    monkeypatch.setattr(apt, "this_system", lambda: system.System("Fedora Linux 43", debian=False))
    with pytest.raises(ToolchainError, match="neither Debian nor Ubuntu"):
        apt.install(("gcc",), say=print)


def fake_apt(without, tmp_path, monkeypatch, script):
    """An apt-get that only keeps a record: installing for real is not for a test."""
    without("apt-get")
    fake_program(tmp_path / "bin", "apt-get", f'echo "$@" >> {tmp_path}/calls\n{script}')
    monkeypatch.setattr(apt, "this_system", lambda: system.System("Debian", debian=True))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return lambda: [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]


def test_present_package_lists_are_not_updated(without, tmp_path, monkeypatch):
    calls = fake_apt(without, tmp_path, monkeypatch, "exit 0")
    apt.install(("bc",), say=lambda line: None)
    assert calls() == ["install"]


def test_package_lists_are_updated_where_installing_fails(without, tmp_path, monkeypatch):
    calls = fake_apt(
        without, tmp_path, monkeypatch, f"[ $1 = update ] && touch {tmp_path}/updated\n[ -e {tmp_path}/updated ]"
    )
    said = []
    apt.install(("bc",), say=said.append)
    assert calls() == ["install", "update", "install"]
    assert said[0] == "installing bc"


def test_a_package_that_cannot_be_installed_is_an_error_with_the_command(without, tmp_path, monkeypatch):
    fake_apt(without, tmp_path, monkeypatch, "exit 100")
    with pytest.raises(ToolchainError) as caught:
        apt.install(("bc",), say=lambda line: None)
    assert caught.value.hint == "sudo apt-get install --no-install-recommends bc"


def test_without_root_and_sudo_the_command_to_type_is_given(without, monkeypatch):
    without("sudo")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(apt, "this_system", lambda: system.System("Debian", debian=True))
    with pytest.raises(ToolchainError, match="sudo is not installed") as caught:
        apt.install(("bc",), say=lambda line: None)
    assert "apt-get install" in caught.value.hint


def test_the_command_exits_with_6_where_something_required_is_missing(app, without):
    without("bison")
    result = CliRunner().invoke(app)
    assert result.exit_code == 6
    assert "apt-get install --no-install-recommends bison" in result.output


def test_the_command_prints_a_line_for_each_check_in_a_pipe(app):
    result = CliRunner().invoke(app)
    lines = result.output.splitlines()
    assert all(any(line.startswith(check.name) for line in lines) for check in examine(boot=False))


def test_the_json_names_what_to_install(app, without):
    without("flex")
    report = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert (report["ready"], report["install"]) == (False, ["flex"])


def test_fix_installs_and_looks_again(app, without, tmp_path, monkeypatch):
    without("bc", "apt-get")
    fake_program(tmp_path / "bin", "apt-get", f"ln -s /usr/bin/bc {tmp_path}/bin/bc")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = CliRunner().invoke(app, ["--fix"])
    assert "installing bc" in result.output
    assert by_name(examine(boot=False))["bc"].state is State.OK


@pytest.mark.skipif(not system.this_system().debian, reason="dpkg is Debian's")
def test_the_packages_are_known_to_this_system():
    names = [package.name for package in system.read_packages()]
    known = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=True).stdout.split()
    if len(known) < 10_000:
        pytest.skip("the package lists are not there: apt-get update brings them")
    assert set(names) <= set(known)


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A cache with a base kernel and a newer patched one; the list of what was tried with KVM, which never boots."""
    for number, key in enumerate(("base", "patched")):
        image = tmp_path / "cache" / "builds" / key / "bzImage"
        image.parent.mkdir(parents=True)
        image.touch()
        os.utime(image, (number, number))
    (image.parent / "borrowed-objects").touch()
    probed = []

    def choose(asked, image):
        probed.append(image.parent.name)
        return AcceleratorChoice(Accelerator.TCG, "no kernel came up", "here")

    monkeypatch.setattr(accelerator, "choose_accelerator", choose)
    return probed


def test_kvm_is_tried_with_a_kernel_that_no_series_has_changed(kernels):
    assert accelerator.kvm_boots() is False
    assert kernels == ["base"]


def test_kvm_is_not_judged_where_no_kernel_is_built():
    assert accelerator.kvm_boots() is None


def test_kvm_is_not_judged_without_qemu(without, tmp_path):
    record.save(tmp_path / "cache" / "accelerator.json", AcceleratorChoice(Accelerator.KVM, "it came up", "here"))
    without("qemu-system-x86_64")
    assert accelerator.kvm_boots() is None


@pytest.mark.parametrize(
    ("found", "hours", "holds"),
    [(Accelerator.TCG, 23, True), (Accelerator.TCG, 25, False), (Accelerator.KVM, 1000, True)],
)
def test_a_no_of_kvm_is_doubted_after_a_day(tmp_path, monkeypatch, found, hours, holds):
    monkeypatch.setattr(accel, "_host", lambda: "here")
    choice = AcceleratorChoice(found, "tried", "here", time.time() - hours * 3600)
    record.save(tmp_path / "cache" / "accelerator.json", choice)
    assert (accel.cached_choice() is not None) is holds
