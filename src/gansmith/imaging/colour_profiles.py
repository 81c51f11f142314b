"""Colour profiles (ICC): convert images to sRGB, the space that networks and screens expect."""

import io

from PIL import Image, ImageCms

# Colour spaces of profiles, and the modes of the images that they describe.
MODES_OF_SPACE = {"RGB": ("RGB", "RGBA"), "CMYK": ("CMYK",), "GRAY": ("L", "LA")}


def other_profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """Return the colour profile of an opened image, if its colours are not sRGB; None also for a broken profile."""
    data = image.info.get("icc_profile")
    if not data or image.mode.startswith(("I", "F")):
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name, space = ImageCms.getProfileDescription(profile), profile.profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError, AttributeError, ValueError):
        return None
    return None if "srgb" in name.lower() or space not in MODES_OF_SPACE else profile


def to_srgb(image: Image.Image, *, only_cmyk: bool = False) -> Image.Image:
    """Return a decoded image with its colours in sRGB; unchanged without a profile, or with one that does not fit.

    ``only_cmyk`` converts only images in the inks of print, for results that keep their profile.
    """
    profile = other_profile(image)
    if profile is None or (only_cmyk and image.mode != "CMYK"):
        return image
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode not in MODES_OF_SPACE[profile.profile.xcolor_space.strip()]:
        return image
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    opaque = image.convert(image.mode[:-1]) if alpha is not None else image
    try:
        converted = ImageCms.profileToProfile(opaque, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        return image
    assert converted is not None
    converted.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    if image.mode in ("L", "LA"):
        converted = converted.convert("L")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
