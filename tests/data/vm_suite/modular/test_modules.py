"""What was built with a kernel is where its guest looks for modules."""

import os
from pathlib import Path


def test_the_kernels_modules_are_there():
    assert (Path("/lib/modules") / os.uname().release / "modules.dep").read_text() == "kernel/planted.ko:\n"
