"""The result as JSON, under a published schema.

docs/result.schema.json is `schema()`, written by `python -m harness.report.json`; a test holds the two together.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from harness import record
from harness.run_result import SCHEMA_VERSION, RunResult

__all__ = ["encode_result", "read_result", "schema", "schema_text", "write_result"]

SCHEMA_ID = f"urn:ktrial:result:{SCHEMA_VERSION}"


def encode_result(result: RunResult) -> bytes:
    """The result as JSON. What is no valid Unicode (a byte of a log that is no UTF-8) is written as its escape."""
    try:
        return record.encode(result)
    except UnicodeEncodeError:
        return record.encode(_valid(msgspec.to_builtins(result)))


def write_result(path: Path, result: RunResult) -> None:
    """Write the JSON to a file, whole or not at all."""
    record.atomic_write(path, encode_result(result))


def read_result(path: Path) -> RunResult:
    """Read back what `write_result` wrote. Raises OSError, msgspec.DecodeError (another version's, say)."""
    return record.load(path, RunResult)


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a result."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Result of a ktrial run",
    }
    whole = {**head, **msgspec.json.schema(RunResult)}
    for definition in whole["$defs"].values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    return whole


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _valid(value: object) -> object:
    """The same value with lone surrogates in its strings written as `\\udcff`."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    return value


if __name__ == "__main__":
    (Path(__file__).resolve().parents[2] / "docs" / "result.schema.json").write_text(schema_text())
