"""Label values. Each makes series of its own, so nobody outside may make them up without end."""

from collections.abc import Iterable

OTHER = "other"
NONE = "none"


class Names:
    """Names in lower case, up to `most` of them; what is not among them is `other`."""

    __slots__ = ("_labels", "_most")

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._most = most
        self._labels: dict[str | None, str] = {None: NONE}
        for name in known:
            self.admit(name)

    def admit(self, name: str | None) -> str:
        """The label of a name that is worth one."""
        label = self._labels.get(name)
        if label is None:
            if len(self._labels) > self._most:
                return OTHER
            assert name is not None  # noqa: S101 - None has its label from the start
            label = self._labels[name] = name.lower()
        return label

    def label(self, name: str | None) -> str:
        """The label of a name that a client may have made up."""
        return self._labels.get(name, OTHER)
