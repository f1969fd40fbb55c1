"""What an endpoint's HTTP answer says about our credential and about a deployment. Pure."""

import json
import re
from typing import Any

from lb.checking.step import Finding, bad, doubtful, good

_LONGEST = 160
_ROLE = "for a token: the role Cognitive Services OpenAI User; for both: the resource's network rules"


def judge_credential(status: int, body: bytes, secret: str) -> Finding:
    """Of `GET /openai/models`."""
    said = reason(body, secret)
    match status:
        case 200:
            return good("accepted")
        case 429:
            return good("accepted; throttled at the moment (429)")
        case 404 | 405:
            return doubtful(f"cannot tell: no list of models there ({status}){said}")
    return _refused(status, said) or doubtful(f"cannot tell: answered {status}{said}")


def judge_deployment(status: int, body: bytes, secret: str) -> Finding:
    """Of a chat completion without messages: what refuses the request knows the deployment."""
    said = reason(body, secret)
    if status == 404:
        if _code(body).lower() == "deploymentnotfound":
            return bad(f"no such deployment{said}")
        return bad(f"nothing at this path (404): is it an Azure OpenAI endpoint, is the path prefix right?{said}")
    if status == 429:
        return good("there; throttled at the moment (429)")
    return _refused(status, said) or good("there")


def _refused(status: int, said: str) -> Finding | None:
    if status == 401:
        return bad(f"not accepted (401): is it this endpoint's key, is the token's scope right?{said}")
    if status == 403:
        return bad(f"not allowed (403): look at {_ROLE}{said}")
    if status >= 500:
        return bad(f"the endpoint is in trouble ({status}){said}")
    if 300 <= status < 400:
        return bad(f"answered with a redirect ({status}): is it an Azure OpenAI endpoint?")
    return None


def reason(body: bytes, secret: str) -> str:
    """` - code: message` of an error in one line, without the credential, which some endpoints repeat."""
    error = _error(body)
    parts = [str(error[key]) for key in ("code", "message") if error.get(key)]
    text = re.sub(r"\s+", " ", ": ".join(parts)).replace(secret, "****") if secret else ""
    text = "".join(character for character in text if character.isprintable())
    if not text:
        return ""
    return f" - {text[:_LONGEST]}{'...' if len(text) > _LONGEST else ''}"


def _code(body: bytes) -> str:
    return str(_error(body).get("code") or "")


def _error(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {}
