"""Kconfig fragments and .config files: reading, merging, comparing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigError, ExitCode
from harness.kconfig import config_digest, diff, fragment_names, load_fragment, parse_fragment, values
from harness.kconfig.dotconfig import holds, merged
from harness.kconfig.fragment import conflicts, requested


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return load_fragment(str(path))


def parse(text):
    return parse_fragment(text, Path("x.config"))


def test_a_setting_has_its_value_line_mark_and_reason():
    (setting,) = parse("# Packets need a way in.\nCONFIG_NET=y # ?\n")
    assert setting.symbol == "NET"
    assert (setting.value, setting.line, setting.optional) == ("y", 2, True)
    assert setting.reason == "Packets need a way in."


def test_is_not_set_is_a_setting_and_no_comment():
    first, second = parse("# Off.\n# CONFIG_A is not set\n# CONFIG_B is not set # ?\n")
    assert (first.symbol, first.value, first.optional, first.reason) == ("A", "n", False, "Off.")
    assert (second.symbol, second.value, second.optional) == ("B", "n", True)


def test_a_reason_holds_until_the_next_one_and_may_have_several_lines():
    a, b, c = parse("# One\n# and more.\nCONFIG_A=y\n\nCONFIG_B=y\n# Two.\nCONFIG_C=y\n")
    assert (a.reason, b.reason, c.reason) == ("One and more.", "One and more.", "Two.")


@pytest.mark.parametrize("value", ["y", "n", "m", "42", "-1", "0x1F", '"text"', '"a # b"', '""', r'"a \"quote\""'])
def test_every_kind_of_value_is_read(value):
    assert parse(f"CONFIG_A={value}\n")[0].value == value


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("NET=y", "did you mean CONFIG_NET=y"),
        ("CONFIG_NET", "did you mean CONFIG_NET=y"),
        ("CONFIG_NET = y", "did you mean CONFIG_NET=y"),
        ("CONFIG_NET=yes", "did you mean CONFIG_NET=y"),
        ("CONFIG_NAME=text", 'text is quoted: CONFIG_NAME="text"'),
        ("CONFIG_NET is not set", "did you mean # CONFIG_NET is not set"),
        ("CONFIG_NET=y # the network", "a comment goes on a line of its own, above CONFIG_NET=y"),
        ("<html>", "see the fragments"),
    ],
)
def test_a_line_that_is_no_setting_is_named_with_a_suggestion(line, suggestion):
    with pytest.raises(ConfigError) as caught:
        parse(f"CONFIG_A=y\n{line}\n")
    assert caught.value.summary == f"x.config:2: not a Kconfig setting: {line}"
    assert suggestion in caught.value.hint
    assert caught.value.exit_code is ExitCode.DOES_NOT_CONFIGURE


def test_one_symbol_with_two_values_in_a_fragment_is_an_error():
    with pytest.raises(ConfigError, match=r"x.config:3: CONFIG_A is already set on line 1"):
        parse("CONFIG_A=y\n\n# CONFIG_A is not set\n")


def test_an_unknown_fragment_comes_with_a_similar_name():
    with pytest.raises(ConfigError) as caught:
        load_fragment("dribers")
    assert caught.value.hint == "did you mean 'drivers'?"


def test_every_fragment_of_ours_can_be_read_and_gives_reasons():
    assert {"boot", "xdp", "drivers", "debug", "perf"} <= set(fragment_names())
    for name in fragment_names():
        fragment = load_fragment(name)
        assert fragment.name == name
        assert [s.symbol for s in fragment.settings if not s.reason or s.reason.startswith("SYMBOL=value")] == []


def test_a_kernel_for_tests_can_be_booted_with_what_boot_asks_for():
    """What virtme-ng and a clean end of the guest need."""
    devices = {"VIRTIO_PCI", "VIRTIO_CONSOLE", "SERIAL_8250_CONSOLE", "FW_CFG_SYSFS", "I6300ESB_WDT", "ACPI"}
    files = {"NET_9P_VIRTIO", "9P_FS", "OVERLAY_FS", "TMPFS", "DEVTMPFS", "UNIX98_PTYS", "BINFMT_SCRIPT", "FHANDLE"}
    needed = devices | files | {"MAGIC_SYSRQ", "INOTIFY_USER"}
    asked = {setting.symbol: setting.value for setting in load_fragment("boot").settings if not setting.optional}
    assert {symbol: asked.get(symbol) for symbol in needed} == dict.fromkeys(needed, "y")


def test_two_fragments_in_conflict_name_both_lines(tmp_path):
    one = write(tmp_path, "one.config", "CONFIG_A=y\n")
    two = write(tmp_path, "two.config", "\nCONFIG_A=n\n")
    ((request, loss),) = conflicts([one, two])
    assert request.place == "two.config:2"
    assert loss.text == "two.config:2 asks for n, one.config:1 for y"


def test_a_setting_that_must_hold_wins_over_an_optional_one(tmp_path):
    one = write(tmp_path, "one.config", "CONFIG_A=y # ?\n")
    two = write(tmp_path, "two.config", "CONFIG_A=n\n")
    assert requested([one, two])["A"].setting.value == "n"
    ((request, _),) = conflicts([one, two])
    assert request.setting.optional


def test_perf_and_debug_exclude_each_other():
    clashing = {loss.symbol for _, loss in conflicts([load_fragment("debug"), load_fragment("perf")])}
    assert {"KASAN", "PROVE_LOCKING", "DEBUG_NET"} <= clashing


def test_perf_switches_the_page_pool_counters_of_xdp_off():
    assert requested([load_fragment("xdp"), load_fragment("perf")])["PAGE_POOL_STATS"].setting.value == "n"


@pytest.mark.parametrize(
    ("wanted", "actual", "good"),
    [
        ("y", "y", True),
        ("y", "m", False),
        ("y", None, False),
        ("n", None, True),
        ("n", "n", True),
        ("n", "y", False),
        ("0x10", "0x10", True),
        ("0x10", "16", True),
        ("8", "08", False),
        ('"a"', '"a"', True),
        ('"a"', '"b"', False),
    ],
)
def test_what_is_in_a_config_is_compared_with_what_was_asked(wanted, actual, good):
    assert holds(wanted, actual) is good


def test_the_digest_leaves_out_comments_order_and_what_is_not_set():
    assert config_digest("# x\nCONFIG_A=y\nCONFIG_B=1\n# CONFIG_C is not set\n") == config_digest(
        "CONFIG_B=1\nCONFIG_A=y\n"
    )
    assert config_digest("CONFIG_A=y\n") != config_digest("CONFIG_A=m\n")


def test_merging_takes_the_old_lines_of_a_symbol_out():
    text = merged("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\n", {"B": "y", "A": "n"})
    assert text == "CONFIG_C=y\nCONFIG_B=y\nCONFIG_A=n\n"


def test_a_difference_tells_off_from_not_there():
    found = diff("CONFIG_A=y\nCONFIG_S=1\n", "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_S=1\n")
    assert [(d.symbol, d.before, d.after) for d in found] == [("A", "y", "n"), ("B", None, "y")]


def test_values_take_the_last_mention():
    assert values('CONFIG_A=y\nCONFIG_A=m\nCONFIG_N="x=y"\n') == {"A": "m", "N": '"x=y"'}
