"""docs/audit.md names fields of records; here they are held to what the code writes."""

import json
import re
from pathlib import Path

import pytest

from lb.audit import bounds, capture, records, redaction

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
SOURCES = "".join(Path(str(module.__file__)).read_text() for module in (bounds, capture, records, redaction))
WRITTEN = set(re.findall(r'"([a-z_]+)"', SOURCES))
"""Every name that stands in quotation marks where records are made."""
QUERIES = re.findall(r"```kusto\n(.*?)```", PAGE, flags=re.DOTALL)
OF_LOG_LINES = {"backend", "event", "request_id"}


def test_the_example_has_only_fields_that_there_are() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    record = json.loads(text)
    assert set(record) <= WRITTEN
    assert {"prompt", "response", "total_tokens", "ip", "outcome"} <= set(record)


def test_the_table_names_the_fields_that_there_are() -> None:
    (table,) = re.findall(r"\| field \| is \|\n(.*?)\n\n", PAGE, flags=re.DOTALL)
    named = {name for row in table.splitlines() for name in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert named <= WRITTEN
    assert len(named) > 20


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_fields_that_there_are(query: str) -> None:
    fields = set(re.findall(r"\br\.([a-z_]+)", query)) | set(re.findall(r"\b(?:turn|choice)\.([a-z_]+)", query))
    assert fields
    assert fields <= (OF_LOG_LINES if "Received response" in query else WRITTEN | {"role", "content", "error"})
