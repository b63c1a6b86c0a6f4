"""What the parts of a service document are made of: strict models, names of nodes and of tensors."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from aimass.core.errors import Invalid
from aimass.core.ids import check_name

_TENSOR = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class Part(BaseModel):
    """Unknown keys are refused, and so are numbers that JSON cannot hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _label(name: str) -> str:
    try:
        return check_name(name, "service or node")
    except Invalid as error:
        raise ValueError(str(error)) from None


def _tensor(name: str) -> str:
    if not _TENSOR.fullmatch(name):
        raise ValueError(f"tensor name {name!r} must start with a letter and hold letters, digits, '_', '.' and '-'")
    return name


Label = Annotated[str, AfterValidator(_label)]
TensorName = Annotated[str, AfterValidator(_tensor)]
