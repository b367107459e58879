"""Small Kconfig trees, and questions about them answered in this process or in the jailed one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.kconfig.dotconfig import holds, values
from harness.kconfig.explain_process import Answer, Question, answer
from harness.kconfig.grammar import KernelKconfig
from harness.kconfig.model import Loss

SAMPLES = Path(__file__).parent / "data" / "kconfig"


class Sample:
    """One sample tree. The .config that C's conf would make is made by Kconfiglib here."""

    def __init__(self, name: str, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tree = SAMPLES / name
        self.scratch = scratch
        monkeypatch.setenv("srctree", str(self.tree))
        monkeypatch.setenv("KERNELVERSION", "0.1")
        monkeypatch.chdir(scratch)

    def config(self, settings: Mapping[str, str]) -> str:
        kconfig = KernelKconfig()
        asked = self.scratch / "asked.config"
        asked.write_text("".join(f"CONFIG_{name}={value}\n" for name, value in settings.items()))
        kconfig.load_config(str(asked))
        kconfig.write_config(str(self.scratch / "made.config"))
        return (self.scratch / "made.config").read_text()

    def question(self, settings: Mapping[str, str], symbol: str = "") -> Question:
        config = self.config(settings)
        lost = {name: value for name, value in settings.items() if not holds(value, values(config).get(name))}
        return Question({}, config, "", dict(settings), lost, symbol=symbol)

    def ask(self, settings: Mapping[str, str], symbol: str = "") -> Answer:
        return answer(self.question(settings, symbol))

    def loss(self, settings: Mapping[str, str]) -> Loss:
        """The only loss among settings."""
        (loss,) = self.ask(settings).losses
        return loss

    def additions(self, settings: Mapping[str, str]) -> list[str]:
        """The best set of additions, as fragment lines; none where there is none."""
        candidates = self.ask(settings).candidates
        return [str(addition) for addition in candidates[0]] if candidates else []
