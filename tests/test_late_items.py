"""A worker collects a module when the first of its tests is due: on plain pytest-xdist workers, without a guest."""

import json
import os
import subprocess
import sys

import pytest

from harness.places import vm_dir

PYTEST = (sys.executable, "-m", "pytest", "-p", "xdist.plugin", "-p", "ktrial_pytest", "-p", "no:cacheprovider", "-q")
SUITE = {
    "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n",
    "conftest.py": "import pytest\n@pytest.fixture(scope='session')\ndef shared():\n    return []\n",
    "one/test_a.py": (
        "import os, pathlib, pytest\n"
        "pathlib.Path(os.environ['SEEN'], 'a').touch()\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_n(shared, n):\n    shared.append(n)\n    assert n < 2\n"
    ),
    "one/test_b.py": (
        "import os, pathlib\n"
        "pathlib.Path(os.environ['SEEN'], 'b').touch()\n"
        "class TestOrder:\n"
        "    def test_first(self, shared):\n        shared.append(9)\n"
        "    def test_kept(self, shared):\n        assert 9 in shared\n"
    ),
    "two/conftest.py": (
        "import pytest\n@pytest.fixture\ndef near():\n    return 2\n"
        "@pytest.fixture(autouse=True)\ndef always(shared):\n    shared.append('two')\n"
    ),
    "two/test_d.py": "def test_d(near, shared):\n    assert near == 2 and shared == ['two']\n",
    "one/test_c.py": "import os, pathlib\npathlib.Path(os.environ['SEEN'], 'c').touch()\ndef test_c():\n    pass\n",
}


@pytest.fixture
def suite(tmp_path):
    for name, text in SUITE.items():
        (tmp_path / "suite" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "suite" / name).write_text(text)
    (tmp_path / "seen").mkdir()
    return tmp_path / "suite"


def run(suite, *words, tests=None):
    plan = suite.parent / "plan.json"
    plan.write_text(json.dumps({"tests": tests or []}))
    environment = {
        **os.environ,
        "SEEN": str(suite.parent / "seen"),
        "PYTHONPATH": str(vm_dir()),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "KTRIAL_PLAN": str(plan),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        (*PYTEST, *words, "one", "two"), cwd=suite, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def outcomes(suite, tests, *, workers=1):
    journal = suite.parent / "journal"
    status, output = run(
        suite, "--ktrial-journal", str(journal), "--tx", f"{workers}*popen", "--dist", "load", tests=tests
    )
    assert status in (0, 1), output
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    return {event["test"]: (event["outcome"], event["reason"]) for event in events if event["event"] == "finished"}


def seen(suite):
    return sorted(path.name for path in (suite.parent / "seen").iterdir())


def test_names_are_written_in_pytests_own_order(suite):
    names = suite.parent / "names"
    status, output = run(suite, "--collect-only", "--ktrial-names", str(names), "-k", "test_n or TestOrder")
    assert status == 0, output
    assert json.loads(names.read_text()) == [
        *(f"one/test_a.py::test_n[{n}]" for n in range(3)),
        "one/test_b.py::TestOrder::test_first",
        "one/test_b.py::TestOrder::test_kept",
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_only_modules_of_the_asked_tests_are_imported(suite, workers):
    tests = ["one/test_b.py::TestOrder::test_first", "one/test_a.py::test_n[2]", "one/test_a.py::test_n[0]"]
    found = outcomes(suite, tests, workers=workers)
    assert {test: outcome for test, (outcome, _) in found.items()} == dict(
        zip(tests, ["passed", "failed", "passed"], strict=True)
    )
    assert seen(suite) == ["a", "b"]


def test_the_journal_says_which_worker_a_test_starts_on(suite):
    tests = [f"one/test_a.py::test_n[{n}]" for n in range(3)]
    outcomes(suite, tests, workers=2)
    events = [json.loads(line) for line in (suite.parent / "journal").read_text().splitlines()]
    workers = {
        kind: {event["test"]: event["worker"] for event in events if event["event"] == kind}
        for kind in ("started", "finished")
    }
    assert set(workers["started"]) == set(tests)
    assert workers["started"] == workers["finished"]


def test_modules_share_the_fixtures_of_a_session(suite):
    tests = ["one/test_a.py::test_n[0]", "one/test_b.py::TestOrder::test_first", "one/test_b.py::TestOrder::test_kept"]
    assert {outcome for outcome, _ in outcomes(suite, tests).values()} == {"passed"}


def test_a_conftest_serves_its_folder_and_no_other(suite):
    found = outcomes(suite, ["two/test_d.py::test_d", "one/test_c.py::test_c"])
    assert {outcome for outcome, _ in found.values()} == {"passed"}, found


@pytest.mark.parametrize("name", ["one/test_a.py::test_gone", "one/test_gone.py::test_n", "one/test_b.py::TestOrder"])
def test_a_name_that_the_worker_does_not_have_fails(suite, name):
    found = outcomes(suite, [name, "one/test_c.py::test_c"])
    assert found[name][0] == "failed"
    assert "its worker could not" in found[name][1]
    assert found["one/test_c.py::test_c"][0] == "passed"


def test_a_module_that_cannot_be_imported_there_fails_its_tests(suite):
    (suite / "one/test_c.py").write_text("raise OSError('not on this kernel')\n")
    found = outcomes(suite, ["one/test_c.py::test_c", "one/test_a.py::test_n[0]"])
    assert found["one/test_c.py::test_c"][0] == "failed"
    assert found["one/test_a.py::test_n[0]"][0] == "passed"


def test_a_worker_that_dies_ends_a_session_that_stops_at_the_first_failure(suite):
    (suite / "one/test_dies.py").write_text("import os\ndef test_dies():\n    os.abort()\n")
    journal = suite.parent / "journal"
    # More than the one test that a worker has in advance.
    tests = ["one/test_dies.py::test_dies", *(f"one/test_a.py::test_n[{n}]" for n in range(3)), "one/test_c.py::test_c"]
    _, output = run(suite, "-x", "--ktrial-journal", str(journal), "--tx", "1*popen", "--dist", "load", tests=tests)
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert "stopping after 1 failures" in output
    assert not [event["test"] for event in events if event["event"] == "finished"], output
