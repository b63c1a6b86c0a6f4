"""Errors that name their place: line and field where there is a document, the field alone where there is none."""

from dataclasses import dataclass

from aimass.core.documents import Document
from aimass.core.errors import Invalid

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A place of a service document. Inside an ensemble every place is that of the node that names the ensemble."""

    document: Document | None
    location: Location = ()
    inside: str = ""  # the ensemble that the place lies in

    def at(self, *location: str | int) -> "Place":
        """A place below this one."""
        if self.inside:
            return self
        return Place(self.document, (*self.location, *location))

    def within(self, ref: str) -> "Place":
        """This place, seen from inside the ensemble ``ref``."""
        return Place(self.document, self.location, self.inside or ref)

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.location)

    def error(self, problem: str) -> Invalid:
        """To be raised."""
        if self.inside:
            problem = f"in the graph of {self.inside}: {problem}"
        if self.document is not None:
            return self.document.error(problem, *self.location)
        return Invalid(f"{self.field}: {problem}", field=self.field)
