"""What ktrial needs of the machine it runs on: looking, explaining, and installing what is missing."""

from harness.doctor.apt import install, missing_packages
from harness.doctor.examine import examine
from harness.doctor.model import Check, State
from harness.doctor.system import System, this_system

__all__ = ["Check", "State", "System", "examine", "install", "missing_packages", "this_system"]
