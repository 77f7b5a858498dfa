"""Vision: a picture in a question. Llama 3.2 11B and 90B and Llama 4 see it; a text model gets a clear error.

Run: python examples/05_vision.py [--local]
"""

import base64
import io

from _shared import LLAMA_3_3, LLAMA_4, connect
from langchain_core.messages import HumanMessage
from PIL import Image, ImageDraw


def picture() -> str:
    """A red disc on white, as base64 of a PNG."""
    image = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(image).ellipse((64, 64, 192, 192), fill="red")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    question = HumanMessage(
        [
            {"type": "text", "text": "Which shape and which colour do you see?"},
            {"type": "image", "base64": picture(), "mime_type": "image/png"},
        ]
    )
    with connect(LLAMA_4, temperature=0, max_tokens=200) as llm:
        prompt = llm.render_prompt([question])
        print(f"The prompt has {len(prompt.text)} characters and {len(prompt.images)} image.")
        print(llm.invoke([question]).text)
    with connect(LLAMA_3_3) as text_model:
        try:
            text_model.invoke([question])
        except ValueError as error:
            print("\nA model without eyes:", error)


if __name__ == "__main__":
    main()
