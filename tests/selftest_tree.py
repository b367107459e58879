"""A small kernel's selftests, as a folder or a git repository, for tests of choosing and building them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

SELFTESTS = "tools/testing/selftests"
LISTS = """\
OUTPUT ?= $(CURDIR)
TEST_GEN_PROGS := $(addprefix $(OUTPUT)/,$(TEST_GEN_PROGS))
TEST_GEN_FILES := $(addprefix $(OUTPUT)/,$(TEST_GEN_FILES))
all: $(TEST_GEN_PROGS) $(TEST_GEN_FILES)
$(OUTPUT)/%: %.c
\t$(CC) -o $@ $<
$(OUTPUT)/%.bpf.o: %.bpf.c
\t$(CC) -c -o $@ $<
"""
BPF_MAKEFILE = """\
TEST_GEN_PROGS = test_verifier test_progs
TEST_PROGS := test_xdp_meta.sh test_kmod.sh
TEST_GEN_PROGS_EXTENDED = xdping
LINKED_SKELS := linked.skel.h
LSKELS := light.c
linked.skel.h-deps := linked1.bpf.o linked2.bpf.o
TRUNNER_EXTRA_SOURCES := test_progs.c \\
\t\t\t helpers.c
LIBARENA_SKEL := libarena/libarena.skel.h
$(LIBARENA_SKEL):
\tclang-of-tomorrow -o $@
test_progs: $(LIBARENA_SKEL) $(patsubst progs/%.c,$(CURDIR)/%.bpf.o,$(wildcard progs/*.c))
\tcat $^ > $@
$(CURDIR)/%.bpf.o: progs/%.c
\t$(CC) -c -o $@ $<
"""
FILES = {
    "Makefile": "headers:\n\t@true\n",
    "scripts/x": "",
    "usr/x": "",
    f"{SELFTESTS}/lib.mk": LISTS,
    f"{SELFTESTS}/net/Makefile": (
        "TEST_PROGS := send.sh fails.sh plain.sh\nTEST_GEN_PROGS = alone\nTEST_GEN_FILES = sender broken\n"
        "include ../lib.mk\n"
    ),
    f"{SELFTESTS}/net/config": "CONFIG_VETH=y\nCONFIG_TEST_BPF=m\nCONFIG_MODVERSIONS=y\n# CONFIG_BRIDGE is not set\n",
    f"{SELFTESTS}/net/settings": "timeout=120\n",
    f"{SELFTESTS}/net/lib.sh": "start() { ./sender; }\n",
    f"{SELFTESTS}/net/send.sh": "#!/bin/sh\nsource lib.sh\nstart\n",
    f"{SELFTESTS}/net/fails.sh": "#!/bin/sh\n./broken\n",
    f"{SELFTESTS}/net/plain.sh": "#!/bin/sh\necho ok\n",
    f"{SELFTESTS}/net/alone.c": "int main(void) { return 0; }\n",
    f"{SELFTESTS}/net/sender.c": "int main(void) { return 0; }\n",
    f"{SELFTESTS}/net/broken.c": "int main(void) { return missing; }\n",
    f"{SELFTESTS}/net/lib/Makefile": "TEST_GEN_FILES := echo.bpf.o sends\ninclude ../../lib.mk\n",
    f"{SELFTESTS}/net/lib/echo.bpf.c": "int x;\n",
    f"{SELFTESTS}/net/lib/sends.c": "int main(void) { return 0; }\n",
    f"{SELFTESTS}/drivers/net/Makefile": "TEST_PROGS := echo.py own.py\ninclude ../../lib.mk\n",
    f"{SELFTESTS}/drivers/net/echo.py": "with NetDrvEpEnv(__file__) as cfg: load(cfg, 'echo.bpf.o')\n",
    f"{SELFTESTS}/drivers/net/own.py": "import lib.py\n",
    f"{SELFTESTS}/drivers/net/hw/Makefile": "TEST_PROGS := hard.py\ninclude ../../../lib.mk\n",
    f"{SELFTESTS}/drivers/net/hw/hard.py": "with NetDrvEnv(__file__) as cfg: pass\n",
    f"{SELFTESTS}/net/deeper/Makefile": "TEST_PROGS := one.sh\ninclude ../../lib.mk\n",
    f"{SELFTESTS}/net/deeper/one.sh": "#!/bin/sh\n",
    f"{SELFTESTS}/bpf/Makefile": BPF_MAKEFILE + "include ../lib.mk\n",
    f"{SELFTESTS}/bpf/test_progs.c": '#include "common.skel.h"\n',
    f"{SELFTESTS}/bpf/test_verifier.c": "",
    f"{SELFTESTS}/bpf/test_xdp_meta.sh": "#!/bin/sh\nip link set dev lo xdp obj test_xdp_meta.bpf.o\n./xdping\n",
    f"{SELFTESTS}/bpf/test_kmod.sh": "#!/bin/sh\n",
    f"{SELFTESTS}/bpf/prog_tests/tail.c": (
        '#include "tail.skel.h"\nvoid test_tail(void)\n{\n open("./old_tail.bpf.o");\n}\n'
        "void serial_test_tail_alone(void)\n"
    ),
    f"{SELFTESTS}/bpf/prog_tests/lends.c": (
        '#include "lent.skel.h"\nint lent_to_all(void)\n{\n}\nvoid test_lends(void)\n{\n}\n'
    ),
    f"{SELFTESTS}/bpf/prog_tests/borrows.c": "void test_borrows(void)\n{\n lent_to_all();\n}\n",
    f"{SELFTESTS}/bpf/xdping.c": (
        '#include <stdio.h>\nint main(int argc, char **argv) { return !printf("%s_kern.bpf.o", argv[0]); }\n'
    ),
    f"{SELFTESTS}/bpf/prog_tests/linked.c": '#include "linked.skel.h"\nvoid test_linked()\n{\n}\n',
    f"{SELFTESTS}/bpf/prog_tests/light.c": (
        '#include "light.lskel.h"\n#include "tail_helpers.h"\nvoid test_light(void)\n'
    ),
    f"{SELFTESTS}/bpf/prog_tests/tail_helpers.h": '#include "helped.skel.h"\n',
    f"{SELFTESTS}/bpf/prog_tests/many.c": (
        'void test_many(void)\n{ printf("urandom_read"); snprintf("./case_%s.bpf.o"); }\n'
    ),
    **{
        f"{SELFTESTS}/bpf/progs/{name}.c": ""
        for name in (
            "old_tail",
            "linked1",
            "linked2",
            "light",
            "helped",
            "case_a",
            "case_b",
            "common",
            "btf_data",
            "lent",
        )
    },
    f"{SELFTESTS}/bpf/progs/xdping_kern.c": "",
    f"{SELFTESTS}/bpf/progs/tunnel_kern.c": "no such C\n",
    f"{SELFTESTS}/bpf/progs/tail.c": '#include "tail_body.c"\n',
    f"{SELFTESTS}/bpf/progs/tail_body.c": "",
}


def write_tree(folder: Path, changes: Mapping[str, str | None] | None = None) -> Path:
    """The files, some of them replaced, or left out where the text is None."""
    for name, text in ({**FILES, **(changes or {})}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
    return folder


def commit_tree(folder: Path, changes: Mapping[str, str | None] | None = None) -> str:
    """The same as a commit of the git repository in `folder`."""
    write_tree(folder, changes)

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(("git", *who, *words), cwd=folder, check=True, capture_output=True, text=True).stdout

    if not (folder / ".git").exists():
        git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "-m", "x")
    return git("rev-parse", "HEAD").strip()
