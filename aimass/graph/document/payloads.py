"""Which of a service's calls are kept with their inputs and outputs, for how long, and what of them nobody may see."""

from typing import Self

from pydantic import Field, model_validator

from aimass.graph.document.parts import Part, TensorName


class PrivateSpec(Part):
    """Inputs and outputs that never lie on disk as they are. ``mask``: a keyed hash of each row stands for it;
    ``encrypt``: only the platform's own key opens it."""

    mask: tuple[TensorName, ...] = ()
    encrypt: tuple[TensorName, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [*self.mask, *self.encrypt]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is named twice; mask it or encrypt it, once")
        return self


class PayloadsSpec(Part):
    """A share of the answered calls is kept, and every call that failed."""

    sample: float = Field(default=0.1, ge=0, le=1)
    keep_days: float = Field(default=7.0, gt=0)
    keep_mb: float = Field(default=500.0, gt=0)
    private: PrivateSpec = PrivateSpec()
