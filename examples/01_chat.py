"""A conversation: messages in, a message out, with its usage and why it stopped.

Run: python examples/01_chat.py [--local]
"""

from _shared import connect
from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

QUESTIONS = ("My llama is called Pisco and he weighs 130 kg.", "What is the name of my llama?")


def main() -> None:
    with connect(temperature=0.2, max_tokens=200) as llm:
        messages: list[AnyMessage] = [SystemMessage("You are a keeper of llamas. Answer in one sentence.")]
        for question in QUESTIONS:
            messages.append(HumanMessage(question))
            answer = llm.invoke(messages)
            messages.append(answer)
            print(f"> {question}\n{answer.text}\n")
        print("usage:", answer.usage_metadata)
        print("stopped because of:", answer.response_metadata["stop_reason"])
        print("\nExactly this was sent:\n", llm.render_prompt(messages[:-1]).text)


if __name__ == "__main__":
    main()
