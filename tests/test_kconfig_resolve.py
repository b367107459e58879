"""Resolving fragments: with small trees whose Makefiles play conf, and with packaged kernel sources."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from kconfig_samples import SAMPLES, Sample
from typer.testing import CliRunner

from harness import cli_config
from harness.errors import ConfigError, ToolchainError
from harness.kconfig import ResolvedConfig, explain, load_fragment, merge, resolve, values
from harness.kconfig.ask import ask
from harness.kconfig.configure import Bench, configure
from harness.kconfig.explain_process import answer
from harness.kernel_make import kernel_make
from harness.places import cache_dir

REAL_CACHE = cache_dir()

# A Makefile that takes what it is given for a configuration, as the kernel's does where nothing is lost.
OBEDIENT = """
allnoconfig:
\tcp $(KCONFIG_ALLCONFIG) $(O)/.config
defconfig:
\techo CONFIG_FROM_DEFCONFIG=y > $(O)/.config
olddefconfig:
\techo "# touched" >> $(O)/.config
listnewconfig:
\tenv -0 > $(O)/kconfig.env
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))


def tree(folder, makefile, sample="reasons"):
    shutil.copytree(SAMPLES / sample, folder)
    (folder / "Makefile").write_text(makefile)
    return folder


def fragment(folder, text, name="asked.config"):
    path = folder / name
    path.write_text(text)
    return load_fragment(str(path))


def work(folder, name="work"):
    (folder / name).mkdir()
    return folder / name


def test_a_configuration_that_holds_is_given_back(tmp_path):
    asked = fragment(tmp_path, "CONFIG_WIRE=y\nCONFIG_QUEUES=4\n")
    resolved = resolve(tree(tmp_path / "k", OBEDIENT), [asked], work=work(tmp_path))
    assert values(resolved.text) == {"WIRE": "y", "QUEUES": "4"}
    assert resolved.fragments == (asked,)
    assert resolved.absent == ()


def test_a_base_of_another_target_comes_under_the_fragments(tmp_path):
    asked = fragment(tmp_path, "CONFIG_WIRE=y\n")
    resolved = resolve(tree(tmp_path / "k", OBEDIENT), [asked], work=work(tmp_path), config_base="defconfig")
    assert values(resolved.text) == {"FROM_DEFCONFIG": "y", "WIRE": "y"}


def test_a_config_file_comes_under_the_fragments(tmp_path):
    (tmp_path / "mine").write_text('CONFIG_WIRE=n\nCONFIG_NAME="x"\n')
    asked = fragment(tmp_path, "CONFIG_WIRE=y\n")
    base = str(tmp_path / "mine")
    resolved = resolve(tree(tmp_path / "k", OBEDIENT), [asked], work=work(tmp_path), config_base=base)
    assert values(resolved.text) == {"NAME": '"x"', "WIRE": "y"}


def test_a_base_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration to start from: missing"):
        resolve(tree(tmp_path / "k", OBEDIENT), [], work=work(tmp_path), config_base="missing")


def test_fragments_in_conflict_stop_before_make_is_started(tmp_path):
    one = fragment(tmp_path, "CONFIG_WIRE=y\n", "one.config")
    two = fragment(tmp_path, "CONFIG_WIRE=n\n", "two.config")
    source = tree(tmp_path / "k", "allnoconfig:\n\t$(error started)\n")
    with pytest.raises(ConfigError) as caught:
        resolve(source, [one, two], work=work(tmp_path))
    assert caught.value.summary == (
        "fragments in conflict over CONFIG_WIRE: two.config:1 asks for n, one.config:1 for y"
    )


def test_a_lost_setting_stops_with_its_reason(tmp_path):
    """The Makefile drops NIC, as conf does without WIRE; Kconfiglib in its jail says why."""
    source = tree(tmp_path / "k", OBEDIENT.replace("cp $(KCONFIG_ALLCONFIG)", "grep -v NIC= $(KCONFIG_ALLCONFIG) >"))
    with pytest.raises(ConfigError) as caught:
        resolve(source, [fragment(tmp_path, "# Cards.\nCONFIG_NIC=y\nCONFIG_TINY=y\n")], work=work(tmp_path))
    assert caught.value.summary == "CONFIG_NIC=y does not take in this kernel: unmet dependency"
    assert caught.value.detail.splitlines()[0] == "asked.config:2: CONFIG_NIC=y is n: unmet dependency [Kconfig:14]"
    assert "depends on WIRE (=n, at Kconfig:11)" in caught.value.detail
    assert "no addition was found" in caught.value.hint


def test_additions_are_only_offered_when_the_trees_own_conf_agrees(tmp_path):
    conf = "if grep -q WIRE= $(KCONFIG_ALLCONFIG); then cp $(KCONFIG_ALLCONFIG) $(O)/.config; "
    conf += "else grep -v NIC= $(KCONFIG_ALLCONFIG) > $(O)/.config || true; fi"
    source = tree(tmp_path / "k", OBEDIENT.replace("cp $(KCONFIG_ALLCONFIG) $(O)/.config", conf))
    with pytest.raises(ConfigError) as caught:
        resolve(source, [fragment(tmp_path, "CONFIG_NIC=y\nCONFIG_TINY=y\n")], work=work(tmp_path))
    assert caught.value.hint == "add to a fragment (tried with the kernel's own olddefconfig): CONFIG_WIRE=y"
    assert "would help: CONFIG_WIRE=y  [Kconfig:11]" in caught.value.detail


def test_an_optional_setting_may_be_absent_and_says_why(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT.replace("cp $(KCONFIG_ALLCONFIG)", "grep -v GONE $(KCONFIG_ALLCONFIG) >"))
    resolved = resolve(source, [fragment(tmp_path, "CONFIG_WIRE=y\nCONFIG_GONE=y # ?\n")], work=work(tmp_path))
    ((symbol, reason),) = resolved.absent
    assert symbol == "GONE"
    assert "no such symbol" in reason


def test_a_result_is_kept_under_its_key_and_nothing_is_started_again(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT)
    asked = [fragment(tmp_path, "CONFIG_WIRE=y\n")]
    first = resolve(source, asked, work=work(tmp_path), cache_key="tree toolchain")
    (source / "Makefile").write_text("allnoconfig:\n\t$(error started)\n")
    assert resolve(source, asked, work=tmp_path / "none", cache_key="tree toolchain") == first
    with pytest.raises(ConfigError, match="make allnoconfig"):
        resolve(source, asked, work=work(tmp_path, "other"), cache_key="another tree")


def test_a_kept_result_names_the_fragments_of_this_call(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT)
    asked = fragment(tmp_path, "CONFIG_WIRE=y\n")
    resolve(source, [asked], work=work(tmp_path), cache_key="k")
    moved = replace(asked, path=tmp_path / "moved")
    assert resolve(source, [moved], work=tmp_path, cache_key="k").fragments == (moved,)


def test_a_kconfig_file_that_does_not_parse_is_named(tmp_path):
    source = tree(tmp_path / "k", "allnoconfig:\n\t@echo 'drivers/net/Kconfig:7: syntax error' >&2; exit 1\n")
    with pytest.raises(ConfigError, match=r"drivers/net/Kconfig:7: syntax error"):
        resolve(source, [], work=work(tmp_path))


def test_a_missing_program_is_named(tmp_path):
    source = tree(tmp_path / "k", "allnoconfig:\n\tno-such-flex\n")
    with pytest.raises(ToolchainError, match="no-such-flex is not installed"):
        resolve(source, [], work=work(tmp_path))


def test_a_folder_without_kconfig_is_no_kernel(tmp_path):
    with pytest.raises(ConfigError, match="is not a kernel tree"):
        resolve(tmp_path, [], work=tmp_path)


def test_a_link_in_place_of_the_config_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("CONFIG_PASSWORD=y\n")
    source = tree(tmp_path / "k", f"allnoconfig:\n\tln -sf {tmp_path}/secret $(O)/.config\n")
    with pytest.raises(ConfigError, match=r"no readable \.config"):
        merge(source, [], work=work(tmp_path))


def test_the_makefile_sees_neither_home_nor_network_and_cannot_write_the_source(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_SECRET", "x")
    makefile = (
        "allnoconfig:\n\t-touch /ktrial/src/mark\n\tenv > $(O)/.config; ls /root /home >> $(O)/.config 2>&1 || true\n"
    )
    source = tree(tmp_path / "k", makefile)
    text = merge(source, [], work=work(tmp_path))
    assert not (source / "mark").exists()
    assert "KTRIAL_SECRET" not in text
    assert "HOME=/tmp" in text


def test_the_builds_make_is_the_same_for_gcc_and_clang(tmp_path):
    gcc = kernel_make(tmp_path, tmp_path, ["bzImage"], jobs=2)
    clang = kernel_make(tmp_path, tmp_path, ["bzImage"], llvm=True, ccache=tmp_path)
    assert gcc.argv == ("make", "-C", "/ktrial/src", "O=/ktrial/obj", "CC=gcc", "-j2", "bzImage")
    assert clang.argv[4:6] == ("CC=ccache clang", "LLVM=1")
    assert gcc.env["KBUILD_BUILD_TIMESTAMP"] == "@0"


def test_the_jailed_process_answers_as_this_one_does(tmp_path, monkeypatch):
    sample = Sample("reasons", tmp_path, monkeypatch)
    question = sample.question({"VENDOR_CARD": "y", "NOWHERE": "y"}, symbol="NIC")
    question = replace(question, environment={"KERNELVERSION": "0.1"})
    assert ask(Bench(sample.tree, tmp_path), question) == answer(question)


def test_what_kconfig_files_run_stays_in_the_jail(tmp_path, monkeypatch):
    monkeypatch.setenv("KTRIAL_SECRET", "x")
    folder = tmp_path / "k"
    shutil.copytree(SAMPLES / "reasons", folder)
    text = (folder / "Kconfig").read_text()
    text += "seen := $(shell,touch /ktrial/src/mark; echo $KTRIAL_SECRET$(ls /root))\n$(info,noise)\n"
    text += 'config SEEN\n\tstring\n\tdefault "$(seen)"\n'
    (folder / "Kconfig").write_text(text)
    sample = Sample("reasons", tmp_path, monkeypatch)
    found = ask(Bench(folder, tmp_path), replace(sample.question({}), symbol="SEEN"))
    assert not (folder / "mark").exists()
    assert found.explanation is not None
    assert [default.symbol for default in found.explanation.defaults] == ['""']


def test_a_tree_that_kconfiglib_cannot_read_still_gets_the_bare_fact(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT.replace("cp $(KCONFIG_ALLCONFIG)", "grep -v NIC= $(KCONFIG_ALLCONFIG) >"))
    (source / "Kconfig").write_text("config X\n\tgrammar of tomorrow\n")
    with pytest.raises(ConfigError) as caught:
        resolve(source, [fragment(tmp_path, "CONFIG_NIC=y\nCONFIG_TINY=y\n")], work=work(tmp_path))
    assert "CONFIG_NIC=y is n" in caught.value.detail
    assert "Kconfiglib cannot read" in caught.value.detail


def run_cli(*arguments):
    return CliRunner().invoke(cli_config.app, [str(argument) for argument in arguments])


def test_merge_prints_or_writes_a_config(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT)
    fragment(tmp_path, "CONFIG_WIRE=y\n")
    options = ("--tree", source, "-c", tmp_path / "asked.config")
    assert run_cli("merge", *options).stdout == "CONFIG_WIRE=y\n"
    assert run_cli("merge", *options, "-o", tmp_path / "out" / ".config").stdout == ""
    assert (tmp_path / "out" / ".config").read_text() == "CONFIG_WIRE=y\n"


def test_check_counts_what_holds(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT)
    fragment(tmp_path, "CONFIG_WIRE=y\nCONFIG_NIC=y\n")
    done = run_cli("check", "--tree", source, "-c", tmp_path / "asked.config")
    assert done.exit_code == 0
    assert "2 settings of" in done.stdout


def test_explain_gives_json(tmp_path):
    source = tree(tmp_path / "k", OBEDIENT)
    fragment(tmp_path, "CONFIG_WIRE=y\n")
    done = run_cli("explain", "CONFIG_WIRE", "--tree", source, "-c", tmp_path / "asked.config", "--json")
    found = json.loads(done.stdout)
    assert (found["symbol"], found["value"], found["definitions"][0]["place"]) == ("WIRE", "y", "Kconfig:11")


def test_diff_compares_files(tmp_path):
    (tmp_path / "a").write_text("CONFIG_A=y\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".config").write_text("CONFIG_A=m\n")
    done = run_cli("diff", tmp_path / "a", tmp_path / "b")
    assert done.stdout.splitlines()[1].split() == ["A", "y", "m"]
    assert run_cli("diff", tmp_path / "a", tmp_path / "a").stdout == "The same settings.\n"


def kernel_source(release):
    """Unpacked kernel files: a folder of $KTRIAL_TEST_SOURCES (split at colons), else an exported tree of the cache."""
    named = [Path(name) for name in os.environ.get("KTRIAL_TEST_SOURCES", "").split(":") if name]
    for folder in (*named, *sorted(REAL_CACHE.glob("sources/*"))):
        makefile = folder / "Makefile"
        version = release.split(".")
        lines = makefile.read_text("utf-8", "replace").splitlines()[:4] if makefile.is_file() else []
        if f"VERSION = {version[0]}" in lines and f"PATCHLEVEL = {version[1]}" in lines:
            return folder
    here = "KTRIAL_TEST_SOURCES=FOLDER names one"
    return pytest.skip(
        f"no unpacked Linux {release}: {here}, or `ktrial config check --tree debian:{release}` makes one"
    )


@pytest.fixture(params=["6.1", "6.12"])
def kernel(request):
    return kernel_source(request.param)


@pytest.mark.kernel
@pytest.mark.parametrize("more", [("drivers", "debug"), ("drivers", "perf"), ()])
def test_all_fragments_hold_on_packaged_kernels(kernel, tmp_path, more):
    began = time.monotonic()
    resolved = resolve(kernel, [load_fragment(name) for name in ("boot", "xdp", *more)], work=tmp_path)
    print(f"{kernel}: boot xdp {' '.join(more)} in {time.monotonic() - began:.1f} s")
    assert isinstance(resolved, ResolvedConfig)
    allowed = {"FAIL_SKB_REALLOC", "PAGE_POOL_STATS", "PREEMPT_NONE"}
    assert {symbol for symbol, _ in resolved.absent} <= allowed


@pytest.mark.kernel
def test_boot_alone_holds_on_packaged_kernels(kernel, tmp_path):
    assert resolve(kernel, [load_fragment("boot")], work=tmp_path).absent == ()


@pytest.mark.kernel
def test_a_lost_driver_of_a_real_kernel_is_mended_by_its_menus(kernel, tmp_path):
    asked = fragment(tmp_path, "CONFIG_IGB=y\nCONFIG_DEBUG_INFO_BTF=y\n")
    with pytest.raises(ConfigError) as caught:
        resolve(kernel, [load_fragment("boot"), asked], work=work(tmp_path))
    assert caught.value.summary == "2 settings do not take in this kernel: unmet dependency"
    added = set(caught.value.hint.partition(": ")[2].split())
    needed = {"CONFIG_NETDEVICES=y", "CONFIG_ETHERNET=y", "CONFIG_NET_VENDOR_INTEL=y", "CONFIG_BPF_SYSCALL=y"}
    assert needed < added
    assert len(added) == len(needed) + 1, "and one member of the choice of debug information"


@pytest.mark.kernel
def test_a_real_symbol_is_explained_and_can_be_turned_on(kernel, tmp_path):
    found = explain(kernel, [load_fragment("boot")], "CONFIG_XDP_SOCKETS", work=tmp_path)
    assert (found.type, found.value, found.verified) == ("bool", "n", True)
    assert [str(line) for line in found.to_enable] == ["CONFIG_XDP_SOCKETS=y", "CONFIG_BPF_SYSCALL=y"]
    assert found.definitions[0].place.startswith("net/xdp/Kconfig:")


@pytest.mark.kernel
def test_a_kernels_defconfig_can_be_the_base(kernel, tmp_path):
    asked = [load_fragment("boot"), load_fragment("xdp")]
    resolved = resolve(kernel, asked, work=tmp_path, config_base="defconfig")
    assert values(resolved.text)["DEBUG_INFO_BTF"] == "y"


@pytest.mark.kernel
def test_configuring_twice_gives_the_same(kernel, tmp_path):
    bench = Bench(kernel, tmp_path)
    settings = {setting.symbol: setting.value for setting in load_fragment("boot").settings}
    assert configure(bench, settings) == configure(bench, settings)
