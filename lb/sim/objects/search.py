"""What do the files of vector stores say about a question? By common words, where the real thing compares meanings."""

import re
from collections.abc import Sequence

from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body

EXCERPT_BYTES = 4000
"""How much of a file is read: one chunk."""
_WORD = re.compile(r"\w+")


def excerpt(resource: Resource, name: str) -> str:
    """The beginning of a file as text; nothing where the file is gone."""
    if not resource.files.has(name):
        return ""
    content: bytes = resource.files.find(name).inner
    return content[:EXCERPT_BYTES].decode("utf-8", "replace")


def search(resource: Resource, stores: Sequence[str], query: str, most: int) -> list[Body]:
    """The files of these stores that share a word with the query, best first. Raises Refused."""
    wanted = set(_WORD.findall(query.lower()))
    results = []
    for store in stores:
        for kept in resource.vector_stores.find(store).inner.files:
            text = excerpt(resource, kept.body["id"])
            score = len(wanted & set(_WORD.findall(text.lower()))) / max(1, len(wanted))
            if score and resource.files.has(kept.body["id"]):
                results.append(_result(resource, kept.body, text, score))
    results.sort(key=lambda result: -result["score"])
    return results[:most]


def _result(resource: Resource, file: Body, text: str, score: float) -> Body:
    filename = resource.files.find(file["id"]).body["filename"]
    found = {"file_id": file["id"], "filename": filename, "score": round(score, 4)}
    return {**found, "attributes": file["attributes"], "text": text}
