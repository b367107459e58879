"""Why a setting is lost, and the fewest settings that bring it back: one small Kconfig tree with each case."""

from __future__ import annotations

import pytest
from kconfig_samples import Sample

from harness.kconfig.model import Reason


@pytest.fixture
def sample(tmp_path, monkeypatch):
    return Sample("reasons", tmp_path, monkeypatch)


def test_settings_that_hold_are_not_lost(sample):
    assert sample.ask({"WIRE": "y", "NIC": "y", "QUEUES": "4", "FAST": "y"}).losses == ()


def test_an_unmet_dependency_is_named_with_its_place(sample):
    loss = sample.loss({"NIC": "y"})
    assert loss.reason is Reason.UNMET_DEPENDENCY
    assert loss.text == "depends on WIRE (=n, at Kconfig:11)"
    assert loss.places == ("Kconfig:14",)
    assert [(term.text, term.value) for term in loss.terms] == [("WIRE", "n")]


def test_only_the_dependencies_that_do_not_hold_are_named(sample):
    loss = sample.loss({"WIRE": "y", "NIC_ONE": "y"})
    assert [term.text for term in loss.terms] == ["NIC"]


def test_the_dependency_of_an_if_block_is_named(sample):
    loss = sample.loss({"WIRE": "y", "NIC": "y", "VENDOR_CARD": "y"})
    assert loss.text == "depends on VENDOR (=n, at drivers/Kconfig:1)"
    assert loss.places == ("drivers/Kconfig:7",)


def test_a_symbol_without_a_prompt_names_who_selects_it(sample):
    loss = sample.loss({"POOL": "y"})
    assert loss.reason is Reason.NO_PROMPT
    assert loss.others == ("NIC_ONE", "NIC_TWO")
    assert "NIC_ONE (Kconfig:18)" in loss.text


def test_a_symbol_with_only_a_default_says_what_it_follows_from(sample):
    loss = sample.loss({"DERIVED": "y"})
    assert loss.reason is Reason.NO_PROMPT
    assert loss.text == "no prompt: its value follows from default y if WIRE && TINY"


def test_a_prompt_with_a_condition_of_its_own_is_told_from_a_dependency(sample):
    loss = sample.loss({"TUNING": "y"})
    assert loss.reason is Reason.HIDDEN_PROMPT
    assert loss.text == "its prompt is only shown if EXPERT (=n, at Kconfig:8)"


def test_a_choice_lost_names_the_member_that_won(sample):
    answer = sample.ask({"SLOW": "y", "FAST": "y"})
    (loss,) = answer.losses
    assert loss.reason is Reason.CHOICE_LOST
    assert loss.symbol == "SLOW"
    assert loss.others == ("FAST",)
    assert "Kconfig:55" in loss.text
    assert answer.candidates == ()


def test_a_member_that_cannot_be_turned_off_says_that_its_choice_falls_back_to_it(sample):
    loss = sample.loss({"SLOW": "n"})
    assert loss.reason is Reason.CHOICE_LOST
    assert loss.others == ("FAST", "FASTEST")


def test_a_name_that_no_file_defines_comes_with_similar_ones(sample):
    loss = sample.loss({"VENDOR_CART": "y"})
    assert loss.reason is Reason.NO_SUCH_SYMBOL
    assert loss.others[0] == "VENDOR_CARD"
    assert "(0.1)" in loss.text


def test_a_name_of_another_architecture_is_said_to_be_one(sample):
    loss = sample.loss({"OTHER_ONLY": "y"})
    assert loss.reason is Reason.NO_SUCH_SYMBOL
    assert "arch/other/Kconfig:1" in loss.text


def test_a_bool_cannot_be_a_module(sample):
    loss = sample.loss({"MODULES": "y", "EXPERT": "m"})
    assert loss.reason is Reason.TRISTATE_CLASH
    assert "ask for y" in loss.text


def test_a_module_needs_modules(sample):
    settings = {"WIRE": "y", "NIC": "m"}
    assert sample.loss(settings).reason is Reason.TRISTATE_CLASH
    assert "CONFIG_MODULES=y (Kconfig:4)" in sample.loss(settings).text


def test_what_depends_on_a_module_can_only_be_one(sample):
    loss = sample.loss({"MODULES": "y", "WIRE": "y", "NIC": "m", "NIC_ONE": "y"})
    assert loss.reason is Reason.TRISTATE_CLASH
    assert loss.actual == "m"
    assert "NIC (=m, at Kconfig:14)" in loss.text


def test_a_symbol_that_another_selects_cannot_be_turned_off(sample):
    loss = sample.loss({"WIRE": "y", "NIC": "y", "NIC_TWO": "y", "POOL": "n"})
    assert loss.reason is Reason.FORCED
    assert loss.others == ("NIC_TWO",)


@pytest.mark.parametrize(("queues", "expert"), [("0", "n"), ("9", "n"), ("65", "y")])
def test_a_number_out_of_range_names_the_range_that_holds(sample, queues, expert):
    loss = sample.loss({"EXPERT": expert, "QUEUES": queues})
    assert loss.reason is Reason.OUT_OF_RANGE
    assert loss.text == f"it must be from 1 to {64 if expert == 'y' else 8}"


@pytest.mark.parametrize(
    ("symbol", "value", "kind"),
    [("QUEUES", "y", "int"), ("NAME", "y", "string"), ("WIRE", "4", "bool"), ("BASE", '"x"', "hex")],
)
def test_a_value_of_another_type_is_said_to_be_one(sample, symbol, value, kind):
    loss = sample.loss({symbol: value})
    assert loss.reason is Reason.WRONG_TYPE
    assert f"of type {kind}" in loss.text


def test_a_number_can_be_written_in_two_ways(sample):
    assert sample.ask({"BASE": "0x1000"}).losses == ()


def test_the_shortest_additions_reach_through_several_dependencies(sample):
    assert sample.additions({"VENDOR_CARD": "y"}) == ["CONFIG_NIC=y", "CONFIG_VENDOR=y", "CONFIG_WIRE=y"]


def test_what_holds_already_is_not_added(sample):
    assert sample.additions({"WIRE": "y", "NIC": "y", "VENDOR_CARD": "y"}) == ["CONFIG_VENDOR=y"]


def test_a_symbol_without_a_prompt_is_reached_through_what_selects_it(sample):
    additions = sample.additions({"WIRE": "y", "NIC": "y", "VENDOR": "y", "VENDOR_NEEDS_POOL": "y"})
    assert additions in (["CONFIG_NIC_ONE=y"], ["CONFIG_NIC_TWO=y"])


def test_one_of_two_ways_is_enough(sample):
    additions = sample.additions({"WIRE": "y", "VENDOR": "y", "QUEUES": "4", "VENDOR_PICKY": "y"})
    assert additions in (["CONFIG_EXPERT=y"], ["CONFIG_TINY=y"])


def test_additions_mend_all_losses_together(sample):
    additions = sample.additions({"VENDOR_CARD": "y", "TUNING": "y"})
    assert additions == ["CONFIG_EXPERT=y", "CONFIG_NIC=y", "CONFIG_VENDOR=y", "CONFIG_WIRE=y"]


def test_additions_do_not_break_what_was_asked_for(sample):
    """NIC_TWO needs TINY to be off, and another fragment wants it on."""
    assert sample.additions({"WIRE": "y", "NIC": "y", "TINY": "y", "NIC_TWO": "y"}) == []


def test_a_choice_is_freed_for_a_hidden_member(sample):
    assert sample.additions({"FASTEST": "y"}) == ["CONFIG_EXPERT=y"]


def test_what_can_be_mended_is_told_from_what_cannot(sample):
    answer = sample.ask({"NIC": "y", "NOWHERE": "y", "QUEUES": "99"})
    assert answer.mended == ("NIC",)
    assert [str(a) for a in answer.candidates[0]] == ["CONFIG_WIRE=y"]


def test_an_explanation_lists_what_matters_about_a_symbol(sample):
    found = sample.ask({"WIRE": "y", "POOL": "y"}, symbol="POOL").explanation
    assert found is not None
    assert (found.type, found.value) == ("bool", "n")
    assert [(s.symbol, s.condition, s.active) for s in found.selected_by] == [
        ("NIC_ONE", "NIC && WIRE", False),
        ("NIC_TWO", "NIC && NIC = y && !TINY", False),
    ]
    assert found.loss is not None


def test_an_explanation_of_a_choice_says_which_member_holds(sample):
    found = sample.ask({"FAST": "y"}, symbol="SLOW").explanation
    assert [(m.symbol, m.chosen) for m in found.choice] == [("SLOW", False), ("FAST", True), ("FASTEST", False)]


def test_an_explanation_of_a_number_gives_its_ranges_and_defaults(sample):
    found = sample.ask({}, symbol="QUEUES").explanation
    assert found.ranges == ("1 to 8", "1 to 64")
    assert [(s.symbol, s.active) for s in found.defaults] == [("4", True)]
