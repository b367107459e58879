"""Write the demo run's report in every form to docs/demo-report: `make demo-report`.

The run is a real one. What names the machine that it ran on is made neutral before anything is rendered: paths begin
with `~` or are those of the project, and the host's kernel has no release. The pictures are taken by headless Chromium.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

from harness import record
from harness.errors import UsageError
from harness.places import cache_dir, suites_dir
from harness.report.decode import Places
from harness.report.evidence import Evidence, gather
from harness.report.html import html_page
from harness.report.json import encode_result, read_result
from harness.report.junit import junit_xml
from harness.report.ktap import ktap_text
from harness.report.mail import Letterhead, as_bytes, compose
from harness.report.markdown import markdown
from harness.report.terminal import render
from harness.run_result import RunResult
from harness.store import RunFolder, find_run

_ROOT = Path(__file__).resolve().parents[1]
_DOCS = _ROOT / "docs" / "demo-report"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_COLUMNS = 100


def main() -> None:
    """Write all forms of one run, and the figures of another, for whose series is about them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="last", help="a finished run, as for `ktrial report`")
    parser.add_argument("--figures", metavar="RUN", help="a run with --perf, for a picture of its figures")
    parser.add_argument("--to", type=Path, default=_DOCS, help="the folder to write to")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    result, evidence = _neutral_run(find_run(asked.run))
    _texts(asked.to, result, evidence)
    _pictures(asked.to, result, evidence)
    if asked.figures:
        page = html_page(*_neutral_run(find_run(asked.figures)))
        _picture(_from(page, "performance"), asked.to / "figures.png", 900, 1700)
    for path in sorted(asked.to.iterdir()):
        print(f"{path.stat().st_size / 1000:7.1f} kB  {path.relative_to(asked.to.parent)}")


def _texts(folder: Path, result: RunResult, evidence: Evidence) -> None:
    date, places = datetime.fromisoformat(result.finished), evidence.places
    mail = compose(result, Letterhead(), to=["list@example.org"], date=date, places=places)
    texts = {
        "report.html": html_page(result, evidence).encode(),
        "report.junit.xml": junit_xml(result),
        "report.ktap": ktap_text(result).encode(),
        "report.md": markdown(result, places).encode(),
        "result.json": encode_result(result),
        "report.eml": as_bytes(mail),
        "report.txt": _terminal(result, places).encode(),
    }
    for name, text in texts.items():
        record.atomic_write(folder / name, text)


def _pictures(folder: Path, result: RunResult, evidence: Evidence) -> None:
    page = html_page(result, evidence)
    _picture(page, folder / "html.png", 1000, 1200)
    _picture(_from(page, "results"), folder / "html-dark.png", 500, 900, dark=True)
    console = Console(
        file=io.StringIO(), width=_COLUMNS, record=True, force_terminal=True, color_system="truecolor", highlight=False
    )
    render(result, console, places=evidence.places)
    shown = console.export_html(theme=DEFAULT_TERMINAL_THEME, inline_styles=True)
    style = "body { margin: 16px; font-size: 14px; } pre { white-space: pre-wrap; }"
    shown = shown.replace("</head>", f"<style>{style}</style></head>")
    _picture(shown, folder / "terminal.png", 900, 900)


def _terminal(result: RunResult, places: Places) -> str:
    console = Console(file=io.StringIO(), width=_COLUMNS, record=True)
    render(result, console, places=places)
    return "".join(f"{line.rstrip()}\n" for line in console.export_text().splitlines())


def _neutral_run(run: RunFolder) -> tuple[RunResult, Evidence]:
    """The result without the names of the machine, and what its folder tells."""
    try:
        result = read_result(run.result)
    except FileNotFoundError:
        raise UsageError(f"run {run.id} is not finished", hint=f"ktrial run --resume {run.id}") from None
    written = encode_result(result).decode()
    for path, shown in _places(run):
        written = written.replace(path, shown)
    written = re.sub(r"linux -- Python ([\d.]+) \S+?(?=\\n|\")", r"linux -- Python \1 python3", written)
    neutral = record.decode(written.encode(), RunResult)
    host = re.sub(r"^(\w+) \S+ (\w+)$", r"\1 \2", neutral.environment.host)
    return replace(neutral, environment=replace(neutral.environment, host=host)), gather(run, result)


def _places(run: RunFolder) -> tuple[tuple[str, str], ...]:
    """Paths of this machine as JSON has them, and what they are called instead: the innermost first."""
    root = str(suites_dir().parent)
    return (
        (str(run.path), f"~/.local/state/ktrial/runs/{run.id}"),
        (str(cache_dir()), "~/.cache/ktrial"),
        (f"{root}/", ""),
        (f"{root.lstrip('/')}/", ""),
        (str(Path.home()), "~"),
    )


def _from(page: str, section: str) -> str:
    """The page from a section on, its header left out."""
    hidden = "header, nav, main > section { display: none }"
    shown = f"main > section#{section}, main > section#{section} ~ section {{ display: block }}"
    return page.replace("</style>", f"{hidden} {shown}\n</style>", 1)


def _picture(page: str, target: Path, width: int, height: int, *, dark: bool = False) -> None:
    """What a browser shows of the page in a window of that size."""
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="ktrial-report-") as folder:
        place = Path(folder)
        place.joinpath("page.html").write_text(page)
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--blink-settings=preferredColorScheme=0"] if dark else []
        options += [f"--user-data-dir={place / 'profile'}", f"--window-size={width},{height}"]
        argv = [browser, *options, f"--screenshot={place / 'shot.png'}", place.joinpath("page.html").as_uri()]
        subprocess.run(argv, check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.copyfile(place / "shot.png", target)


if __name__ == "__main__":
    main()
