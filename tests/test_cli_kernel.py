"""Commands that take a kernel look at what they were given before anything boots."""

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError


@pytest.mark.parametrize("command", [("test",), ("boot",), ("perf", "bzImage")])
def test_a_file_that_is_no_kernel_is_said_to_be_none(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KTRIAL_RUNS", str(tmp_path / "runs"))
    (tmp_path / "bzImage").write_bytes(bytes(0x202) + b"HdrS")
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF" + bytes(4096))
    done = CliRunner().invoke(app, [*command, "vmlinux"])
    assert isinstance(done.exception, UsageError)
    assert "vmlinux is no bzImage" in done.exception.summary
