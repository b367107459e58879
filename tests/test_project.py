"""What holds for the project as a whole: its style, its types, and that its files name no one's machine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from harness.cli import app

ROOT = Path(__file__).resolve().parent.parent

# A path of the machine that a file was written on. Samples of reports have one of nobody's, `/home/me`.
WORKPLACE = re.compile(r"(?<![\w.~$}*-])/(?:work|root|home|Users)/(?!me/|\.\.\.)[\w.]")
WORKPLACE_ALLOWED = ("tests/test_project.py",)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def committed():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no telling what is committed")
    return [name for name in git("ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]


def text_of(name):
    """The file's text; None where it is binary."""
    data = (ROOT / name).read_bytes()
    return None if b"\0" in data else data.decode("utf-8", "replace")


def tool(name, *arguments):
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/bin")
    if path is None:
        pytest.skip(f"{name} is not installed: pip install -e .[dev] brings it")
    done = subprocess.run([path, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing():
    tool("ruff", "check", ".")


def test_mypy_finds_nothing():
    tool("mypy")


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name in committed()
        if name not in WORKPLACE_ALLOWED
        for number, line in enumerate((text_of(name) or "").splitlines(), 1)
        if WORKPLACE.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "names_one"),
    [
        ("see /home/alice/linux", True),
        ("'/root/.cache/x'", True),
        ("/work/tree", True),
        ("--tree ~/work/linux", False),
        ("drivers/net/work/queue.c", False),
        ("as /root or under /home", False),
        ("/home/me/linux", False),
        ("$HOME/work/linux", False),
    ],
)
def test_a_path_of_a_machine_is_told_from_other_text(text, names_one):
    assert bool(WORKPLACE.search(text)) is names_one


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{name}: {target}"
        for name in committed()
        if name.endswith(".md")
        for target in LINK.findall(text_of(name))
        if not re.match(r"[a-z]+:|#", target)
        and not ((ROOT / name).parent / unquote(target.partition("#")[0])).exists()
    ]
    assert not broken, "\n".join(broken)


def test_documents_link_to_headings_that_exist():
    broken = []
    for name in committed():
        if not name.endswith(".md"):
            continue
        for target in LINK.findall(text_of(name)):
            path, _, heading = target.partition("#")
            page = (ROOT / name).parent / path if path else ROOT / name
            if heading and not re.match(r"[a-z]+:", target) and heading not in headings(page):
                broken.append(f"{name}: {target}")
    assert not broken, "\n".join(broken)


def commands_in(page):
    """Every `ktrial ...` command of a page: indented lines of examples, and code within sentences."""
    text = re.sub(r"(?m)^    .*\| (ktrial .*)$", r"    \1", text_of(page))
    for line in re.findall(r"(?m)^ {4}(ktrial .*)$", text) + re.findall(r"`(ktrial [^`]*)`", text):
        yield line.partition(" #")[0].partition(" < ")[0].split()[1:]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/using.md",
        "docs/run-folder.md",
        "docs/memory.md",
        "docs/suites.md",
        "examples/README.md",
    ],
)
def test_commands_in_the_documents_exist_with_their_options(page):
    root = typer.main.get_command(app)
    for words in commands_in(page):
        command = root
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{page}: ktrial has no command {words[0]}"
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        known |= {"--help", "--install-completion"}
        asked = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert asked <= known, f"{page}: ktrial {command.name} has no {asked - known}"


def headings(page):
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    lines = re.findall(r"^#+ +(.*?) *$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_test_says_what_it_is_about():
    without = [
        name
        for name in committed()
        if re.fullmatch(r"tests/test_\w+\.py", name) and not (text_of(name) or "").lstrip().startswith('"""')
    ]
    assert not without


def test_programs_are_started_through_the_door_alone():
    """Only harness/command.py makes processes; what it starts has a deadline, a log and, where needed, a jail."""
    door = ("harness/command.py",)
    starts = re.compile(
        r"\b(?:subprocess\.(?:run|Popen|call|check_\w+)|os\.(?:system|popen|exec\w+|spawn\w+|posix_spawn))\("
    )
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in committed()
        if name.startswith("harness/") and name.endswith(".py") and name not in door
        for number, line in enumerate((text_of(name) or "").splitlines(), 1)
        if starts.search(line)
    ]
    assert not found, "\n".join(found)


def test_scripts_that_ship_can_be_run():
    listed = [line.split(None, 3) for line in git("ls-files", "--stage").splitlines()]
    plain = [
        name
        for mode, _, _, name in listed
        if (text_of(name) or "").startswith("#!") and mode != "100755" and (ROOT / name).is_file()
    ]
    assert not plain, "a script without its executable bit"
