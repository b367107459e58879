"""What a series touches is compiled, or said not to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_kconfig_resolve import kernel_source

from harness.coverage import Uncompiled, as_text, cover, uncompiled
from harness.kconfig import Addition, Fragment, enable, load_fragment, merge, parse_fragment
from harness.kconfig.kbuild import Makefiles, compiled

DRIVERS = {
    "drivers/Makefile": "obj-y += net/\n",
    "drivers/net/Makefile": "obj-$(CONFIG_ETHERNET) += ethernet/\nobj-$(CONFIG_VETH) += veth.o\n",
    "drivers/net/ethernet/Makefile": "obj-$(CONFIG_VENDOR) += vendor/\n",
    "drivers/net/ethernet/vendor/Makefile": (
        "obj-$(CONFIG_NIC) += nic.o\n"
        "nic-y := main.o rx.o \\\n\ttx.o\n"
        "nic-$(CONFIG_NIC_XDP) += sub/xdp.o # the fast path\n"
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in DRIVERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def put(tree: Path, name: str, text: str = "") -> str:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)
    return name


def needs(tree: Path, file: str) -> list[list[str]]:
    return [sorted(way) for way in Makefiles(tree).conditions(file)]


def test_a_file_needs_its_own_symbol_and_those_of_the_folders_above(tree):
    assert needs(tree, "drivers/net/veth.c") == [["VETH"]]
    assert needs(tree, "drivers/net/ethernet/vendor/tx.c") == [["ETHERNET", "NIC", "VENDOR"]]


def test_a_part_of_a_composite_object_may_lie_in_a_folder_below(tree):
    assert needs(tree, "drivers/net/ethernet/vendor/sub/xdp.c") == [["ETHERNET", "NIC", "NIC_XDP", "VENDOR"]]


def test_a_file_that_no_makefile_names_has_no_way(tree):
    assert needs(tree, "drivers/net/other.c") == []


@pytest.mark.parametrize(
    ("makefile", "ways"),
    [
        ("obj-y += x.o", [[]]),
        ("lib-$(CONFIG_A) += y.o x.o", [["A"]]),
        ("obj-$(CONFIG_A) += x.o\nobj-$(CONFIG_B) += x.o", [["A"], ["B"]]),
        ("ifdef CONFIG_A\nobj-$(CONFIG_B) += x.o\nendif", [["A", "B"]]),
        ("ifeq ($(CONFIG_A),y)\nobj-y += z.o\nelse\nobj-y += x.o\nendif", [["!A"]]),
        ("ifneq ($(CONFIG_A),)\nobj-y += x.o\nendif\nobj-y += z.o", [["A"]]),
        ("ifndef CONFIG_A\nobj-y += x.o\nendif", [["!A"]]),
        ("ifeq ($(SRCARCH),x86)\nobj-y += x.o\nendif", [[]]),
        ("part-$(CONFIG_A) := x.o\nwhole-objs += $(part-y)\nobj-$(CONFIG_B) += whole.o", [["A", "B"]]),
        ("obj-$(subst m,y,$(CONFIG_A)) += x.o", [["A"]]),
        ("x-y := x.o\nobj-$(CONFIG_A) += x.o", [["A"]]),
        ("obj-${CONFIG_A} := x.o", [["A"]]),
        ("obj-${CONFIG_A} := whole.o\nwhole-${CONFIG_B} := x.o", [["A", "B"]]),
        ("obj-$(subst y,$(CONFIG_A),$(CONFIG_B)) += x.o", [["A", "B"]]),
        ("obj-$(CONFIG_A:m=y) += x.o", [["A"]]),
        ("obj-$(if $(CONFIG_A),y) += x.o", [["A"]]),
        ("obj-$(CONFIG_A)$(CONFIG_B) += x.o", [["A"], ["B"]]),
        ("ifdef CONFIG_A\nobj-y += z.o\nelse ifdef CONFIG_B\nobj-y += x.o\nelse\nobj-y += y.o\nendif", [["!A", "B"]]),
        ("ifeq ($(CONFIG_A)$(CONFIG_B),yy)\nobj-y += x.o\nendif", [["A", "B"]]),
        ("ifneq ($(CONFIG_A)$(CONFIG_B),)\nobj-y += x.o\nendif", [["A"], ["B"]]),
        ("ifneq ($(filter y,$(CONFIG_A) $(CONFIG_B)),)\nobj-y += x.o\nendif", [["A"], ["B"]]),
        ("ifeq ($(or $(CONFIG_A),$(CONFIG_B)),)\nobj-y += x.o\nendif", [["!A", "!B"]]),
        ("parts := x.o y.o\nobj-$(CONFIG_A) += $(parts)", [["A"]]),
        ("versions := w x\nobj-$(CONFIG_A) += $(versions:%=%.o)", [["A"]]),
        ("sources := x.c\nobj-$(CONFIG_A) += $(sources:.c=.o)", [["A"]]),
        ("obj-$(CONFIG_A) += $(obj)/x.o", [["A"]]),
        ("model-$(CONFIG_A) += x.o\n$(foreach each,$(model-y),$(eval $(call template,$(each))))", [["A"]]),
        ("a-y := b.o\nb-y := a.o x.o\n", [[]]),
        ("hostprogs := x", [[]]),
        ("obj-y += x/ max-x.o x-ray.o # x", []),
    ],
)
def test_makefiles_are_read_as_kbuild_reads_them(tmp_path, makefile, ways):
    put(tmp_path, "net/Makefile", makefile + "\n")
    assert needs(tmp_path, "net/x.c") == ways


def test_a_folder_may_list_the_files_of_one_below_and_one_beside(tree):
    put(tree, "fs/Makefile", "obj-$(CONFIG_XFS) += xfs/ core/\n")
    put(tree, "fs/xfs/Makefile", "obj-y += xfs.o\nxfs-y += $(addprefix lib/, bmap.o btree.o)\n")
    put(tree, "fs/core/Makefile", "core-$(CONFIG_HUB) += ../misc/hub.o\nobj-$(CONFIG_USB) += core.o\n")
    assert needs(tree, "fs/xfs/lib/btree.c") == [["XFS"]]
    assert needs(tree, "fs/misc/hub.c") == [["HUB", "USB", "XFS"]]


def test_a_file_that_others_include_is_compiled_as_they_are(tree):
    vendor = "drivers/net/ethernet/vendor"
    put(tree, f"{vendor}/tx.c", '# include "test/tx_test.c"\n')
    put(tree, f"{vendor}/test/tx_test.c", '#include "../deeper.c"\n')
    put(tree, "arch/x86/entry/vclock.c", '#include "../../../lib/vdso/clock.c"\n')
    put(tree, "arch/x86/entry/Makefile", "obj-$(CONFIG_VDSO) += vclock.o\n")
    for file in ("test/tx_test.c", "deeper.c"):
        assert needs(tree, f"{vendor}/{file}") == [["ETHERNET", "NIC", "VENDOR"]]
    assert needs(tree, "lib/vdso/clock.c") == [["VDSO"]]


def test_two_files_that_include_each_other_end(tree):
    one, other = put(tree, "net/one.c", '#include "other.c"\n'), put(tree, "net/other.c", '#include "one.c"\n')
    assert needs(tree, one) == needs(tree, other) == []


def test_the_makefile_of_a_folder_that_none_above_it_knows_compiles_nothing(tree):
    put(tree, "drivers/net/ethernet/new/Makefile", "obj-y += new.o\n")
    assert needs(tree, "drivers/net/ethernet/new/new.c") == []


def test_a_folder_that_the_makefile_above_it_reads_in_is_entered_with_that_one(tree):
    put(tree, "drivers/accel/Makefile", "obj-$(CONFIG_CARD) += card/\n")
    put(tree, "drivers/Makefile", "obj-y += accel/\n")
    put(tree, "drivers/accel/card/Makefile", "include $(src)/common/Makefile\ncard-$(CONFIG_LOG) += common/log.o\n")
    put(tree, "drivers/accel/card/common/Makefile", "CARD_FILES := common/irq.o\n")
    assert needs(tree, "drivers/accel/card/common/irq.c") == [["CARD"]]


@pytest.mark.parametrize(
    ("makefile", "file"),
    [
        ("make = obj-$(2) += iommu_$(1).o\nformats-y := amd vtd", "iommu_amd.c"),
        ("logs := $(wildcard $(src)/over_*.c)", "over_flow.c"),
    ],
)
def test_a_name_that_make_puts_together_is_known(tmp_path, makefile, file):
    put(tmp_path, "net/Makefile", makefile + "\n")
    assert needs(tmp_path, f"net/{file}") == [[]]
    assert needs(tmp_path, "net/other.c") == []


def test_a_file_for_machines_of_64_bits_is_compiled_and_one_for_32_is_not(tree):
    put(tree, "arch/x86/kernel/Makefile", "obj-y += process_$(BITS).o\n")
    names = [put(tree, f"arch/x86/kernel/{name}") for name in ("process_64.c", "process_32.c", "vmlinux.lds.S")]
    assert [gap.file for gap in uncompiled(tree, "", names)] == ["arch/x86/kernel/process_32.c"]


def test_a_configuration_compiles_a_file_by_any_of_its_ways():
    ways = (frozenset({"A", "B"}), frozenset({"!C"}))
    assert compiled(ways, {"A": "y", "B": "m", "C": "y"})
    assert not compiled(ways, {"A": "y", "C": "y"})
    assert compiled(ways, {})


def test_what_is_left_out_is_named_with_its_symbols(tree):
    files = [
        put(tree, name) for name in ("drivers/net/veth.c", "drivers/net/ethernet/vendor/rx.c", "arch/arm64/net/x.c")
    ]
    others = [put(tree, name) for name in ("tools/lib/bpf/libbpf.c", "net/readme.rst", "drivers/net/unlisted.rs")]
    files.append(put(tree, "drivers/net/unlisted.c"))
    left = uncompiled(tree, "CONFIG_VETH=y\nCONFIG_ETHERNET=y\n", [*files, *others, "net/deleted.c"])
    assert left == (
        Uncompiled("arch/arm64/net/x.c", "is arm64's, and the kernel here is x86's"),
        Uncompiled("drivers/net/ethernet/vendor/rx.c", "needs CONFIG_NIC and CONFIG_VENDOR"),
        Uncompiled("drivers/net/unlisted.c", "is in no Makefile that make reads here, and no file includes it"),
    )


def test_what_turns_the_missing_on_becomes_a_fragment(tree, tmp_path):
    file = put(tree, "drivers/net/ethernet/vendor/rx.c")
    asked = []

    def enabled(symbols: tuple[str, ...]) -> tuple[Addition, ...]:
        asked.append(symbols)
        return (*(Addition(symbol, "y") for symbol in symbols), Addition("COMPILE_TEST", "y"))

    found = cover(tree, "CONFIG_ETHERNET=y\n", [file], enabled, tmp_path / "touched.config")
    assert asked == [("NIC", "VENDOR")]
    assert found is not None
    assert [(line.symbol, line.value, line.optional) for line in found.settings] == [
        ("NIC", "y", True),
        ("VENDOR", "y", True),
        ("COMPILE_TEST", "y", True),
    ]
    again = parse_fragment(as_text(found), tmp_path / "touched.config")
    assert [(line.symbol, line.reason) for line in again] == [(line.symbol, line.reason) for line in found.settings]


def test_nothing_is_asked_where_all_is_compiled(tree, tmp_path):
    file = put(tree, "drivers/net/veth.c")

    def never(symbols: tuple[str, ...]) -> tuple[Addition, ...]:
        raise AssertionError(symbols)

    assert cover(tree, "CONFIG_VETH=y\n", [file], never, tmp_path / "touched.config") is None


def test_a_header_beside_code_stands_for_the_files_that_include_it(tree):
    vendor = "drivers/net/ethernet/vendor"
    put(tree, f"{vendor}/main.c")
    put(tree, f"{vendor}/tx.c", '#include <linux/skbuff.h>\n#include "nic.h"\n')
    header = put(tree, f"{vendor}/nic.h")
    (tree / vendor / "folder.c").mkdir()
    (tree / vendor / "nowhere.c").symlink_to("nothing.c")
    assert [gap.file for gap in uncompiled(tree, "", [header])] == [f"{vendor}/tx.c"]


@pytest.mark.kernel
def test_a_board_driver_of_another_architecture_is_compiled_on_a_real_tree(tmp_path, monkeypatch):
    """mvneta depends on ARCH_MVEBU or COMPILE_TEST; the others on no more than their menus and what those select."""
    source = kernel_source("6.12")
    monkeypatch.setenv("KTRIAL_CACHE", str(tmp_path / "cache"))
    ethernet = "drivers/net/ethernet"
    cards = ("intel/i40e/i40e_txrx.c", "intel/ice/ice_txrx.c", "marvell/mvneta.c", "mellanox/mlx5/core/en/xdp.c")
    files = [*(f"{ethernet}/{card}" for card in cards), "drivers/net/virtio_net.c", "net/core/filter.c"]
    asked = (load_fragment("boot"), load_fragment("xdp"))
    config = merge(source, asked, work=tmp_path)
    assert [gap.file for gap in uncompiled(source, config, files)] == files[:-1]
    place = tmp_path / "touched.config"
    found = cover(source, config, files, lambda names: enable(source, asked, names, work=tmp_path), place)
    assert isinstance(found, Fragment)
    wanted = {"I40E", "ICE", "MVNETA", "COMPILE_TEST", "NET_VENDOR_MARVELL", "MLX5_CORE_EN", "VIRTIO_NET"}
    assert wanted <= {line.symbol for line in found.settings}
    assert uncompiled(source, merge(source, (*asked, found), work=tmp_path), files) == ()
