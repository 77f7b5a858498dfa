"""When the page is first painted, by the clock: `python benchmarks/first_paint.py [--visits 20]`.

Starts `llama-bedrock ui` on the examples' documents and visits it in the system's Chromium, each time with
nothing cached. Prints milliseconds from the start of the navigation to the first contentful paint: the
least, the median and the most. Wants a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
# Kept for observers that come later too. Not asked for frame by frame: no frame is drawn of a hidden page.
PAINT = """() => new Promise((told, failed) => {
    new PerformanceObserver(list => {
        for (const entry of list.getEntriesByName("first-contentful-paint")) told(entry.startTime);
    }).observe({type: "paint", buffered: true});
    setTimeout(() => failed(`nothing painted in 20 s, ${document.visibilityState} page`), 20000);
})"""


def paints(address: str, visits: int) -> list[float]:
    """Milliseconds to the first paint of each visit."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(visits):
            page = browser.new_page()  # in a context of its own
            page.goto(address)
            found.append(float(page.evaluate(PAINT)))
            page.close()
        browser.close()
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=20)
    visits = parser.parse_args().visits
    command = [sys.executable, "-c", "from llama_bedrock.cli.main import main; main()", "ui"]
    options = ["--local", "--no-browser", "--port", "0", str(ROOT / "examples" / "documents")]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next((line.strip() for line in server.stdout if re.match("http://", line)), None)
            if address is None:
                sys.exit("llama-bedrock ui ended before it printed its address")
            found = paints(address, visits + 1)[1:]  # the browser's own start is no part of a visit
        finally:  # `with` waits for the server: what went wrong would never be shown
            server.terminate()
    print(
        f"{visits} visits: {min(found):.0f} ms, median {statistics.median(found):.0f}, most {max(found):.0f}"
    )


if __name__ == "__main__":
    main()
