"""The gallery in a real browser: a headless Chromium, driven over WebDriver."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from vqclip import GenerateConfig, parse_prompts
from vqclip.batch.gallery import as_script, write_gallery
from vqclip.batch.jobs import DONE, FAILED, Job, with_names
from vqclip.config.prompts import Prompt

EVIL = "<script>alert(1)</script>"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)",
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]


def gallery(folder: Path, count: int) -> Path:
    """Write a gallery of ``count`` numbered images, one with a hostile prompt, and a failure."""
    texts = [EVIL, "</script><img src=x onerror=alert(2)>", 'a "quoted" & \\u003c \u2028 line']
    texts += [f"apple number {number}" for number in range(len(texts), count - 1)]
    jobs = []
    for number, text in enumerate([*texts, "a failure"]):
        config = GenerateConfig((Prompt(text),), size=(16, 16), seed=number, init="random")
        jobs.append(Job(config, state=DONE, seconds=float(number), score=number % 7 / 7))
    jobs = with_names(jobs)
    (folder / "pictures").mkdir(parents=True)
    done = []
    for job in jobs[:-1]:
        Image.new("RGB", (16, 16), (job.config.seed, 90, 90)).save(folder / job.picture)
        videos = tuple(job.picture.replace(".png", end) for end in (".gif", ".mp4"))
        Image.new("RGB", (8, 8), "red").save(folder / videos[0])
        done.append(Job(**{**vars(job), "files": (job.picture, *videos)}))
    failed = {"state": FAILED, "error": "it <b>broke</b>", "score": None, "seconds": None}
    return write_gallery(folder, [*done, Job(**{**vars(jobs[-1]), **failed})]).resolve()


def test_prompts_are_escaped(tmp_path: Path) -> None:
    page = gallery(tmp_path / "run", 5).read_text()
    assert EVIL not in page
    assert page.count("<script") == 2
    found = re.search(r'id="jobs">(.*?)</script>', page, re.DOTALL)
    assert found
    assert json.loads(found[1])["jobs"][0]["prompt"] == EVIL
    assert json.loads(as_script({"a": "</script>\u2028&"})) == {"a": "</script>\u2028&"}


def test_page_loads_nothing_external(tmp_path: Path) -> None:
    page = gallery(tmp_path / "run", 5).read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", page)
    assert "default-src 'none'" in page


def test_shown_command_reproduces_the_image(tmp_path: Path) -> None:
    config = GenerateConfig(parse_prompts("a b"), size=(16, 16), init="random")
    job = Job(config, name="a-b-0", state=DONE, files=("pictures/a-b-0.png",))
    page = write_gallery(tmp_path, [job]).read_text()
    assert "vqclip 'a b' --size 16x16" in page
    assert '"again": "pictures/a-b-0.png"' in page


class Browser:
    """The WebDriver commands that the tests use."""

    def __init__(self, url: str, profile: Path, width: int, height: int) -> None:
        arguments = [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        options = {"binary": BROWSER, "args": arguments}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        self.url = url
        answer = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.url = f"{url}/{answer['sessionId']}"

    def call(self, method: str, path: str, values: Any = None) -> Any:
        data = None if values is None else json.dumps(values).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"})
        request.method = method
        with urlopen(request, timeout=120) as response:
            return json.load(response)["value"]

    def open(self, page: Path) -> None:
        self.call("POST", "/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": f"return {script}", "args": []})

    def keys(self, text: str) -> None:
        """Send keys to the focused element."""
        presses = [{"type": kind, "value": k} for k in text for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": presses}
        self.call("POST", "/actions", {"actions": [source]})

    def log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return entries

    def requests(self) -> set[str]:
        """Return every address that pages loaded from disk have requested so far."""
        messages = (json.loads(e["message"])["message"] for e in self.log("performance"))
        wanted = (m for m in messages if m["method"] == "Network.requestWillBeSent")
        ours = (m["params"] for m in wanted if m["params"]["documentURL"].startswith("file:"))
        return {params["request"]["url"] for params in ours}


@pytest.fixture
def driver() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/status", timeout=10).close()
                break
            except (URLError, OSError):
                assert time.monotonic() < deadline, "chromedriver does not start"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/session"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def browser(driver: str, tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(driver, tmp_path / "profile", 390, 844)  # the size of a phone
    yield browser
    browser.call("DELETE", "")


LEFT, RIGHT, ENTER, ESCAPE = "\ue012", "\ue014", "\ue007", "\ue00c"
PROMPTS = "[...document.querySelectorAll('main .prompt')].map(p => p.textContent)"
LARGE = "document.querySelector('#prompt').textContent"
IS_OPEN = "document.querySelector('dialog').open"


def choose(browser: Browser, value: str, select: str = "#sort") -> list[str]:
    event = "dispatchEvent(new Event('change'))"
    browser.run(f"(s => {{ s.value = '{value}'; s.{event}; }})(document.querySelector('{select}'))")
    found: list[str] = browser.run(PROMPTS)
    return found


@pytest.mark.slow
@needs_browser
def test_hundred_images_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    page = gallery(tmp_path / "run", 100)
    browser.open(page)

    prompts = browser.run(PROMPTS)
    assert len(prompts) == 100
    assert prompts[0] == EVIL  # shown as text
    assert browser.run("document.querySelectorAll('main script, main b').length") == 0
    assert browser.run("document.querySelector('main .error').textContent") == "it <b>broke</b>"
    width = browser.run("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]  # nothing overflows on a phone
    assert browser.run("document.querySelector('main img').naturalWidth") == 16

    assert choose(browser, "slow")[0] == "apple number 98"
    assert choose(browser, "fast")[:2] == prompts[:2]
    assert choose(browser, "fast")[-1] == "a failure"
    best = choose(browser, "score")
    assert best[0] == "apple number 6"
    assert choose(browser, "list") == prompts

    states = browser.run("[...document.querySelectorAll('#state option')].map(o => o.value)")
    assert states == ["", "done", "failed"]
    assert choose(browser, "failed", "#state") == ["a failure"]
    assert choose(browser, "", "#state") == prompts

    browser.keys("/number 42")
    assert browser.run(PROMPTS) == ["apple number 42"]
    assert browser.run("document.querySelector('#count').textContent") == "1 of 100"
    browser.keys(ENTER)
    assert (browser.run(IS_OPEN), browser.run(LARGE)) == (True, "apple number 42")
    again = f"vqclip again {page.parent}/pictures/apple-number-42-42.png"
    assert again in browser.run("document.body.innerText")
    stage = "[find('dialog img').hidden, find('video').hidden, find('dialog img').naturalWidth]"
    assert browser.run(stage) == [False, True, 16]
    buttons = browser.run("[...document.querySelectorAll('#films button')].map(b => b.textContent)")
    assert buttons == ["picture", "gif", "mp4"]
    browser.run("document.querySelectorAll('#films button')[1].click()")
    assert browser.run("find('dialog img').src").endswith("apple-number-42-42.gif")
    browser.keys(ESCAPE)
    assert browser.run(IS_OPEN) is False

    browser.run("(s => { s.value = ''; s.dispatchEvent(new Event('input')); })(find('#search'))")
    browser.run("document.querySelector('main button').click()")
    assert browser.run(LARGE) == EVIL
    browser.keys(RIGHT + RIGHT + RIGHT)
    assert browser.run(LARGE) == "apple number 3"
    browser.keys(LEFT * 4)
    assert browser.run(LARGE) == "a failure"

    assert [e for e in browser.log("browser") if e["level"] != "INFO"] == []
    requests = browser.requests()
    assert page.as_uri() in requests
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
