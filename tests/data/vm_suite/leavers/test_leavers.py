"""One test for each thing that a test can leave behind, and some that leave nothing."""

import ctypes
import os
import subprocess

import pytest

BPF = 321  # the system call, on x86-64
KEPT = []


def ip(*words):
    subprocess.run(("ip", *words), check=True)


def make_map(name):
    """An array map of one 4-byte value (BPF_MAP_CREATE)."""
    attributes = ctypes.create_string_buffer(
        b"".join(n.to_bytes(4, "little") for n in (2, 4, 4, 1, 0, 0, 0)) + name, 72
    )
    descriptor = ctypes.CDLL(None).syscall(BPF, 0, attributes, len(attributes))
    assert descriptor >= 0
    return descriptor


@pytest.fixture(scope="module")
def shared():
    ip("link", "add", "shared0", "type", "dummy")
    descriptor = make_map(b"shared")
    yield
    os.close(descriptor)
    ip("link", "del", "shared0")


def test_leaves_a_link():
    ip("link", "add", "left0", "type", "dummy")


def test_leaves_a_map():
    KEPT.append(make_map(b"left"))


def test_leaves_a_namespace():
    ip("netns", "add", "left")


def test_leaves_a_process():
    KEPT.append(subprocess.Popen(("sleep", "1000")))


def test_fails_and_leaves_a_map():
    KEPT.append(make_map(b"left_too"))
    raise AssertionError("and more")


def test_uses_what_others_use_too(shared):
    pass


def test_uses_it_too(shared):
    pass


def test_cleans_up():
    ip("link", "add", "gone0", "type", "dummy")
    ip("netns", "add", "gone")
    os.close(make_map(b"gone"))
    ip("link", "del", "gone0")
    ip("netns", "del", "gone")
