"""Network cards that a suite's manifest asks for become QEMU's arguments and the guest's knowledge of them."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from harness.errors import UsageError
from harness.machine import devices
from harness.machine.devices import DEVICES_VARIABLE, device_error, guest_devices
from harness.suites import load_suite

needs_qemu = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed")


def _known(found):
    return json.loads(found.env[DEVICES_VARIABLE])


def test_no_device_asked_for_is_no_argument_and_no_variable():
    assert guest_devices([]) == devices.GuestDevices((), {})


@needs_qemu
def test_a_device_is_two_cards_on_a_hub_of_their_own():
    found = guest_devices(["virtio_net:mrg_rxbuf=off", "e1000"])
    cards = [word for word in found.qemu_args if "mac=" in word]
    assert [card.split(",")[0] for card in cards] == ["e1000", "e1000", "virtio-net-pci", "virtio-net-pci"]
    assert all("mrg_rxbuf=off" in card for card in cards[2:])
    hubs = [word.rpartition("hubid=")[2] for word in found.qemu_args if word.startswith("hubport")]
    assert hubs == ["0", "0", "1", "1"]


@needs_qemu
def test_addresses_are_local_unicast_and_the_same_in_any_company():
    alone = _known(guest_devices(["vmxnet3"]))["vmxnet3"]["macs"]
    among = _known(guest_devices(["e1000", "vmxnet3", "virtio_net", "e1000"]))
    assert among["vmxnet3"]["macs"] == alone
    macs = [mac for device in among.values() for mac in device["macs"]]
    assert len(set(macs)) == 6
    assert {int(mac[:2], 16) & 3 for mac in macs} == {2}


@needs_qemu
def test_what_qemu_has_not_is_told_to_the_guest_and_not_to_qemu(monkeypatch):
    monkeypatch.setitem(devices._CARDS, "igb", ("nosuchcard", ""))
    found = guest_devices(["igb", "e1000:no_such_option=1"])
    assert found.qemu_args == ()
    assert "emulates no nosuchcard" in _known(found)["igb"]["missing"]
    assert "e1000 of QEMU" in _known(found)["e1000:no_such_option=1"]["missing"]


@needs_qemu
def test_qemu_takes_the_arguments():
    words = guest_devices(["virtio_net", "virtio_net:mrg_rxbuf=off", "vmxnet3", "e1000", "e1000e", "igb"]).qemu_args
    command = ["qemu-system-x86_64", "-machine", "q35", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio"]
    done = subprocess.run([*command, *words], input=b"quit\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rtl8139", "unknown device 'rtl8139'"),
        ("", "unknown device"),
        ("e1000:", "OPTION=VALUE"),
        ("e1000:mac", "OPTION=VALUE"),
        ("e1000:a=b,,c=d", "OPTION=VALUE"),
        ("e1000:a=b -monitor stdio", "OPTION=VALUE"),
    ],
)
def test_a_bad_device_in_a_manifest_names_the_manifest_and_the_device(tmp_path, text, said):
    assert said in device_error(text)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "suite.toml").write_text(f'name = "one"\nsummary = "One"\ndevices = ["{text}"]\n')
    with pytest.raises(UsageError) as error:
        load_suite("one", tmp_path)
    assert said in error.value.summary
    assert "suite.toml" in error.value.summary
