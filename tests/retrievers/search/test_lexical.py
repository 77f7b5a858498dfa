import json
import random
import threading
import time

import numpy as np
import pytest

from llama_bedrock.retrievers.search.lexical import BM25Index

TEXTS = {
    "llama": "Llamas carry loads in the mountains.",
    "wing": "The boundary layer of a wing, in supersonic flow.",
    "layers": "A layer of paint, then another layer; a boundary stone.",
    "code": "def get_user_name(user): return user.name",
    "empty": "",
}


@pytest.fixture
def index():
    made = BM25Index()
    made.add(TEXTS)
    return made


def found(index, query, k=10, **options):
    return list(index.search(query, k, **options))


def test_words_are_found_by_their_stems(index):
    assert found(index, "a mountainous llama") == ["llama"]
    assert found(index, "wings") == ["wing"]


def test_an_identifier_is_found_whole_and_by_its_parts(index):
    assert found(index, "getUserName") == ["code"]
    assert found(index, "what is the user's name?") == ["code"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Größe und Straße", "grosse strasse"),
        ("Le café est fermé", "cafe\u0301"),
        ("the ﬁle ﬂag of a PDF", "file flag"),
        ("Удаление файлов", "удалить файл"),
        ("파일을 삭제합니다", "파일 삭제"),
        ("फ़ाइलें हटाएँ", "फ़ाइल"),
        ("ลบไฟล์ทั้งหมด", "ไฟล์"),
        ("حذف الملفّات", "الملفات"),
        ("猫が好きです", "猫"),
        ("删除所有文件", "文件"),
        ("ＡＰＩ キー", "API"),
    ],
)
def test_other_languages_are_found_in_other_spellings_and_forms(index, text, query):
    index.add({"other": text})
    assert found(index, query) == ["other"]


def test_neighbouring_words_of_the_query_count_more_where_they_are_neighbours(index):
    index.add({"apart": "A boundary of some kind, far from any layer of supersonic flow."})
    index.add({"near": "A kind of some boundary layer, far from any of supersonic flow."})
    scores = index.search("boundary layer", 10)
    assert scores["near"] > 1.1 * scores["apart"]


def test_scores_are_positive_and_fall(index):
    scores = list(index.search("boundary layer of the user", 10).values())
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_no_known_word_finds_nothing(index):
    for query in ("", "of the", "zymurgy", "!?"):
        assert index.search(query, 5) == {}
    assert index.search("wing", 0) == {}


def test_a_question_of_100000_characters_is_answered_quickly(index):
    index.add({f"filler{n}": f"boundary number{n} of layer{n}" for n in range(500)})
    start = time.perf_counter()
    assert index.search("boundary layer of the wing " + "number7 layer8 " * 7000, 5)
    assert time.perf_counter() - start < 2


def test_only_allowed_ids_are_found(index):
    assert found(index, "boundary layer", allowed=["layers", "llama", "unknown"]) == ["layers"]
    assert found(index, "boundary layer", allowed=[]) == []
    assert found(index, "boundary layer", 1, allowed=list(TEXTS)) == found(index, "boundary layer", 1)


def test_texts_are_replaced_and_removed(index):
    index.add({"wing": "Bread is baked."})
    assert found(index, "supersonic") == []
    assert found(index, "bread") == ["wing"]
    index.remove(["wing", "unknown"])
    assert found(index, "bread") == []
    assert len(index) == 4
    index.remove(list(TEXTS))
    assert found(index, "llama") == []
    index.add({"new": "bread"})
    assert found(index, "bread") == ["new"]


def test_saving_and_loading_gives_the_same_results(index, tmp_path):
    index.remove(["llama"])
    index.save(tmp_path / "saved")
    loaded = BM25Index.load(tmp_path / "saved")
    assert len(loaded) == len(index) == 4
    for query in ("boundary layer", "user name", "llama"):
        assert loaded.search(query, 5) == pytest.approx(index.search(query, 5))
    loaded.add({"llama": "A llama again."})
    assert found(loaded, "llama") == ["llama"]
    assert found(BM25Index.load(tmp_path / "saved"), "llama") == []


def test_a_damaged_index_is_refused(index, tmp_path):
    index.save(tmp_path)
    for path in [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "lexical.json"]:
        path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        BM25Index.load(tmp_path)


def test_arrays_are_never_unpickled(tmp_path):
    index = BM25Index()
    index.add(TEXTS)
    index.save(tmp_path)
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "terms-1.npz", keys=objects, terms=objects)
    with pytest.raises(ValueError, match="damaged"):
        BM25Index.load(tmp_path)


@pytest.mark.parametrize("name", ["../terms-1.npz", "/etc/passwd", "terms-1.npz.", 7, None])
def test_a_name_of_another_file_is_refused(index, tmp_path, name):
    index.save(tmp_path)
    about = json.loads((tmp_path / "lexical.json").read_text())
    (tmp_path / "lexical.json").write_text(json.dumps(about | {"segments": [name]}))
    with pytest.raises(ValueError, match="damaged"):
        BM25Index.load(tmp_path)


@pytest.mark.parametrize("array", ["keys", "lengths", "terms", "ends", "texts", "counts"])
def test_numbers_that_lead_nowhere_are_refused(index, tmp_path, array):
    index.save(tmp_path)
    with np.load(tmp_path / "terms-1.npz") as saved:
        arrays = dict(saved)
    for value in (-1, 2**30):
        np.savez(
            tmp_path / "terms-1.npz",
            **arrays | {array: np.append(arrays[array][:-1], value).astype(arrays[array].dtype)},
        )
        loaded = BM25Index.load(tmp_path)
        if array in ("keys", "counts") and value > 0:
            continue  # they lead nowhere
        if array == "counts":
            continue
        with pytest.raises(ValueError, match="damaged"):
            loaded.search("llama", 3)


WORDS = [
    "llama",
    "wool",
    "mountain",
    "load",
    "wing",
    "layer",
    "boundary",
    "flow",
    "bread",
    "flour",
    "stone",
    "paint",
    "user",
    "name",
]


def test_scores_after_any_changes_are_those_of_an_index_made_at_once(tmp_path):
    chance = random.Random(3)
    index, texts = BM25Index(), {}
    for step in range(120):
        ids = [str(chance.randrange(60)) for _ in range(chance.choice([1, 1, 8]))]
        if step % 3 == 2:
            index.remove(ids)
            texts = {id_: text for id_, text in texts.items() if id_ not in ids}
        else:
            new = {id_: " ".join(chance.choices(WORDS, k=chance.randrange(1, 30))) for id_ in ids}
            index.add(new)
            texts = {id_: text for id_, text in texts.items() if id_ not in new} | new
        if step % 20 == 19:
            index.save(tmp_path / str(step))
            index = BM25Index.load(tmp_path / str(step))
        if step % 10 == 9:
            whole = BM25Index()
            whole.add(texts)
            for query in ("a llama carries wool", "boundary layer of a wing", "bread and flour bread"):
                ours, theirs = index.search(query, 60), whole.search(query, 60)
                assert ours == pytest.approx(theirs, abs=1e-6)
                assert list(ours) == list(theirs)


def test_threads_may_search_while_it_changes(index):
    errors = []

    def search():
        try:
            for _ in range(100):
                assert set(index.search("boundary layer", 10)) >= {"layers"}
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(30):
        index.add({f"more{number}": f"boundary number {number}"})
        index.remove([f"more{number}"])
    for thread in threads:
        thread.join()
    assert not errors
