from langchain_core.documents import Document

from llama_bedrock.retrievers.documents.searchable_text import searchable_text


def test_title_and_heading_go_in_front_of_the_text_once():
    def text(**metadata):
        return searchable_text(Document(page_content="Body.", metadata=metadata))

    assert text() == "Body."
    assert text(title="T") == "T\nBody."
    assert text(title="T", heading="A > B") == "T\nA > B\nBody."
    assert text(title="T", heading="T > B") == "T > B\nBody."
    assert text(title=3, heading="") == "Body."
    assert text(title="Body") == "Body."
