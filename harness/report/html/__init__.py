"""The result as a page for a browser: one file that needs nothing else, or a folder where it is too much for one."""

from harness.report.html.folder import write_folder
from harness.report.html.page import html_page

__all__ = ["html_page", "write_folder"]
