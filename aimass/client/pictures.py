"""An image file as one row of a tensor, as the service's ``picture`` says: grey, resized, scaled."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.signature import NUMPY, Picture, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image


def read_picture(path: Path, picture: Picture) -> Array:
    """The image as (height, width) float32 from ``low`` to ``high``, where ``high`` is ink."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            ground = 255 if picture.ink == "dark" else 0
            grey = _flatten(image, ground)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Invalid(f"cannot read {path} as an image: {error}", "image") from error
    small = grey.resize((picture.width, picture.height), Image.Resampling.BOX)
    light = np.asarray(small, dtype=np.float32) / 255
    ink = 1 - light if picture.ink == "dark" else light
    return (picture.low + ink * (picture.high - picture.low)).astype(np.float32)


def read_row(path: Path, spec: TensorSpec) -> Array:
    """One row for the tensor; ``Invalid`` when the service does not say how a picture becomes one."""
    if spec.picture is None:
        raise Invalid(
            f"input {spec.name!r} takes no pictures: its service.yaml has no `picture`; send --rows instead", spec.name
        )
    values = read_picture(path, spec.picture)
    trailing = [length for length in spec.shape[1:] if length != 1]
    sizes = [spec.picture.height * spec.picture.width], [spec.picture.height, spec.picture.width]
    if trailing not in sizes:
        raise Invalid(f"input {spec.name!r} has shape {list(spec.shape)}, which its picture does not fill", spec.name)
    return values.reshape(1, *spec.shape[1:]).astype(NUMPY[spec.datatype])


def _flatten(image: "Image", ground: int) -> "Image":
    """Grey values; what is transparent shows the ground."""
    from PIL import Image as Images

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        below = Images.new("RGBA", over.size, (ground, ground, ground, 255))
        image = Images.alpha_composite(below, over)
    if image.mode.startswith("I"):  # 16 bits a pixel, which "L" would cut off instead of scaling
        return Images.fromarray((np.asarray(image, dtype=np.float64) / 65535 * 255).round().astype(np.uint8))
    return image.convert("L")
