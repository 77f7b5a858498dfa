"""Pictures of the page for docs/ui.md: ``python ui/pictures.py ADDRESS``, as `llama-bedrock ui` prints it."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
QUESTION = "When does Llama 3.3 70B leave Bedrock, and what stays after that?"
SIZES = {"light": (1280, 760), "dark": (1280, 760), "phone": (360, 720)}


def main(address: str) -> None:
    """Take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, (width, height) in SIZES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if name == "dark" else "light",
                reduced_motion="reduce",
            )
            page.goto(address)
            page.wait_for_selector(".questions button")
            page.fill("#question", QUESTION)
            page.press("#question", "Enter")
            page.wait_for_selector(".facts")
            if name != "phone":
                page.locator("button.mark[aria-label*='.pdf']").first.click()
                page.wait_for_selector(".source mark")
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"ui-{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
