"""The kernel's own selftests: which of them to run, built from each side's own tree, and what they prove."""
