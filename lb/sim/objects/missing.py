"""How a resource says that it does not have an object.

Taken from public reports: the words for previous responses, items, encrypted content and files. The words for the other
kinds follow OpenAI's; Azure's own are not public for all of them.
"""

from dataclasses import dataclass

from lb.sim.errors import Refusal, invalid


class Refused(Exception):
    """A request that cannot be served, with the reply to it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Missing:
    """The refusal for an id that is not there; `text` has a place for it."""

    text: str
    status: int = 404
    code: str | None = None
    param: str | None = None

    def __call__(self, name: object) -> Refused:
        return Refused(invalid(self.text.format(name), self.code, self.param, self.status))


RESPONSE = Missing("Response with id '{}' not found.")
PREVIOUS = Missing(
    "Previous response with id '{}' not found.", 400, "previous_response_not_found", "previous_response_id"
)
CONVERSATION = Missing("Conversation with id '{}' not found.")
ITEM = Missing("Item with id '{}' not found.")
UNSTORED_ITEM = Missing(
    "Item with id '{}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to "
    "true, or remove this item from your input.",
    param="input",
)
FILE = Missing("No such File object: {}", param="id")
FOREIGN_FILE = Missing(
    "Files [{}] were not found due to ownership verification failure. Ensure the same AOAI resource is used to create "
    "and access files.",
    400,
)
"""A file that a job or a tool was told to use."""
UNSEARCHABLE_FILE = Missing("Files [{}] were not found")
"""A file that was to be put into a vector store."""
BATCH = Missing("No batch found with id '{}'.")
VECTOR_STORE = Missing("Vector store with id '{}' not found.")
VECTOR_STORE_FILE = Missing("No file found with id '{}' in vector store.")
FILE_BATCH = Missing("No file batch found with id '{}'.")
ASSISTANT = Missing("No assistant found with id '{}'.")
THREAD = Missing("No thread found with id '{}'.")
MESSAGE = Missing("No message found with id '{}'.")
RUN = Missing("No run found with id '{}'.")
STEP = Missing("No step found with id '{}'.")
CONTAINER = Missing("Container with id '{}' not found.")
CONTAINER_FILE = Missing("Container file with id '{}' not found.")
UPLOAD = Missing("No such Upload object: {}")
PART = Missing("No such part: {}", 400, param="part_ids")
EVAL = Missing("Eval with id '{}' not found.")
EVAL_RUN = Missing("Eval run with id '{}' not found.")
FINE_TUNE = Missing("Could not find fine tune: {}", code="fine_tune_not_found", param="fine_tune_id")
VIDEO = Missing("Video with id '{}' not found.")
COMPLETION = Missing("Chat completion with id '{}' not found.")


def wrong(message: str, param: str | None = None, code: str | None = None) -> Refused:
    """A request that is wrong in itself."""
    return Refused(invalid(message, code, param))
