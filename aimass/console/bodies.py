"""Bodies of the control API. An unknown field is refused."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from aimass.registry.variants.int8 import MIN_COSINE


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DocumentBody(_Body):
    """A service document."""

    document: str = Field(description="The text of a service.yaml.")
    name: str = Field(default="service.yaml", description="What errors call it.")


class DeployBody(DocumentBody):
    """A service document to deploy."""

    traffic: bool = Field(default=True, description="False: load it and hold it ready; the traffic stays as it is.")


class TrafficBody(_Body):
    """Where a service's traffic is to go."""

    weights: dict[str, Any] = Field(description="Revision → per cent; together 100. At 0 a revision is held ready.")
    policy: str = Field(default="weighted", description="weighted, sticky, steps, thompson, or module:attribute.")
    options: dict[str, Any] = Field(default={}, description="Of the policy.")
    sticky: str = Field(default="", description="What callers stick by: header:NAME, field:NAME or key.")
    why: str = Field(default="", max_length=500)


class ExplainBody(DocumentBody):
    """A service document, and the load to explain it for."""

    load_rps: float | None = Field(default=None, gt=0, description="Calls a second; else as the document declares.")
    rows: int | None = Field(default=None, ge=1, description="Rows in each call; 1 unless given.")


class RecipeBody(_Body):
    """A recipe to run."""

    recipe: str = Field(description="The text of a recipe.yaml.")
    name: str = Field(default="recipe.yaml", description="What errors call it.")
    folder: str | None = Field(
        default=None,
        description="Where the run works, as an absolute path on the platform's machine: the paths of CSV files are "
        "relative to it. By default the folder that holds the platform's home.",
    )


class AliasBody(_Body):
    """Where an alias is to point."""

    version: int = Field(ge=1)
    why: str = Field(default="", max_length=500)


class QuantizeBody(_Body):
    """How well 8 bits must do."""

    min_cosine: float = Field(default=MIN_COSINE, ge=-1, le=1, description="Of each sample text's two vectors.")


class SweepBody(_Body):
    """How to sweep."""

    dry_run: bool = Field(default=False, description="Only count what would be deleted.")


class SizeBody(_Body):
    """Bounds of the gateway's size."""

    min: int = Field(description="Replicas at least.")
    max: int = Field(description="Replicas at most.")


class KeyBody(_Body):
    """A key to be made."""

    name: str = Field(description="Whose or what it is for.")
    scopes: list[str] = Field(description="Of predict, feedback, read, deploy, train, admin.")
    rate_per_s: float | None = Field(default=None, description="Requests a second over all replicas.")
    expires_at: float | None = Field(default=None, description="Seconds since 1970 UTC.")
    account: str = Field(
        default="", description="Whose it is: a name, of a new account too; the caller's unless given."
    )


class ErrorBody(BaseModel):
    """What every call answers instead of its result."""

    error: str = Field(description="What is wrong with what, and the next step.")
    kind: str = Field(description="One word: invalid, unauthenticated, denied, not_found, conflict, …")
    field: str | None = Field(description="Where the input is wrong, as in graph.nodes.m.model.")
    request_id: str
