"""Every kind of file has a defined treatment: converted with a note, or bad with a reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench.data.decode import BadImage, Recipe, open_rgb
from tests.bench.data.samples import encoded, lesion_like

RNG = np.random.default_rng(0)
PICTURE = lesion_like(RNG, 48)


def test_square_picture_of_the_right_size_is_kept_to_the_bit() -> None:
    pixels, notes = Recipe(48).image(encoded(PICTURE))
    assert np.array_equal(pixels, PICTURE)
    assert notes == ()


def test_area_filter_is_the_block_mean_rounded_once() -> None:
    pixels, _ = Recipe(12, filter="area").image(encoded(PICTURE))
    mean = PICTURE.reshape(12, 4, 12, 4, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.array_equal(pixels, np.rint(mean).astype(np.uint8))


def test_lanczos_keeps_a_constant_and_suppresses_what_the_grid_cannot_show() -> None:
    flat = np.full((64, 64, 3), 137, dtype=np.uint8)
    assert np.array_equal(Recipe(16).image(encoded(flat))[0], np.full((16, 16, 3), 137))
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small, _ = Recipe(16).image(encoded(stripes))
    assert abs(small[:, 2:-2].astype(int) - 127.5).max() < 3


def test_square_crop_takes_the_centre_and_pad_keeps_all_on_black() -> None:
    wide = np.zeros((8, 16, 3), dtype=np.uint8)
    wide[:, 4:12] = 200
    assert (Recipe(8).image(encoded(wide))[0] == 200).all()
    padded, _ = Recipe(16, crop="pad").image(encoded(wide))
    assert np.array_equal(padded[4:12], wide)
    assert not padded[:4].any()
    assert not padded[12:].any()


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (encoded(PICTURE, mode="L"), "greyscale"),
        (encoded(PICTURE, mode="1"), "greyscale"),
        (encoded(PICTURE, mode="P"), "palette"),
        (encoded(PICTURE, "JPEG", mode="CMYK", quality=95), "CMYK"),
        (encoded(PICTURE, "TIFF", mode="LAB"), "LAB"),
        (encoded(PICTURE[..., 0].astype(np.uint16) * 257), "16 bit"),
        (encoded(PICTURE[..., 0].astype(np.uint16) * 257, "TIFF"), "16 bit"),
    ],
)
def test_other_pixel_formats_become_rgb_with_a_note(data: bytes, note: str) -> None:
    pixels, notes = Recipe(48).image(data)
    assert pixels.shape == (48, 48, 3)
    assert note in notes
    assert abs(float(pixels.mean()) - float(PICTURE.mean())) < 40


def test_sixteen_bit_values_are_scaled_and_not_cut() -> None:
    wide = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    pixels, notes = Recipe(16).image(encoded(wide))
    assert np.array_equal(pixels[..., 0].ravel(), np.arange(256))
    assert notes == ("16 bit", "greyscale")


def test_transparent_pixels_lie_on_black_and_an_opaque_layer_changes_nothing() -> None:
    alpha = np.full((48, 48, 1), 255, dtype=np.uint8)
    assert Recipe(48).image(encoded(np.concatenate([PICTURE, alpha], axis=2)))[1] == ()
    alpha[:24] = 0
    pixels, notes = Recipe(48).image(encoded(np.concatenate([PICTURE, alpha], axis=2)))
    assert notes == ("transparency",)
    assert not pixels[:24].any()
    assert np.array_equal(pixels[24:], PICTURE[24:])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_exif_orientation_is_applied(orientation: int, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PICTURE[:30], mode=mode, exif=exif)
    upright, notes = open_rgb(data)
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM}
    turns |= {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE}
    turns |= {8: Image.Transpose.ROTATE_90}
    stored = Image.fromarray(PICTURE[:30]).convert(mode).convert("RGB")
    expected = stored.transpose(turns[orientation]) if orientation > 1 else stored
    assert np.array_equal(np.asarray(upright), np.asarray(expected))
    assert ("EXIF rotation" in notes) == (orientation > 1)


def test_first_of_several_frames_counts() -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(lesion_like(RNG)) for _ in range(3)]
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    pixels, notes = Recipe(48).image(buffer.getvalue())
    assert np.array_equal(pixels, np.asarray(frames[0]))
    assert notes == ("first of several frames",)


JPEG = encoded(PICTURE, "JPEG", quality=90)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"<html>404 not found</html>", "not an image"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (encoded(PICTURE)[:-200], "truncated"),
        (JPEG[:20], "not an image|truncated"),
        (encoded(np.zeros((4, 4), dtype=np.float32), "TIFF"), "floating-point"),
    ],
)
def test_unusable_files_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        Recipe(16).image(data)


@pytest.mark.parametrize("side", [9_200, 20_000])
def test_a_decompression_bomb_is_not_decoded(side: int) -> None:
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    with pytest.raises(BadImage, match="megapixels"):
        Recipe(16).image(buffer.getvalue())


def test_mask_follows_the_geometry_of_its_image_and_is_binary() -> None:
    mask = np.zeros((32, 64), dtype=np.uint8)
    mask[:, 32:] = 255
    small = Recipe(16).mask(encoded(mask, "JPEG", quality=60))
    assert set(np.unique(small)) == {0, 255}
    assert np.array_equal(small, np.broadcast_to(np.repeat([0, 255], 8), (16, 16)))


def test_the_recipe_names_itself() -> None:
    import PIL

    assert Recipe(32).name == f"square-crop,lanczos,32px,pillow-{PIL.__version__}"
    assert Recipe(64, "pad", "area").name.startswith("black-pad,area,64px")
