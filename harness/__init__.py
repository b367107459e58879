"""ktrial: put a Linux kernel patch series on trial."""

from importlib import metadata

try:
    __version__ = metadata.version("ktrial")
except metadata.PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+checkout"
