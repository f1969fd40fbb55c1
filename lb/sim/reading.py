"""Bodies as the endpoint reads them, and whose request it is."""

from collections.abc import Mapping
from typing import Any

import orjson

from lb.sim import errors
from lb.sim.decision import Asked
from lb.sim.errors import Refusal
from lb.sim.objects.form import Form, read_form


def read_json(data: bytes) -> dict[str, Any] | Refusal:
    """A body that must be a JSON object."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return errors.invalid("We could not parse the JSON body of your request.")
    return body if isinstance(body, dict) else errors.invalid("The body of your request must be a JSON object.")


def read(asked: Asked) -> tuple[dict[str, Any], Form] | Refusal:
    """A body in either of the forms that objects come in; a form's fields count as the body's."""
    content_type = asked.headers.get("Content-Type", "")
    if content_type.lower().startswith("multipart/form-data"):
        form = read_form(content_type, asked.body)
        return dict(form.fields), form
    body = read_json(asked.body) if asked.body else {}
    return body if isinstance(body, Refusal) else (body, Form())


def tenant(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """Whose request it is, for the ledger: a field of its own, else what the body says of its user."""
    said = headers.get("x-sim-tenant") or body.get("user") or body.get("safety_identifier")
    return said if isinstance(said, str) else "-"
