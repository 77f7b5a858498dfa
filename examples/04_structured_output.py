"""Structured output: a pydantic object out of text, and growing while it streams.

Run: python examples/04_structured_output.py [--local]
"""

from _shared import connect
from pydantic import BaseModel, Field

TEXT = "Dolly is a llama of 130 kg who likes hay and long walks."


class Llama(BaseModel):
    """Facts about a llama."""

    name: str = Field(description="Its name")
    weight_kg: int = Field(description="Its weight in kilograms", gt=0)
    likes: list[str] = Field(default_factory=list, description="What it likes")


def main() -> None:
    with connect(temperature=0) as llm:
        model = llm.with_structured_output(Llama)
        print(repr(model.invoke(TEXT)))

        print("\nWhile it streams:")
        for partial in llm.with_structured_output(Llama.model_json_schema()).stream(TEXT):
            print(partial)


if __name__ == "__main__":
    main()
