"""Videos: a job that is polled, and the bytes that it makes."""

from lb.sim.decision import Download
from lb.sim.objects.ask import Ask, Found, Ways, deleted
from lb.sim.objects.missing import wrong
from lb.sim.objects.resource import Resource
from lb.sim.objects.shelf import Body

CONTENT = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(1000)
"""The beginning of an MP4 file, and nothing to see."""
DAY = 86_400


def create(resource: Resource, ask: Ask) -> Found:
    """Begin a job; it comes as a form or as JSON."""
    return _begin(resource, ask, None)


def remix(resource: Resource, ask: Ask) -> Found:
    """Begin a job that goes on from a video of this resource."""
    resource.videos.find(ask.name)
    return _begin(resource, ask, ask.name)


def _begin(resource: Resource, ask: Ask, source: str | None) -> Body:
    if not ask.body.get("prompt"):
        raise wrong("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    body = {
        "id": resource.ids("video_"),
        "object": "video",
        "created_at": ask.desk.now,
        "completed_at": None,
        "expires_at": ask.desk.now + DAY,
        "model": ask.body.get("model") or "sora-2",
        "prompt": ask.body["prompt"],
        "seconds": str(ask.body.get("seconds") or "4"),
        "size": ask.body.get("size") or "720x1280",
        "progress": 0,
        "status": "queued",
        "remixed_from_video_id": source,
        "error": None,
    }
    steps = [
        lambda _: {"status": "in_progress", "progress": 50},
        lambda today: {"status": "completed", "progress": 100, "completed_at": today},
    ]
    return dict(resource.videos.add(body, ask.weight, steps).body)


def retrieve(resource: Resource, ask: Ask) -> Found:
    return resource.videos.look(ask.name, ask.desk.now)


def list_all(resource: Resource, ask: Ask) -> Found:
    return resource.videos.page(ask.query)


def delete(resource: Resource, ask: Ask) -> Found:
    resource.videos.drop(ask.name)
    return deleted(ask.name, "video")


def content(resource: Resource, ask: Ask) -> Found:
    """The bytes, once the job is over."""
    if resource.videos.find(ask.name).body["status"] != "completed":
        raise wrong("Video is not ready yet, use GET /v1/videos/{video_id} to check status.")
    return Download(CONTENT, "video/mp4")


WAYS: Ways = {
    "POST /videos": create,
    "GET /videos": list_all,
    "GET /videos/{}": retrieve,
    "DELETE /videos/{}": delete,
    "GET /videos/{}/content": content,
    "POST /videos/{}/remix": remix,
}
