"""Streaming: tokens as they come, synchronous and asynchronous, and several answers at the same time.

Run: python examples/02_streaming.py [--local]
"""

import asyncio

from _shared import connect

from llama_bedrock import ChatLlamaBedrock

CONVERSATION = [
    ("user", "My llama Pisco lives in Cusco and eats hay."),
    ("assistant", "Noted."),
    ("user", "Where does Pisco live?"),
]


async def one(llm: ChatLlamaBedrock, name: str) -> str:
    """Stream one answer; the event loop is free between its tokens."""
    conversation = [
        ("user", f"My llama {name} eats hay."),
        ("assistant", "Noted."),
        ("user", f"What does {name} eat?"),
    ]
    return "".join([chunk.text async for chunk in llm.astream(conversation)])


async def many(llm: ChatLlamaBedrock) -> None:
    answers = await asyncio.gather(*(one(llm, name) for name in ("Pisco", "Inti", "Killa", "Amaru")))
    for answer in answers:
        print("-", answer)


def main() -> None:
    with connect(temperature=0.2, max_tokens=200) as llm:
        total = None
        for chunk in llm.stream(CONVERSATION):
            print(chunk.text, end="", flush=True)
            total = chunk if total is None else total + chunk
        print(f"\n\nThe chunks add up to one message; usage: {total.usage_metadata if total else None}\n")
        asyncio.run(many(llm))


if __name__ == "__main__":
    main()
