"""The command's first second."""

import builtins
import sys

import pytest

from harness import start
from harness.errors import ExitCode


def test_ctrl_c_while_the_rest_is_loaded_is_an_exit_status(monkeypatch):
    real = builtins.__import__

    def interrupted(name, *arguments, **more):
        if name == "harness.cli":
            raise KeyboardInterrupt
        return real(name, *arguments, **more)

    monkeypatch.delitem(sys.modules, "harness.cli", raising=False)
    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == ExitCode.INTERRUPTED
