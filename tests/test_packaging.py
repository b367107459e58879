"""`pipx install .` gives a whole ktrial: the command, its data, and completion for the shell."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None,
    reason="hatchling is not installed, so no wheel can be built: pip install -e .[dev] brings it",
)


def pip(*arguments):
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    return next(folder.glob("ktrial-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder that the wheel was installed into, away from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", folder, wheel)
    return folder


@pytest.fixture
def run_installed(installed, tmp_path):
    """Run a program with the installed copy in front of the checkout, in a home of its own."""

    def run(*argv, **env):
        return subprocess.run(
            list(map(str, argv)),
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed), "HOME": str(tmp_path), "COLUMNS": "120", **env},
        ).stdout

    return run


def committed(folder):
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name}


@pytest.mark.parametrize("folder", ["vm", "suites", "configs", "packages.debian"])
def test_the_wheel_has_every_file_that_ships(wheel, folder):
    files = committed(folder)
    assert files
    assert {f"harness/_data/{name}" for name in files} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_has_every_module(wheel):
    modules = {name for name in committed("harness") if name.endswith(".py")}
    assert modules <= set(zipfile.ZipFile(wheel).namelist())


def test_an_installed_copy_finds_its_own_data(run_installed, installed):
    script = "from harness import places as p; print(p.vm_dir(), p.suites_dir(), p.configs_dir(), p.packages_file())"
    data = installed / "harness" / "_data"
    expected = [data / "vm", data / "suites", data / "configs", data / "packages.debian"]
    assert run_installed(sys.executable, "-c", script).split() == list(map(str, expected))


def test_the_installed_command_says_what_it_can_do(run_installed, installed):
    helped = run_installed(sys.executable, installed / "bin" / "ktrial", "--help")
    assert all(command in helped for command in ("run", "doctor", "runs", "cache"))


def test_the_installed_command_completes_its_commands(run_installed, installed):
    completed = run_installed(
        sys.executable,
        installed / "bin" / "ktrial",
        _KTRIAL_COMPLETE="complete_bash",
        COMP_WORDS="ktrial doc",
        COMP_CWORD="1",
    )
    assert completed.split() == ["doctor"]


def test_completion_is_installed_for_the_shell(run_installed, installed, tmp_path):
    run_installed(
        sys.executable,
        installed / "bin" / "ktrial",
        "--install-completion",
        "bash",
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert "ktrial" in (tmp_path / ".bash_completions" / "ktrial.sh").read_text()
