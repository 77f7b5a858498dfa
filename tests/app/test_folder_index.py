"""The index that answers while it is brought up to date."""

import asyncio
import threading

import pytest

from llama_bedrock.app import FolderIndex
from llama_bedrock.cli.kept_index import open_index


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The herd of Oruro has 412 llamas.")
    return tmp_path / "docs"


def index_of(folder, **options):
    return FolderIndex([folder], lambda progress: open_index(folder, progress=progress), **options)


async def test_it_is_made_when_first_searched_and_follows_its_files(folder):
    index = index_of(folder)
    assert index.status.state == "new"
    assert index.uploads == folder
    found = await index.retriever.ainvoke("llamas")
    assert [document.page_content for document in found] == ["The herd of Oruro has 412 llamas."]
    assert (index.status.state, index.status.files, index.status.passages) == ("ready", 1, 1)
    (folder / "b.md").write_text("Hay costs nine pesos.")
    (folder / "c.pdf").write_bytes(b"")
    assert not await index.retriever.ainvoke("hay")  # not yet
    status = await index.refresh()
    assert status.passages == 2
    assert "c.pdf" in status.problems[0]
    assert "nine pesos" in (await index.retriever.ainvoke("hay"))[0].page_content
    assert index.retriever.invoke("hay")[0].page_content == "Hay costs nine pesos."


async def test_it_answers_while_it_is_brought_up_to_date_and_runs_once_more_for_late_callers(folder):
    go, calls = threading.Event(), []

    def opened(progress):
        calls.append(1)
        if len(calls) > 1:
            progress("Reading", 1, 2)
            assert go.wait(20)
        return open_index(folder, progress=progress)

    index = FolderIndex([folder], opened)
    await index.refresh()
    version = index.status.version
    second = asyncio.create_task(index.refresh())
    status = await asyncio.wait_for(index.changed(version), 10)
    while status.step != "Reading":
        status = await asyncio.wait_for(index.changed(status.version), 10)
    assert (status.state, status.done, status.total) == ("indexing", 1, 2)
    late = [asyncio.create_task(index.refresh()) for _ in range(3)]
    assert await index.retriever.ainvoke("llamas")
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(second, *late)
    assert len(calls) == 3  # the late ones shared one
    assert index.status.state == "ready"


async def test_what_fails_is_told_and_can_be_mended(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    index = index_of(folder)
    status = await index.refresh()
    assert status.state == "failed"
    assert str(folder) in status.error
    with pytest.raises(ValueError, match="cannot be searched"):
        await index.retriever.ainvoke("llamas")
    (folder / "a.md").write_text("Llamas.")
    assert (await index.refresh()).state == "ready"
    assert await index.retriever.ainvoke("llamas")


async def test_a_caller_that_goes_does_not_stop_the_others(folder):
    index = index_of(folder)
    first, second = asyncio.create_task(index.refresh()), asyncio.create_task(index.refresh())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert index.status.state == "ready"
