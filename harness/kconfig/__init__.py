"""The kernel's configuration: fragments in, a .config whose every setting was checked out.

C's `olddefconfig` decides; Kconfiglib explains.
"""

from harness.kconfig.dotconfig import config_digest, diff, holds, values
from harness.kconfig.fragment import fragment_names, load_fragment, parse_fragment
from harness.kconfig.model import (
    Addition,
    Definition,
    Difference,
    Explanation,
    Fragment,
    Loss,
    Member,
    Reason,
    ResolvedConfig,
    Setting,
    Source,
    Term,
)

__all__ = [
    "Addition",
    "Definition",
    "Difference",
    "Explanation",
    "Fragment",
    "Loss",
    "Member",
    "Reason",
    "ResolvedConfig",
    "Setting",
    "Source",
    "Term",
    "config_digest",
    "diff",
    "enable",
    "explain",
    "fragment_names",
    "holds",
    "load_fragment",
    "merge",
    "parse_fragment",
    "resolve",
    "values",
]

from harness.kconfig.resolution import enable, explain, merge, resolve
