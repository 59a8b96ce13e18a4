"""Colours: WCAG's own numbers, 3:1 against the theme that is really configured, and stable runs."""

import itertools
import tomllib
from pathlib import Path

import pytest

from pages.palette import BACKGROUND, LOWEST_CONTRAST, RAMP, ROLES, contrast, run_colour

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
THEMES = sorted(ROLES)
SURFACES = ("backgroundColor", "secondaryBackgroundColor")


def every_colour(theme: str) -> list[tuple[str, str]]:
    roles = ROLES[theme]
    named = [(name, colour) for name, colour in roles.items() if name != "runs"]
    return named + [(f"run {number}", colour) for number, colour in enumerate(roles["runs"])]


def test_contrast_agrees_with_published_values():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == pytest.approx(1.0)
    # #767676 is the lightest grey that passes 4.5:1 on white, #949494 the lightest that passes 3:1 (WebAIM).
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")
    assert contrast("#949494", "#ffffff") >= 3.0 > contrast("#959595", "#ffffff")
    assert contrast("#0072b2", "#FAFAF8") == contrast("#fafaf8", "#0072B2")


@pytest.mark.parametrize("wrong", ["blue", "#fff", "0072b2", "#0072bg", "#0072b2ff", ""])
def test_contrast_refuses_what_is_not_a_colour(wrong):
    with pytest.raises(ValueError, match="is not a colour"):
        contrast(wrong, "#ffffff")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("theme", THEMES)
def test_every_role_stands_out_on_its_theme(theme, surface):
    background = CONFIG["theme"][theme][surface]
    too_faint = {name: colour for name, colour in every_colour(theme) if contrast(colour, background) < LOWEST_CONTRAST}
    assert not too_faint


@pytest.mark.parametrize("theme", THEMES)
def test_theme_itself_is_readable(theme):
    configured = CONFIG["theme"][theme]
    for surface in SURFACES:
        assert contrast(configured["textColor"], configured[surface]) >= 7.0
        assert contrast(configured["primaryColor"], configured[surface]) >= LOWEST_CONTRAST
    assert contrast(configured["linkColor"], configured["backgroundColor"]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_charts_use_the_same_run_colours(theme):
    assert CONFIG["theme"][theme]["chartCategoricalColors"] == ROLES[theme]["runs"]


def test_both_themes_name_the_same_roles():
    assert list(ROLES["light"]) == list(ROLES["dark"])
    assert {"valence", "arousal", "generator", "discriminator", "real", "synthetic", "train", "validation"} < set(
        ROLES["light"]
    )


def lab(colour: str) -> tuple[float, float, float]:
    """CIE L*a*b* under D65 (IEC 61966-2-1 and CIE 15)."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("theme", THEMES)
def test_eight_run_colours_are_distinct(theme):
    runs = ROLES[theme]["runs"]
    assert len(runs) == 8
    for first, second in itertools.combinations(runs, 2):
        distance = sum((a - b) ** 2 for a, b in zip(lab(first), lab(second), strict=True)) ** 0.5
        assert distance > 20, f"{first} and {second} are {distance:.0f} apart"  # 2.3 is a just noticeable difference


def test_run_colour_is_stable_and_avoids_what_is_taken():
    # The first four bytes of SHA-256("abc") are ba7816bf (FIPS 180-2): 0xba7816bf mod 8 is 7.
    assert run_colour("abc") == ROLES["light"]["runs"][7]
    assert run_colour("abc", theme="dark") == ROLES["dark"]["runs"][7]
    taken = []
    for _ in range(8):
        taken.append(run_colour("abc", taken))
    assert sorted(taken) == sorted(ROLES["light"]["runs"])
    assert run_colour("abc", taken) == taken[0]


@pytest.mark.parametrize("theme", THEMES)
def test_what_covers_lines_has_the_colour_of_the_page(theme):
    assert BACKGROUND[theme] == CONFIG["theme"][theme]["backgroundColor"]


@pytest.mark.parametrize("theme", THEMES)
def test_thin_lines_stand_out_at_both_ends_of_the_ramp(theme):
    assert min(contrast(colour, BACKGROUND[theme]) for colour in RAMP[theme]) >= LOWEST_CONTRAST
