# SPDX-License-Identifier: GPL-2.0-or-later
"""report.html in headless Chromium: what is drawn, hovered, clicked, and what never runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.results import FrameMap, FrameState
from reports import frame_data, html
from reports.tests.sample_run import BAD_PFN, fail_run, frame_map, panic_run
from reports.tests.test_html import ATTACKS, attacked

# Any: Debian's selenium is only half annotated, and may not be there at all.
webdriver: Any = pytest.importorskip("selenium.webdriver", reason="no python3-selenium")
By: Any = pytest.importorskip("selenium.webdriver.common.by").By
Keys: Any = pytest.importorskip("selenium.webdriver.common.keys").Keys
Service: Any = pytest.importorskip("selenium.webdriver.chrome.service").Service
ActionBuilder: Any = pytest.importorskip(
    "selenium.webdriver.common.actions.action_builder"
).ActionBuilder

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="chromium or chromium-driver is not installed"
    ),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1300,900",
)  # fmt: skip

Driver = Any


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(service=Service(DRIVER), options=options)
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(30)
    browser.get("about:blank")
    browser.get_log("performance")  # the browser's own start page is not ours to judge
    yield browser
    browser.quit()


@pytest.fixture(autouse=True)
def silence(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test: no error on the page's console, nothing asked of any network."""
    browser: Driver = request.getfixturevalue("driver")
    dark(browser, False)
    yield
    # "rendering": advice on reading pixels back, which only these tests do.
    entries = [entry for entry in browser.get_log("browser") if entry["source"] != "rendering"]
    assert [entry["message"] for entry in entries] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert urls  # the page itself: else the log holds nothing and this proves nothing
    assert [url for url in urls if not url.startswith(("file:", "data:"))] == []


def dark(browser: Driver, on: bool) -> None:
    value = "dark" if on else "light"
    features = [{"name": "prefers-color-scheme", "value": value}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    # The page hears of it with its next frame.
    two_frames = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
    browser.execute_async_script(two_frames)


def show(browser: Driver, result: Any, folder: Path) -> None:
    page = folder / "report.html"
    html.write(result, page)
    browser.get(page.as_uri())


def element(browser: Driver, name: str) -> Any:
    return browser.find_element(By.ID, name)


def canvas_place(browser: Driver, pfn: int) -> tuple[float, float]:
    """The middle of a frame's square, in CSS pixels within the canvas."""
    place, cell = browser.execute_script(
        "jumpbackMap.reveal(arguments[0]);"
        "return [jumpbackMap.place(arguments[0]), jumpbackMap.cell];",
        pfn,
    )
    return place["x"] + cell // 2, place["y"] + cell // 2


def pixel(browser: Driver, pfn: int) -> str:
    """The colour on the canvas where a frame stands."""
    x, y = canvas_place(browser, pfn)
    script = "return [...jumpbackMap.context.getImageData(arguments[0], arguments[1], 1, 1).data]"
    red, green, blue, alpha = browser.execute_script(script, x, y)
    assert alpha == 255
    return f"#{red:02x}{green:02x}{blue:02x}"


def colour(browser: Driver, state: FrameState) -> str:
    script = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0])"
    value: str = browser.execute_script(script, f"--s{state.value}")
    return value.strip()


def point_at(browser: Driver, pfn: int) -> None:
    x, y = canvas_place(browser, pfn)
    left, top = browser.execute_script(
        "const box = () => jumpbackMap.canvas.getBoundingClientRect();"
        "scrollBy(0, box().top + arguments[0] - innerHeight / 2);"
        "return [box().left, box().top]",
        y,
    )
    builder = ActionBuilder(browser)
    builder.pointer_action.move_to_location(round(left + x), round(top + y))
    builder.perform()


def one_of_each(shown: FrameMap) -> dict[FrameState, int]:
    return {run.state: run.start for run in frame_data.full_runs(shown)}


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_each_frame_has_the_colour_of_its_state(
    driver: Driver, tmp_path: Path, is_dark: bool
) -> None:
    result = fail_run(tmp_path)
    show(driver, result, tmp_path)
    dark(driver, is_dark)
    places = one_of_each(result.frame_maps[-1])
    assert len(places) == 8
    for zoom in range(4):
        for state, pfn in places.items():
            assert pixel(driver, pfn) == colour(driver, state), (zoom, state, pfn)
        for _ in range(zoom):
            element(driver, "map-in").click()
    assert driver.execute_script("return jumpbackMap.cell") >= 8


def test_hovering_tells_pfn_and_owner(driver: Driver, tmp_path: Path) -> None:
    result = fail_run(tmp_path)
    show(driver, result, tmp_path)
    runs = [run for run in result.frame_maps[-1].runs if run.owner]
    for run in (runs[5], runs[300], runs[-1]):
        pfn = run.start + run.count // 2
        point_at(driver, pfn)
        assert element(driver, "frame").get_attribute("data-pfn") == str(pfn)
        said = element(driver, "frame").text
        assert f"pfn 0x{pfn:x} ({pfn})" in said and run.owner in said
        assert f"0x{pfn * 4096:09x}" in said and run.state.name.lower() in said
        assert element(driver, "tip").text.startswith(f"0x{pfn:x} {run.state.name.lower()}")


def test_clicking_a_finding_highlights_its_frame(driver: Driver, tmp_path: Path) -> None:
    show(driver, fail_run(tmp_path), tmp_path)
    driver.execute_script("jumpbackMap.zoom(8)")
    button = driver.find_elements(By.CSS_SELECTOR, ".goto")[1]
    before = driver.execute_script("return jumpbackMap.scroller.scrollTop")
    button.click()
    pfn = BAD_PFN + 0x900
    assert driver.execute_script("return jumpbackMap.target") == pfn
    assert driver.execute_script("return jumpbackMap.visible(arguments[0])", pfn)
    assert driver.execute_script("return jumpbackMap.scroller.scrollTop") != before
    said = element(driver, "frame").text
    assert f"pfn 0x{pfn:x}" in said and "page had to be saved" in said
    # The ring is really drawn: its colour stands right of the frame.
    ring = driver.execute_script(
        "const {x, y} = jumpbackMap.place(arguments[0]); const half = jumpbackMap.cell / 2;"
        "const radius = Math.max(jumpbackMap.cell, 11) + 2;"
        "return [...jumpbackMap.context.getImageData(x + half + radius, y + half, 1, 1).data]",
        pfn,
    )
    assert ring == [0, 0, 0, 255]


def test_a_finding_of_another_cycle_switches_to_it(driver: Driver, tmp_path: Path) -> None:
    result = fail_run(tmp_path)
    result.frame_maps.append(frame_map(3))
    show(driver, result, tmp_path)
    element(driver, "map-next").click()
    assert driver.execute_script("return jumpbackMap.map.cycle") == 3
    assert element(driver, "map-finding").is_enabled() is False
    driver.find_elements(By.CSS_SELECTOR, ".goto")[0].click()
    assert driver.execute_script("return jumpbackMap.map.cycle") == 2
    tables = driver.find_elements(By.CSS_SELECTOR, ".map-tables")
    assert [table.is_displayed() for table in tables] == [False, True, False]


def test_keys_alone_are_enough(driver: Driver, tmp_path: Path) -> None:
    show(driver, fail_run(tmp_path), tmp_path)
    canvas = element(driver, "map-canvas")
    columns = driver.execute_script("return jumpbackMap.columns")

    def press(*keys: str) -> int:
        canvas.send_keys(*keys)
        return int(element(driver, "frame").get_attribute("data-pfn"))

    assert press(Keys.HOME) == 0
    assert press(Keys.ARROW_RIGHT) == 1
    assert press(Keys.ARROW_DOWN) == 1 + columns
    assert press("n") == BAD_PFN
    assert press("n") == BAD_PFN + 0x900
    assert press("n") == BAD_PFN
    assert press("p") == BAD_PFN + 0x900
    assert press(Keys.END) == 65_535
    assert press(Keys.ARROW_RIGHT) == 65_535


def test_go_to_pfn_address_and_owner(driver: Driver, tmp_path: Path) -> None:
    show(driver, fail_run(tmp_path), tmp_path)

    def go(what: str, where: str) -> str:
        script = "document.getElementById('map-what').value = arguments[0]"
        driver.execute_script(script, what)
        field = element(driver, "map-where")
        field.clear()
        field.send_keys(where, Keys.ENTER)
        text: str = element(driver, "frame").text
        return text

    assert "pfn 0x4e21 (20001)" in go("pfn", "0x4e21")
    assert "pfn 0x4e21 (20001)" in go("gpa", "0x4e21124")
    assert "__nosave_begin" in go("owner", "NOSAVE_beg")
    assert "__nosave_begin" in go("pfn", "65536")  # past the end: it stays where it was
    assert element(driver, "map-where").get_property("validationMessage") == "0 to 0xffff"


def test_the_legend_counts_and_isolates(driver: Driver, tmp_path: Path) -> None:
    result = fail_run(tmp_path)
    show(driver, result, tmp_path)
    for state, number in frame_data.state_counts(result.frame_maps[-1]).items():
        button = driver.find_element(By.CSS_SELECTOR, f'.state[data-state="{state.value}"]')
        assert button.find_element(By.CSS_SELECTOR, ".number").text == f"{number:,}"
    places = one_of_each(result.frame_maps[-1])
    driver.find_element(By.CSS_SELECTOR, f'.state[data-state="{FrameState.OWN.value}"]').click()
    assert pixel(driver, places[FrameState.OWN]) == colour(driver, FrameState.OWN)
    assert pixel(driver, places[FrameState.EQUAL]) != colour(driver, FrameState.EQUAL)


def test_a_million_frames(driver: Driver, tmp_path: Path) -> None:
    """4 GiB: drawn whole, and zoomed in at its end, in a time that a person doesn't notice."""
    result = fail_run(tmp_path)
    small = result.frame_maps[-1]
    big = FrameMap(2, 16 * small.frames)
    for part in range(16):
        for run in small.runs:
            big.runs.append(type(run)(run.start + part * 65_536, run.count, run.state, run.owner))
    result.frame_maps = [big]
    show(driver, result, tmp_path)
    last = {state: pfn for state, pfn in one_of_each(big).items()}
    for state, pfn in last.items():
        assert pixel(driver, pfn) == colour(driver, state)
    driver.execute_script("jumpbackMap.zoom(11)")
    for state, pfn in last.items():
        assert pixel(driver, pfn) == colour(driver, state)
    milliseconds = driver.execute_script(
        "jumpbackMap.whole(); const start = performance.now();"
        "for (let i = 0; i < 5; i += 1) { jumpbackMap.draw(); }"
        "jumpbackMap.context.getImageData(0, 0, 1, 1); return (performance.now() - start) / 5"
    )
    assert milliseconds < 500


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_guest_writes_never_runs(driver: Driver, tmp_path: Path, attack: str) -> None:
    show(driver, attacked(tmp_path, attack), tmp_path)
    driver.find_elements(By.CSS_SELECTOR, ".goto")[0].click()
    point_at(driver, BAD_PFN)
    driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert driver.execute_script("return globalThis.owned") is None
    assert driver.find_elements(By.CSS_SELECTOR, "img, [onload], [onfocus], [onerror]") == []
    assert attack in element(driver, "frame").text
    assert attack in driver.find_element(By.CSS_SELECTOR, "details.life pre").text


def test_the_policy_stops_what_would_get_past_escaping(driver: Driver, tmp_path: Path) -> None:
    """The second wall: even a script that did get into the page is not run."""
    page = tmp_path / "report.html"
    text = html.render(fail_run(tmp_path))
    planted = "<script>globalThis.owned = 1</script><b onclick='globalThis.owned = 1' id=b>b</b>"
    page.write_text(text.replace("<main", planted + "<main"), encoding="utf-8")
    driver.get(page.as_uri())
    element(driver, "b").click()
    assert driver.execute_script("return globalThis.owned") is None
    assert driver.execute_script("return jumpbackMap.map.cycle") == 2  # its own script does run
    refused = [entry["message"] for entry in driver.get_log("browser")]
    assert len(refused) == 2 and all("Content Security Policy" in line for line in refused)


def test_copy_says_what_happened(driver: Driver, tmp_path: Path) -> None:
    show(driver, fail_run(tmp_path), tmp_path)
    element(driver, "copy").click()
    driver.implicitly_wait(5)
    assert driver.find_elements(By.XPATH, "//*[@id='copied' and starts-with(., 'Cop')]")
    driver.implicitly_wait(0)


def test_narrow_screens_scroll_only_up_and_down(driver: Driver, tmp_path: Path) -> None:
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        show(driver, fail_run(tmp_path), tmp_path)
        assert driver.execute_script("return document.documentElement.scrollWidth") == 390
        assert driver.execute_script("return jumpbackMap.canvas.width / jumpbackMap.width") == 2
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_run_without_maps_works(driver: Driver, tmp_path: Path) -> None:
    show(driver, panic_run(tmp_path), tmp_path)
    assert driver.find_elements(By.ID, "memory") == []
    log = driver.find_element(By.CSS_SELECTOR, "#life-2 pre")
    assert log.is_displayed() and "Kernel panic - not syncing" in log.text
