import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.retrievers.indexing.folder_manifest import (
    Folder,
    FoundFile,
    FoundFiles,
    Manifest,
    ManifestPart,
    compare,
)
from llama_bedrock.retrievers.indexing.known_files import Chunk, Chunks, KnownFile, KnownFiles, OwnedTexts
from llama_bedrock.retrievers.search.lexical import text_digest
from llama_bedrock.retrievers.store.private_files import ForeignFileError, map_file

SOURCES = ["a.md", "b.md", "sub/ü.md", "line\nbreak", "half\udce9", "e.md", "日本.txt"]
FILES = st.builds(
    KnownFile,
    st.integers(-1, 2**40),
    # Of before 1970, of the year 2400, and of today.
    st.sampled_from([-5, 0, 1_700_000_000_000_000_000, 13_600_000_000_000_000_000]),
    st.sampled_from(["", "digest"]),
    st.lists(st.integers(0, 9), max_size=3).map(
        lambda numbers: Chunks(
            Chunk(f"id{n}", text_digest(f"{n}"), text_digest(f"with title {n}")) for n in numbers
        )
    ),
    st.lists(st.integers(0, 9).map(lambda n: text_digest(f"{n}")), max_size=2),
    st.sampled_from([None, "cannot be read"]),
    st.lists(st.sampled_from(["a note", "ein Grund: ü"]), max_size=2),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(SOURCES), FILES),
        st.tuples(st.just("delete"), st.sampled_from(SOURCES), st.none()),
        st.tuples(st.just("save"), st.integers(0, 4), st.none()),
    ),
    max_size=24,
)


def saved_and_model(steps):
    """A manifest that was changed and saved, each time in a file upon others, and what it must hold."""
    manifest, model, parts = Manifest({"/docs": Folder("settings")}, 7), {}, []
    for what, value, file in steps:
        files = manifest.folders["/docs"].files
        if what == "set":
            files[value] = model[value] = file
        elif what == "delete":
            assert (files.pop(value, None) is None) == (model.pop(value, None) is None)
        else:
            first = min(value, len(parts))
            columns = (
                files.everything()
                if not first
                else files.changes([p.columns["/docs"] for p in parts[first:]])
            )
            parts = [*parts[:first], ManifestPart.decode(manifest.part({"/docs": columns}).encode())]
            manifest.keep(parts)
            assert Manifest.of(parts) == manifest
    return manifest, model


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_files_in_any_number_of_parts_are_those_of_a_dict(steps):
    manifest, model = saved_and_model(steps)
    files = manifest.folders["/docs"].files
    assert dict(files) == model
    assert len(files) == len(model)
    assert all((source in files) == (source in model) for source in [*SOURCES, "other"])
    assert dict(files.with_notes()) == {source: file for source, file in model.items() if file.notes}
    assert files.totals() == (
        sum(len(file.chunks) for file in model.values()),
        sum(len(file.duplicates) for file in model.values()),
        sum(file.problem is not None for file in model.values()),
    )
    for number in range(10):
        digest = text_digest(f"{number}")
        assert files.with_duplicates([digest]) == {
            s for s, file in model.items() if digest in file.duplicates
        }
        without = set(SOURCES[:2])
        owned = any(digest in file.chunks.contents for s, file in model.items() if s not in without)
        assert (digest in OwnedTexts(files, without)) == owned
    assert dict(Manifest.decode(manifest.encode()).folders["/docs"].files) == model
    copy = files.copy()
    copy["other"] = KnownFile(1, 1, "")
    assert "other" not in files


@settings(max_examples=200, deadline=None)
@given(
    STEPS,
    st.lists(st.tuples(st.sampled_from(SOURCES), st.booleans(), st.booleans()), unique_by=lambda t: t[0]),
)
def test_what_differs_is_what_a_look_at_each_file_tells(steps, there):
    manifest, model = saved_and_model(steps)
    found = []
    for source, same_size, same_time in there:
        known = model.get(source, KnownFile(3, 3, ""))
        found.append(FoundFile(source, known.size + (not same_size), known.modified_ns + (not same_time)))
    doubtful, all_there = manifest.folders["/docs"].files.doubtful(
        *(list(zip(*found, strict=True)) or ([], [], []))
    )
    differing = {
        number
        for number, file in enumerate(found)
        if (known := model.get(file.source)) is None
        or (known.size, known.modified_ns) != (file.size, file.modified_ns)
        or known.problem is not None
    }
    assert differing <= set(doubtful)
    if not manifest.folders["/docs"].files.changed:
        assert differing == set(doubtful)
    missing = model.keys() - {file.source for file in found}
    assert not (all_there and missing)
    gone = [
        FoundFile(f.source, model[f.source].size, model[f.source].modified_ns)
        for f in found
        if f.source in model
    ]
    changes = compare(manifest.folders["/docs"], FoundFiles(gone), lambda file: True)
    assert set(changes.removed) == missing


@pytest.mark.parametrize("is_saved", [True, False])
@pytest.mark.parametrize("asked", [3, 1_000])
def test_owned_texts_are_those_of_the_files_and_those_that_were_added(asked, is_saved):
    """Few are looked for one by one, many in sorted order."""
    digests = [text_digest(str(number)) for number in range(1_000)]
    files = KnownFiles(
        {
            f"{start}.md": KnownFile(
                1, 1, "", Chunks(Chunk(f"id-{d}", d, d) for d in digests[start : start + 7])
            )
            for start in range(0, 700, 7)
        }
    )
    files["empty.md"] = KnownFile(1, 1, "")
    if is_saved:
        files = Manifest.decode(Manifest({"/docs": Folder("", files)}, 7).encode()).folders["/docs"].files
    owned = OwnedTexts(files, {"0.md", "new.md"})
    owned.add(digests[-1])
    for number in [*range(0, 1_000, 1_000 // asked), 999]:
        assert (digests[number] in owned) == (7 <= number < 700 or number == 999)


def test_of_a_file_only_the_line_that_is_asked_for_is_read(monkeypatch):
    files = KnownFiles({f"{number}.md": KnownFile(number, 5, "d") for number in range(100)})
    known = Manifest.decode(Manifest({"/docs": Folder("", files)}, 7).encode()).folders["/docs"]
    found = [FoundFile(f"{number}.md", number + (number == 50), 5) for number in range(100)]
    read = []
    whole = type(known.files._saved.layers[0]).line
    monkeypatch.setattr(
        type(known.files._saved.layers[0]), "line", lambda self, row: read.append(row) or whole(self, row)
    )
    assert [file.source for file in compare(known, FoundFiles(found), lambda file: True).read] == ["50.md"]
    assert set(read) == {50}


def test_a_manifest_is_read_as_it_was_written_and_as_older_versions_wrote_it():
    content, vector, copy = map(text_digest, ("content", "vector", "copy"))
    file = KnownFile(3, 99, "abc", Chunks([Chunk("id", content, vector)]), [copy], "a problem")
    manifest = Manifest({"/docs": Folder("settings", KnownFiles({"a.md": file}))}, 7)
    assert Manifest.decode(manifest.encode()) == manifest
    known = f'[3, 99, "abc", [["id", "{content}", "{vector}"]], ["{copy}"], "a problem", []]'
    old = f'{{"format": 1, "store_version": 7, "folders": {{"/docs": {{"settings": "settings", "files": {{"a.md": {known}}}}}}}}}'
    assert Manifest.decode(old.encode()) == manifest
    later = old.replace('"format": 1', '"format": 2').replace('"a.md"', '"b.md"').replace('[["id"', '["id"')
    later = later.replace(f'"{vector}"]]', f'"{vector}"]').replace('"files"', '"gone": ["a.md"], "files"')
    both = Manifest.of_json([old.encode(), later.encode()])
    assert dict(both.folders["/docs"].files) == {"b.md": file}


GOOD = Manifest(
    {
        "/docs": Folder(
            "settings",
            KnownFiles(
                {
                    f"{n}.md": KnownFile(n, n, "d", Chunks([Chunk(f"{n}", *[text_digest(f"{n}")] * 2)]))
                    for n in range(3)
                }
            ),
        ),
        "/other": Folder(
            "", KnownFiles({"x": KnownFile(1, 1, "", duplicates=[text_digest("1")], notes=["n"])})
        ),
    },
    3,
).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b'{"format": 99}', b"\xff", b'{"format": 1, "folders": 3}', b"[" * 100_000,
        b'{"format": 1, "store_version": 1, "folders": {"/d": {"settings": 7, "files": {}}}}',
        b'{"format": 1, "store_version": 1, "folders": {"/d": {"settings": "", "files": {"a": [1, 1, "d", [["i", "c", 9]], []]}}}}',
        b'{"format": 1, "store_version": 1, "folders": {"/d": {"settings": "", "files": {"a": ["1", 1, "d", [], []]}}}}',
        GOOD[:-8], GOOD + bytes(8), GOOD[:30], GOOD.replace(b'"files": 3', b'"files": 4'), GOOD.replace(b'"files": 3', b'"files": -3'),
        GOOD.replace(b'"contents": 3', b'"contents": 2'), GOOD.replace(b'"text": ', b'"text": 9999'), GOOD.replace(b"0.md\x001", b"0.md01"),
        GOOD.replace(b'"files": 3', b'"files": 3.0'), GOOD.replace(b'"/docs"', b'"\xff\xff"'), GOOD.replace(b"1.md", b"1.\xff\xff"),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_a_value_error(content):
    with pytest.raises(ValueError, match="damaged"):
        Manifest.decode(content)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_any_damage_is_a_value_error_or_other_facts(place, byte, end):
    damaged = bytearray(GOOD)
    damaged[place] = byte
    for content in (bytes(damaged), GOOD[:end]):
        try:
            manifest = Manifest.decode(content)
            for folder in manifest.folders.values():
                dict(folder.files)
                folder.files.totals()
        except ValueError:
            continue


def test_places_that_a_stranger_made_up_take_no_memory():
    part = ManifestPart.decode(GOOD)
    for name, places in (("positions", [0, 1, 2**60]), ("gone", [2**60])):
        columns = ManifestPart.decode(GOOD).columns["/docs"]
        setattr(columns, name, type(columns.sizes)((len(places),), columns.sizes.dtype))
        getattr(columns, name)[:] = places
        with pytest.raises(ValueError, match="places"):
            Manifest.of([part, ManifestPart(3, {"/docs": ""}, {"/docs": columns})])
    renamed = ManifestPart.decode(GOOD.replace(b"1.md", b"9.md"))
    with pytest.raises(ValueError, match="two files have one place"):
        Manifest.of([part, renamed])


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_a_mapped_file_is_read_and_a_link_is_refused(tmp_path, size):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(os.urandom(size))
    assert bytes(map_file(file)) == file.read_bytes()
    link.symlink_to(file)
    with pytest.raises(ForeignFileError, match="link"):
        map_file(link)
