"""The tools that a resource runs by itself for a response: file search and the code interpreter."""

from collections.abc import Iterator, Mapping
from typing import Any

from lb.sim.objects import missing
from lb.sim.objects.containers import open_container, put
from lb.sim.objects.resource import Resource
from lb.sim.objects.search import search
from lb.sim.objects.shelf import Body, Kept
from lb.sim.tokens import texts

MOST_RESULTS = 20
CODE = "open('result.txt', 'w').write('done')"
RESULT = b"done"
Used = tuple[Body, list[Body]]
"""The item of a call, and the annotations that the answer gets by it."""


def check(tools: Any, resource: Resource) -> None:
    """Is everything that the tools name on this resource? Raises Refused."""
    for tool in tools or ():
        for store in tool.get("vector_store_ids") or ():
            resource.vector_stores.find(store)
        container = tool.get("container")
        if isinstance(container, str):
            resource.containers.find(container)
        for file in (container.get("file_ids") or ()) if isinstance(container, dict) else ():
            if not resource.files.has(file):
                raise missing.FOREIGN_FILE(file)


def use(body: Mapping[str, Any], prompt: Mapping[str, Any], resource: Resource, now: int) -> Iterator[Used]:
    """Run each of the request's hosted tools once."""
    for tool in body.get("tools") or ():
        if tool.get("type") == "file_search":
            yield _search(tool, body, prompt, resource)
        elif tool.get("type") == "code_interpreter":
            yield _run(tool, resource, now)


def _search(tool: Body, body: Mapping[str, Any], prompt: Mapping[str, Any], resource: Resource) -> Used:
    query = " ".join(texts({"input": prompt["input"][-1:]}))
    results = search(resource, tool["vector_store_ids"], query, tool.get("max_num_results") or MOST_RESULTS)
    shown = results if "file_search_call.results" in (body.get("include") or ()) else None
    call = {"id": resource.ids("fs_"), "type": "file_search_call", "status": "completed", "queries": [query]}
    cited = [
        {"type": "file_citation", "index": 0, "file_id": result["file_id"], "filename": result["filename"]}
        for result in results
    ]
    return {**call, "results": shown}, cited


def _run(tool: Body, resource: Resource, now: int) -> Used:
    """Pretend to run some code that writes a file."""
    container = _container(tool.get("container"), resource, now)
    name = container.body["id"]
    call = {"id": resource.ids("ci_"), "type": "code_interpreter_call", "status": "completed", "container_id": name}
    made = put(resource, container, "result.txt", RESULT, "assistant", now)
    cited = {"type": "container_file_citation", "container_id": name, "file_id": made["id"], "filename": "result.txt"}
    return {**call, "code": CODE, "outputs": None}, [{**cited, "start_index": 0, "end_index": 0}]


def _container(said: Any, resource: Resource, now: int) -> Kept:
    if isinstance(said, str):
        return resource.containers.find(said)
    return open_container(resource, "auto", (said or {}).get("file_ids") or [], now)
