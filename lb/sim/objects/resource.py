"""Everything that one Azure OpenAI resource keeps. Its objects exist here and nowhere else."""

import random

from lb.sim.answer import Ids
from lb.sim.objects import missing
from lb.sim.objects.missing import Missing
from lb.sim.objects.sealing import Seal
from lb.sim.objects.shelf import Room, Shelf


class Resource:
    """The shelves of one resource, the ids that it gives and the key that it seals with.

    The ids are random whatever the seed of the simulator is: no two resources ever give the same one.
    """

    def __init__(self, most_bytes: int) -> None:
        self.ids = Ids(random.SystemRandom())
        self.seal = Seal()
        self.room = Room(most_bytes)
        self.responses = self.shelf(missing.RESPONSE)
        self.items = self.shelf(missing.ITEM)
        self.conversations = self.shelf(missing.CONVERSATION)
        self.files = self.shelf(missing.FILE)
        self.batches = self.shelf(missing.BATCH)
        self.vector_stores = self.shelf(missing.VECTOR_STORE)
        self.containers = self.shelf(missing.CONTAINER)
        self.assistants = self.shelf(missing.ASSISTANT)
        self.threads = self.shelf(missing.THREAD)
        self.uploads = self.shelf(missing.UPLOAD)
        self.fine_tunes = self.shelf(missing.FINE_TUNE)
        self.evals = self.shelf(missing.EVAL)
        self.videos = self.shelf(missing.VIDEO)
        self.completions = self.shelf(missing.COMPLETION)

    def shelf(self, words: Missing) -> Shelf:
        """One more shelf, for objects that belong to the resource or to another object."""
        return Shelf(words, self.room)
