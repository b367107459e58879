"""Kconfig files from 5.10 to the newest are read, and every line keeps its number."""

from __future__ import annotations

import pytest
from kconfig_samples import SAMPLES, Sample

from harness.kconfig.dotconfig import values
from harness.kconfig.grammar import KernelKconfig, rewrite
from harness.kconfig.model import Reason


@pytest.fixture
def newest(tmp_path, monkeypatch):
    return Sample("newest", tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["older", "newest", "reasons"])
def test_rewriting_keeps_the_number_of_lines(name):
    text = (SAMPLES / name / "Kconfig").read_text()
    assert rewrite(text)[0].count("\n") == text.count("\n")


def test_symbols_keep_their_places(newest):
    text = (newest.tree / "Kconfig").read_text().splitlines()
    for symbol in KernelKconfig().unique_defined_syms:
        assert text[symbol.nodes[0].linenr - 1] == f"config {symbol.name}"


def test_help_texts_are_left_alone(newest):
    assert "transitional\ndepends on BUS if CLOCK" in KernelKconfig().syms["BOARD"].nodes[0].help


def test_the_modules_attribute_is_understood(newest):
    assert KernelKconfig().modules.name == "MODULES"


def test_the_old_option_modules_is_understood_too(tmp_path, monkeypatch):
    sample = Sample("older", tmp_path, monkeypatch)
    assert KernelKconfig().modules.name == "MODULES"
    assert values(sample.config({"MODULES": "y", "CARD": "m"}))["CARD"] == "m"


def test_a_transitional_name_points_to_its_successor(newest):
    loss = newest.loss({"OLD_NAME": "y"})
    assert loss.reason is Reason.NO_SUCH_SYMBOL
    assert loss.others == ("NEW_NAME",)
    assert "NEW_NAME" in loss.text


@pytest.mark.parametrize(
    ("settings", "card"),
    [
        ({"BUS": "y", "CLOCK": "y"}, "y"),
        ({"BUS": "y"}, "n"),
        ({"BUS": "m", "CLOCK": "m"}, "m"),
        ({"BUS": "m"}, "n"),
        ({"CLOCK": "y"}, "n"),
    ],
)
def test_a_conditional_dependency_holds_only_under_its_condition(newest, settings, card):
    """As scripts/kconfig/menu.c:menu_add_dep has it: X || (Y = n)."""
    asked = {"MODULES": "y", **settings, "CARD": "y"}
    assert values(newest.config(asked)).get("CARD", "n") == card


@pytest.mark.parametrize(("bus", "board"), [("y", "y"), ("n", "n")])
def test_a_conditional_dependency_may_go_over_several_lines(newest, bus, board):
    assert values(newest.config({"BUS": bus, "BOARD": "y"})).get("BOARD", "n") == board


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        ("\tmodules", "\toption modules"),
        ("\tdepends on A if B", "\tdepends on (A) || B = n"),
        ("\tdepends on A || C if !B", "\tdepends on (A || C) || B = y"),
        ("\tdepends on A if (B && C)", "\tdepends on (A) || !((B && C))"),
        ('\tdepends on A = "if" && B', '\tdepends on A = "if" && B'),
        ("\tdepends on A # if B", "\tdepends on A # if B"),
        ("\tdepends on $(success,true if it is) if B", "\tdepends on ($(success,true if it is)) || B = n"),
        ("\tselect A if B", "\tselect A if B"),
    ],
)
def test_only_the_newer_lines_are_rewritten(line, rewritten):
    assert rewrite(f"config X\n{line}\n")[0] == f"config X\n{rewritten}\n"
