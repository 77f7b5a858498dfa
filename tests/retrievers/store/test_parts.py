"""A store in parts: what a change costs, and that it is the same store as one that was made at once."""

import random
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock.retrievers import FAISSStore, joining
from llama_bedrock.retrievers.joining import MOST_JOINED, MOST_PARTS, grouped
from llama_bedrock.retrievers.store import collection, vector_index

pytestmark = pytest.mark.slow

EMBEDDING = DeterministicFakeEmbedding(size=16)


def filled(count, **settings):
    vectors = np.random.default_rng(0).standard_normal((count, 16), dtype=np.float32)
    documents = [Document(f"text {n}", id=str(n), metadata={"n": n}) for n in range(count)]
    return FAISSStore.from_documents(documents, EMBEDDING, vectors=vectors, **settings)


def parts(folder: Path) -> list[Path]:
    return sorted(max(folder.glob("generation-*")).glob("vectors*.faiss"))


def assert_holds(store, wanted):
    """It holds these documents, text by id, and finds each by its own vector."""
    assert {d.id: d.page_content for d in store.documents()} == wanted
    assert len(store) == len(wanted)
    assert [d.id for d in store.get_by_ids(list(wanted))] == list(wanted)
    numbers = {id_: int(id_) for id_ in wanted}
    assert store.matching_ids({"n": {"$gte": 30}}) == {id_ for id_, n in numbers.items() if n >= 30}
    for id_ in list(wanted)[:5] + list(wanted)[-5:]:
        vector = EMBEDDING.embed_query(wanted[id_])
        assert store.similarity_search_by_vector(vector, k=1)[0].id == id_
        [found] = store.similarity_search_by_vector(vector, k=1, filter={"n": numbers[id_]})
        assert found.id == id_


@pytest.mark.parametrize("kind", ["flat", "hnsw", "auto"])
def test_any_order_of_changes_and_saves_gives_the_documents_that_were_written_last(tmp_path, kind):
    chance = random.Random(7)
    store, wanted = FAISSStore(EMBEDDING, kind=kind), {}
    for step in range(60):
        ids = sorted({str(chance.randrange(200)) for _ in range(chance.choice([1, 5, 20]))})
        if chance.random() < 0.7 or not wanted:
            texts = [f"{id_} of step {step}" for id_ in ids]
            store.add_texts(texts, [{"n": int(id_)} for id_ in ids], ids=ids)
            for id_, text in zip(ids, texts, strict=True):
                wanted.pop(id_, None)
                wanted[id_] = text
        else:
            store.delete(ids)
            wanted = {id_: text for id_, text in wanted.items() if id_ not in ids}
        if chance.random() < 0.6:
            store.save(tmp_path / "store")
        if store.folder and chance.random() < 0.3:
            store.save()
            store = FAISSStore.load(tmp_path / "store", EMBEDDING, verify=True)
        if step % 10 == 9:
            assert_holds(store, wanted)
    store.save(tmp_path / "store")
    assert len(parts(tmp_path / "store")) <= MOST_PARTS
    assert store.compact()
    assert not store.compact()
    store.save()
    assert len(parts(tmp_path / "store")) == 1
    assert_holds(FAISSStore.load(tmp_path / "store", EMBEDDING, verify=True), wanted)


def test_a_change_writes_what_changed(tmp_path):
    filled(5_000).save(tmp_path)
    store = FAISSStore.load(tmp_path, EMBEDDING)
    before = {path.stat().st_ino for path in tmp_path.rglob("*")}
    store.delete([str(n) for n in range(10)])
    store.add_texts([f"new {n}" for n in range(10)], [{"n": n} for n in range(10)])
    store.save()
    written = sum(
        p.stat().st_size for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_ino not in before
    )
    assert written < 100_000


def test_thousands_of_changes_leave_little_more_than_a_store_that_is_new(tmp_path):
    store = filled(1_000)
    store.save(tmp_path / "store")
    for n in range(100):
        ids = [str(m % 1_000) for m in range(20 * n, 20 * n + 20)]
        store.add_texts([f"{id_} again {n}" for id_ in ids], [{"n": int(id_)} for id_ in ids], ids=ids)
        if n % 5 == 4:
            store.save()
    store.save()
    filled(1_000).save(tmp_path / "fresh")
    used, fresh = (
        sum(path.stat().st_size for path in (tmp_path / name).rglob("*")) for name in ("store", "fresh")
    )
    assert used < 1.5 * fresh + MOST_PARTS * 40_000  # an empty part's files


def test_scores_of_parts_are_those_of_one(tmp_path):
    whole = filled(600)
    whole.save(tmp_path)
    store = FAISSStore.load(tmp_path, EMBEDDING)
    for n in range(3):
        ids = [str(m) for m in range(100 * n, 100 * n + 50)]
        documents, vectors = store.get_by_ids(ids), store.vectors(ids)
        store.add_documents(documents, vectors=vectors)
        store.save()
    assert len(parts(tmp_path)) == 4
    for n in (3, 120, 599):
        query = whole.vectors([str(n)])[0]
        for filter_ in (None, {"n": {"$lt": 300}}):
            ours, theirs = (
                s.similarity_search_with_score_by_vector(query, k=20, filter=filter_) for s in (store, whole)
            )
            assert [d.id for d, _ in ours] == [d.id for d, _ in theirs]
            assert [s for _, s in ours] == pytest.approx([s for _, s in theirs], abs=1e-6)


def test_a_reader_keeps_what_it_opened_while_parts_are_joined(tmp_path):
    store = filled(200)
    store.save(tmp_path)
    store.add_texts(["one more"], ids=["200"])
    store.save()
    reader = FAISSStore.load(tmp_path, EMBEDDING)
    listed = reader.documents()
    next(listed)
    store.delete([str(n) for n in range(150)])
    store.compact()
    store.save()
    store.save()
    assert 1 + sum(1 for _ in listed) == len(reader) == 201
    assert reader.reload()
    assert len(reader) == 51


@pytest.mark.parametrize(("size", "changes"), [(500, 3_000), (20_000, 3_000), (1_000_000, 6_000)])
def test_a_save_joins_few_members_however_large_the_store_is(size, changes):
    chance = random.Random(3)
    parts, most, rewritten = [(size, 0)] if size else [], 0, 0
    for _ in range(changes):
        parts = [*parts, (10, 0)]
        for number in chance.choices(range(len(parts)), weights=[living for living, _ in parts], k=1):
            living, dead = parts[number]
            parts[number] = (living - min(10, living), dead + min(10, living))
        parts = [part for part in parts if part[0]]
        groups, joined = grouped(*zip(*parts, strict=True)), []
        assert [n for group in groups for n in range(group.first, group.end)] == list(range(len(parts)))
        for group in groups:
            living = sum(living for living, _ in parts[group.first : group.end])
            joined.append((living, 0) if group.is_written else parts[group.first])
            if group.is_written and living > MOST_JOINED:
                rewritten += 1  # only so that the deleted do not take too much room
                assert sum(dead for _, dead in parts) > 0.4 * sum(living for living, _ in parts)
            elif group.is_written:
                most = max(most, living)
        parts = joined
        assert sum(dead for _, dead in parts) <= 0.4 * sum(living for living, _ in parts) + 7 * 128
    assert most <= MOST_JOINED
    assert len(parts) <= 16 + MOST_PARTS
    assert rewritten <= 10 * changes / 6_000


def test_many_large_parts_are_joined_behind_the_largest():
    sizes = [1_000_000, *[16_000] * 17]
    assert joining.first_to_join(sizes) == 1


@pytest.mark.parametrize("storage", ["float32", "sq8"])
def test_parts_beside_a_large_one_have_its_codes(tmp_path, monkeypatch, storage):
    monkeypatch.setattr(vector_index, "FLAT_LIMIT", 4_000)
    monkeypatch.setattr(collection, "_CODED", 100)
    monkeypatch.setattr(joining, "MOST_JOINED", 1_200)
    store = filled(5_000, storage=storage)
    store.save(tmp_path)
    rng, deleted = np.random.default_rng(4), []
    for turn in range(6):
        ids = [str(n) for n in range(200 * turn, 200 * turn + 200)]
        deleted += ids[:50]
        vectors = rng.standard_normal((200, 16), dtype=np.float32)
        store.add_documents(store.get_by_ids(ids), vectors=vectors)
        store.delete(ids[:50])
        store.save()
    store = FAISSStore.load(tmp_path, EMBEDDING, verify=True)
    kinds = [part.index.structure for part in store._contents.collection.parts]
    assert kinds[0] == kinds[1]
    assert kinds[0].kind == "fastscan"
    documents = list(store.documents())
    assert {d.id for d in documents} == {str(n) for n in range(5_000)} - set(deleted)
    exact = FAISSStore.from_documents(
        documents, EMBEDDING, vectors=store.vectors([d.id for d in documents]), kind="flat"
    )
    for query in rng.standard_normal((20, 16), dtype=np.float32):
        ours, theirs = ({d.id for d in s.similarity_search_by_vector(query, k=10)} for s in (store, exact))
        assert len(ours & theirs) >= 9


def test_searches_and_readers_go_on_while_a_store_is_compacted(tmp_path):
    store = filled(3_000)
    store.save(tmp_path)
    for n in range(5):
        store.add_texts([f"new {n}"], [{"n": n}], ids=[str(n)])
        store.save()
    query, found = EMBEDDING.embed_query("new 3"), []
    ended = threading.Event()

    def search():
        while not ended.is_set():
            found.append(store.similarity_search_by_vector(query, k=1)[0].id)
            found.append(FAISSStore.load(tmp_path, EMBEDDING).similarity_search_by_vector(query, k=1)[0].id)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(5):
        store.compact()
        store.save()
        store.add_texts([f"more {n}"], [{"n": n}], ids=[str(n + 10)])
        store.save()
    ended.set()
    for thread in threads:
        thread.join()
    assert set(found) == {"3"}


CHANGES = """
    def change(store, turn):
        ids = [str((5 * turn + n) % 70) for n in range(5)]
        store.add_texts([f"{id_} at {turn}" for id_ in ids], ids=ids)
        store.delete([str(7 * turn % 70)])
        if turn % 6 == 0:
            store.compact()
        store.add_texts([str(turn)], ids=["turn"])
"""
CHANGER = f"""{CHANGES}
    store = FAISSStore.load(sys.argv[1], DeterministicFakeEmbedding(size=8), verify=True)
    turn = max((int(d.page_content) for d in store.get_by_ids(["turn"])), default=0)
    while True:
        turn += 1
        change(store, turn)
        print("next", flush=True)
        store.save()
"""


@pytest.mark.slow
def test_killed_among_adds_deletes_and_compactions_every_reopen_is_whole(killed, tmp_path):
    folder, embedding, turns, scope = tmp_path / "store", DeterministicFakeEmbedding(size=8), [0], {}
    exec(textwrap.dedent(CHANGES), scope)
    FAISSStore(embedding).save(folder)
    wanted = FAISSStore(embedding)
    for _ in killed(CHANGER, folder, kills=60, most=8):
        found = {d.id: d.page_content for d in FAISSStore.load(folder, embedding, verify=True).documents()}
        turns.append(int(found.get("turn", 0)))
        for turn in range(turns[-2] + 1, turns[-1] + 1):
            scope["change"](wanted, turn)
        assert found == {d.id: d.page_content for d in wanted.documents()}
    assert len(turns) == 61
    assert turns == sorted(turns)
    assert turns[-1] > 60
