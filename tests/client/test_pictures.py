"""Image files as rows, against arithmetic by hand and scikit-learn's own digits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from aimass.client.pictures import read_picture, read_row
from aimass.core.errors import Invalid
from aimass.core.signature import Datatype, Picture, TensorSpec

DIGIT = Picture(8, 8, 0, 16)
SPEC = TensorSpec("image", Datatype.FP32, (-1, 64), picture=DIGIT)


def save(tmp_path: Path, image: Image.Image) -> Path:
    path = tmp_path / "one.png"
    image.save(path)
    return path


@pytest.mark.parametrize("zoom", [1, 4, 25])
def test_a_drawn_digit_comes_back(tmp_path: Path, zoom: int) -> None:
    digit = load_digits().images[7]
    grey = (255 - digit * 255 / 16).round().astype(np.uint8)
    path = save(tmp_path, Image.fromarray(np.kron(grey, np.ones((zoom, zoom), np.uint8))))
    row = read_row(path, SPEC)
    assert row.shape == (1, 64)
    assert row.dtype == np.float32
    np.testing.assert_allclose(row.reshape(8, 8), digit, atol=16 / 255)


def test_light_ink_turns_the_scale(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(np.array([[0, 255]], np.uint8)))
    np.testing.assert_array_equal(read_picture(path, Picture(1, 2, -1, 1, ink="dark")), [[1, -1]])
    np.testing.assert_array_equal(read_picture(path, Picture(1, 2, -1, 1, ink="light")), [[-1, 1]])


def test_shrinking_averages_blocks(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)))
    np.testing.assert_allclose(read_picture(path, Picture(1, 1)), [[0.25]], atol=1 / 255)


def test_the_transparent_counts_as_ground(tmp_path: Path) -> None:
    pixels = np.zeros((1, 2, 4), np.uint8)
    pixels[0, 1, 3] = 255  # black and opaque; the other black, but transparent
    path = save(tmp_path, Image.fromarray(pixels))
    np.testing.assert_array_equal(read_picture(path, Picture(1, 2)), [[0, 1]])


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(np.array([[0, 65535, 32768]], np.uint16)))
    np.testing.assert_allclose(read_picture(path, Picture(1, 3)), [[1, 0, 0.5]], atol=1 / 255)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_text("not a picture")
    with pytest.raises(Invalid, match=r"cannot read .*one\.png as an image"):
        read_row(path, SPEC)
    with pytest.raises(Invalid, match="cannot read"):
        read_row(tmp_path / "missing.png", SPEC)


def test_a_service_that_takes_no_picture_says_so(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("L", (8, 8)))
    with pytest.raises(Invalid, match="--rows"):
        read_row(path, TensorSpec("x", Datatype.FP32, (-1, 64)))
    with pytest.raises(Invalid, match="does not fill"):
        read_row(path, TensorSpec("x", Datatype.FP32, (-1, 10), picture=DIGIT))
