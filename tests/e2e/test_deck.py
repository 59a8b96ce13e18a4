"""The player in a real browser: one clock, seeking by pointer and key, and nothing lost when the script runs again."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import eventually
from tests.e2e.conftest import IS_SAME, WATCH, at_fraction, attribute, never_back, rest_of, serving, time_of, wait_past

pytestmark = pytest.mark.slow
SECONDS = 12.0


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    log = tmp_path_factory.mktemp("deck") / "streamlit.log"
    with serving(Path(__file__).with_name("deck_app.py"), log) as found:
        yield found


@pytest.fixture
def opened(browser, address):
    """open(query, **context) -> the page once its deck is drawn; at the end no page may have logged an error."""
    contexts, errors = [], []

    def open_page(query="", **context):
        contexts.append(browser.new_context(**({"viewport": {"width": 1360, "height": 1100}} | context)))
        page = contexts[-1].new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address + query)
        page.wait_for_selector('[data-testid="deck"][data-plot]')
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def expected_point(time_s: float) -> tuple[float, float]:
    """deck_app.py's curves, written down once more; straight between windows, the ends held."""
    times_s = np.arange(1.5, SECONDS - 1.4, 0.5)
    valence = 5 + 2.2 * np.sin(times_s / 2.1) + 0.25 * np.sin(times_s * 2.7)
    arousal = 3.2 + 3.6 * times_s / SECONDS + 0.5 * np.sin(times_s * 1.3)
    return float(np.interp(time_s, times_s, valence)), float(np.interp(time_s, times_s, arousal))


def test_the_playhead_moves_while_playing_and_rests_when_paused(opened):
    page = opened()
    assert (attribute(page, "playing"), time_of(page)) == ("false", 0.0)
    page.get_by_role("button", name="Play", exact=True).click()
    wait_past(page, 0.3)
    assert attribute(page, "playing") == "true"
    page.get_by_role("button", name="Pause", exact=True).click()
    rested = rest_of(page)
    page.evaluate("async () => { for (let i = 0; i < 20; i++) await new Promise(requestAnimationFrame); }")
    assert time_of(page) == rested
    assert page.get_by_test_id("deck-time").inner_text() == f"0:{int(rested * 10) / 10:04.1f} / 0:12.0"


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.93])
def test_a_click_seeks(opened, fraction):
    page = opened()
    page.mouse.click(*at_fraction(page, fraction))
    assert time_of(page) == pytest.approx(fraction * SECONDS, abs=0.03)  # one pixel is 0.02 s


def test_a_drag_seeks_and_stops_at_the_end(opened):
    page = opened()
    page.mouse.move(*at_fraction(page, 0.2))
    page.mouse.down()
    page.mouse.move(*at_fraction(page, 0.6), steps=5)
    assert time_of(page) == pytest.approx(0.6 * SECONDS, abs=0.03)
    page.mouse.move(*at_fraction(page, 1.3))
    assert time_of(page) == pytest.approx(SECONDS, abs=0.01)
    page.mouse.up()
    page.mouse.move(*at_fraction(page, 0.3))
    assert time_of(page) == pytest.approx(SECONDS, abs=0.01)


def test_keys_seek_and_space_toggles(opened):
    page = opened()
    slider = page.get_by_role("slider", name="Position in the clip")
    slider.focus()
    for key, expected in [
        ("ArrowRight", 1.0),
        ("Shift+ArrowRight", 6.0),
        ("ArrowLeft", 5.0),
        ("Shift+ArrowLeft", 0.0),
        ("ArrowLeft", 0.0),
        ("End", SECONDS),
        ("Home", 0.0),
    ]:
        page.keyboard.press(key)
        assert time_of(page) == pytest.approx(expected, abs=0.01), key
    page.keyboard.press("Space")
    wait_past(page, 0.1)
    page.keyboard.press("Space")
    page.wait_for_selector('[data-testid="deck"][data-playing="false"]')


def test_the_slider_says_where_it_is(opened):
    page = opened()
    slider = page.get_by_role("slider", name="Position in the clip")
    slider.focus()
    page.keyboard.press("Shift+ArrowRight")
    assert (slider.get_attribute("aria-valuemin"), slider.get_attribute("aria-valuemax")) == ("0", "12.0")
    assert slider.get_attribute("aria-valuenow") == "5.0"
    valence, arousal = expected_point(5.0)
    said = slider.get_attribute("aria-valuetext")
    assert said.startswith(f"0:05.0 of 0:12.0, valence {valence:.1f}, arousal {arousal:.1f}, acoustic guitar ")


def test_instruments_below_the_threshold_are_not_named(opened):
    page = opened("?clip=sure")
    slider = page.get_by_role("slider", name="Position in the clip")
    page.mouse.click(*at_fraction(page, 7.0 / SECONDS))  # the best scores .5 there
    assert slider.get_attribute("aria-valuetext").endswith(", none of the 11 instruments")
    page.mouse.click(*at_fraction(page, 3.0 / SECONDS))
    score = 0.5 + 0.45 * np.sin(1.5)  # deck_app.py's guitar at 3 s
    chance = 1 / (1 + np.exp(-(0.5 * np.log(score / (1 - score)) - 0.5)))
    expected = f", acoustic guitar {score:.2f}, probability {chance:.0%}".replace("%", " %")
    assert slider.get_attribute("aria-valuetext").endswith(expected)


def test_the_point_is_the_curve_at_the_playhead(opened):
    page = opened()
    for fraction in (0.02, 0.33, 0.71, 0.99):
        page.mouse.click(*at_fraction(page, fraction))
        point = [float(value) for value in attribute(page, "point").split(",")]
        assert point == pytest.approx(expected_point(time_of(page)), abs=0.003)
    shown = page.get_by_test_id("deck-now").locator("tbody tr").first.locator("td").all_inner_texts()[1:]
    assert [float(text) for text in shown] == pytest.approx(point, abs=0.0051)


@pytest.mark.parametrize("query, first_stays", [("", True), ("?clip=boxed", None)])
def test_a_rerun_neither_stops_nor_rewinds(opened, query, first_stays):
    """First an element appears above the player (in a container this can mount it anew), then only its data change."""
    page = opened(query)
    page.mouse.click(*at_fraction(page, 0.1))
    page.get_by_test_id("deck-play").click()
    wait_past(page, 1.3)
    for take, stays in [(1, first_stays), (2, True)]:
        before = time_of(page)
        page.evaluate(WATCH)
        page.get_by_role("button", name="Predict again").click()
        page.get_by_text(f"take {take}").wait_for()  # the new run arrived in the deck
        arrived = time_of(page)
        if stays:
            assert page.evaluate(IS_SAME)
        wait_past(page, arrived + 0.3)
        seen = page.evaluate("window.seen")
        assert never_back([before, *(time_s for time_s, _ in seen)])
        assert never_back([before, arrived])  # of a player mounted anew, which the watch does not follow
        assert {state for _, state in seen} == {"true"}
        assert attribute(page, "playing") == "true"
    page.get_by_test_id("deck-play").click()
    rested = rest_of(page)
    page.get_by_role("button", name="Predict again").click()
    page.get_by_text("take 3").wait_for()
    assert (attribute(page, "playing"), time_of(page)) == ("false", rested)


def test_playing_and_seeking_run_no_script(opened):
    page = opened()
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.reload()
    page.wait_for_selector('[data-testid="deck"][data-plot]')
    page.get_by_text("predictions: 1").wait_for()
    before = len(sent)
    assert before > 0
    page.get_by_test_id("deck-play").click()
    wait_past(page, 0.5)
    page.mouse.click(*at_fraction(page, 0.5))
    wait_past(page, 6.3)
    assert len(sent) == before


def test_hover_reads_without_moving_the_playhead(opened):
    page = opened()
    page.mouse.move(*at_fraction(page, 0.5))
    lines = page.get_by_test_id("deck-readout").inner_text().splitlines()
    valence, arousal = expected_point(6.0)
    assert lines[0] in ("0:05.9", "0:06.0")
    words = lines[1].split()
    assert words[::2] == ["V", "A"]
    assert [float(word) for word in words[1::2]] == pytest.approx([valence, arousal], abs=0.05)
    assert time_of(page) == 0.0
    page.mouse.move(2, 2)
    assert not page.get_by_test_id("deck-readout").is_visible()


def test_gaps_have_no_point_and_names_stay_text(opened):
    page = opened("?clip=gaps")
    page.mouse.click(*at_fraction(page, 5.0 / SECONDS))
    assert attribute(page, "point") == ""
    deck = page.get_by_test_id("deck")
    assert deck.locator("img, b").count() == 0
    assert deck.locator(".title").inner_text().startswith("<img src=x onerror=alert(1)>")
    assert deck.locator(".now tbody").inner_text().startswith("<b>bold</b>")


def test_without_models_it_still_plays(opened):
    page = opened("?clip=empty")
    page.get_by_test_id("deck-play").click()
    wait_past(page, 0.2)
    assert attribute(page, "point") == ""
    assert not page.get_by_test_id("deck-now").is_visible()


@pytest.mark.parametrize(
    ("clip", "sentence"),
    [("empty", "No valence–arousal model chosen."), ("unheard", "The chosen model has not heard this clip.")],
)
def test_an_empty_plane_says_why(opened, clip, sentence):
    plane = opened(f"?clip={clip}").get_by_test_id("deck").locator(".plane")
    assert eventually(lambda: plane.get_attribute("aria-label") == f"Valence–arousal plane, 1 to 9: {sentence}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 420])
def test_it_fits_its_page_in_both_themes(opened, width, scheme):
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme, device_scale_factor=2)
    deck = page.get_by_test_id("deck").bounding_box()
    panels = page.get_by_test_id("deck-canvas-time").bounding_box()
    plane = page.get_by_test_id("deck-plane").bounding_box()
    assert deck["x"] >= 0 and deck["x"] + deck["width"] <= width
    assert plane["x"] + plane["width"] <= deck["x"] + deck["width"] + 0.5
    if width >= 900:
        assert plane["x"] >= panels["x"] + panels["width"]
    else:
        assert plane["y"] >= panels["y"] + panels["height"]
    pixels = page.get_by_test_id("deck-canvas-time").evaluate("canvas => canvas.width")
    assert pixels == pytest.approx(2 * panels["width"], abs=2)
    read = "deck => getComputedStyle(deck).getPropertyValue('--st-text-color')"
    assert page.get_by_test_id("deck").evaluate(read) == {"light": "#22282b", "dark": "#e2e7e9"}[scheme]


PLACES = """([marks, dots]) => {
  const places = placeNames(marks, { left: 38, top: 22, side: 250 }, [], dots);
  return places.map((place, i) => ({ ...marks[i], px: place.x, py: place.y, lead: place.lead }));
}"""


@pytest.fixture
def placed(browser):
    """placed(marks, dots) -> where the plane puts the names of these marks; the drawing code alone on a page."""
    page = browser.new_page()
    here = Path(__file__).parents[2] / "pages" / "deck"
    code = "".join((here / f"{name}.js").read_text() for name in ("draw", "time", "plane"))
    page.add_script_tag(content=code.replace("export default", "void"))
    yield lambda marks, dots=(): page.evaluate(PLACES, [marks, list(dots)])
    page.close()


def is_apart(first, second):
    """Whether two boxes (left, top, right, bottom) share nothing."""
    return first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]


def boxes(found):
    """The box of each name, from its corner and its size."""
    return [(one["px"], one["py"], one["px"] + one["width"], one["py"] + one["height"]) for one in found]


def mark(x, y, width=90, height=13):
    """One cross and the size of its name, in pixels."""
    return {"x": x, "y": y, "width": width, "height": height}


@pytest.mark.parametrize("at", [(160, 150), (40, 24), (286, 270), (286, 24), (163, 268)])
@pytest.mark.parametrize("height", [13, 26])
def test_names_of_crosses_in_one_place_cover_neither_each_other_nor_a_cross(placed, at, height):
    x, y = at
    found = boxes(placed([mark(x, y, 110, height), mark(x + 1, y - 1, 90, height), mark(x - 2, y + 2, 60, height)]))
    for number, box in enumerate(found):
        assert all(is_apart(box, other) for other in found[number + 1 :])
        assert is_apart(box, (x - 6, y - 6, x + 6, y + 6))
        assert box[0] >= 38 and box[2] <= 288 and box[1] >= 22 and box[3] <= 272


def test_a_lone_name_stands_beside_its_cross_and_one_that_moved_is_led_to(placed):
    (alone,) = placed([mark(100, 150)])
    assert (alone["px"], alone["py"], alone["lead"]) == (110, 143.5, None)
    crowd = placed([mark(160 + i, 150) for i in range(5)])
    moved = [one for one in crowd if abs(one["py"] + 6.5 - 150) > 25]
    assert moved and all(one["lead"] for one in moved)


def test_a_name_leaves_the_place_of_a_resting_point(placed):
    (found,) = placed([mark(100, 150)], [[130, 150, 1.0]])
    ((left, top, right, bottom),) = boxes([found])
    assert is_apart((left, top, right, bottom), (124, 144, 136, 156))
