"""Lexical search with tantivy: incremental and on disk, for stores too large to build again at every
change.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from llama_bedrock._extras import require
from llama_bedrock.retrievers.search.lexical import MAX_QUERY_TERMS, PAIR_WEIGHT, LexicalIndex, text_digest
from llama_bedrock.text import TERMS_VERSION, is_lone_character, terms

_ANALYZER = "terms"  # the texts come as terms, with a space between
_HEAP_BYTES = 64_000_000
_FORMAT = 1


class TantivyIndex(LexicalIndex):
    """BM25 with tantivy (k1 1.2 and b 0.75, which it does not let one choose).

    The index lies in a temporary folder of its own, which `save` copies. Any number of threads may search and
    change it; a change is seen by the searches that begin after it.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="llama-bedrock-lexical-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        tantivy = require("tantivy", "large")
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("body", tokenizer_name=_ANALYZER, index_option="position")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, path=str(self._folder))
        analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer(_ANALYZER, analyzer)

    def add(self, texts: Mapping[str, str]) -> None:
        """Add texts by id; a known id is replaced."""
        tantivy = require("tantivy", "large")
        bodies = {identity: " ".join(terms(text)) for identity, text in texts.items()}
        with self._lock:
            writer = self._index.writer(_HEAP_BYTES, 1)
            for identity, body in bodies.items():
                if identity in self._digests:
                    writer.delete_documents_by_term("id", identity)
                writer.add_document(tantivy.Document(id=identity, body=body))
            self._commit(writer)
            self._digests.update((identity, text_digest(text)) for identity, text in texts.items())

    def remove(self, ids: Iterable[str]) -> None:
        """Remove texts; unknown ids are ignored."""
        with self._lock:
            known = [identity for identity in dict.fromkeys(ids) if identity in self._digests]
            if not known:
                return
            writer = self._index.writer(_HEAP_BYTES, 1)
            for identity in known:
                writer.delete_documents_by_term("id", identity)
                del self._digests[identity]
            self._commit(writer)

    def _commit(self, writer: Any) -> None:
        writer.commit()
        writer.wait_merging_threads()  # gives up the writer, and its lock on the folder
        self._index.reload()

    def digests(self) -> Mapping[str, str]:
        """The ids in the index, each with the digest of its text."""
        return self._digests

    def search(self, query: str, k: int, *, allowed: Collection[str] | None = None) -> dict[str, float]:
        """The best k ids that share a word with the query, with their scores, best first."""
        words = terms(query)[:MAX_QUERY_TERMS]
        if not words or k < 1 or (allowed is not None and not allowed):
            return {}
        searcher = self._index.searcher()
        hits = searcher.search(self._query(words, allowed), limit=k, count=False).hits
        found = [(searcher.doc(address)["id"][0], score) for score, address in hits]
        return dict(sorted(found, key=lambda item: (-item[1], item[0])))

    def _query(self, words: Sequence[str], allowed: Collection[str] | None) -> Any:
        tantivy = require("tantivy", "large")
        query, should = tantivy.Query, tantivy.Occur.Should
        parts = [(should, self._term(word)) for word in words]
        for first, second in dict.fromkeys(pairwise(words)):
            phrase = query.phrase_query(self._schema, "body", [first, second])
            parts.append((should, query.boost_query(phrase, PAIR_WEIGHT)))
        scored = query.boolean_query(parts)
        if allowed is None:
            return scored
        among = query.term_set_query(self._schema, "id", list(allowed))
        must = tantivy.Occur.Must
        return query.boolean_query([(must, scored), (must, query.const_score_query(among, 0.0))])

    def _term(self, word: str) -> Any:
        query = require("tantivy", "large").Query
        if is_lone_character(word):
            return query.regex_query(self._schema, "body", f".?{word}.?")
        return query.term_query(self._schema, "body", word)

    def save(self, folder: Path) -> None:
        """Write ``lexical.json`` and the folder ``tantivy``."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            about = {"format": _FORMAT, "analyzer": TERMS_VERSION, "digests": self._digests}
            (folder / "lexical.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
            shutil.rmtree(folder / "tantivy", ignore_errors=True)
            shutil.copytree(self._folder, folder / "tantivy", ignore=shutil.ignore_patterns("*.lock"))

    @classmethod
    def load(cls, folder: Path) -> TantivyIndex:
        """Read what `save` wrote."""
        about = json.loads((folder / "lexical.json").read_text(encoding="utf-8"))
        if (about.get("format"), about.get("analyzer")) != (_FORMAT, TERMS_VERSION):
            raise ValueError(f"{folder / 'lexical.json'} is of another version of llama-bedrock")
        index = cls()
        shutil.rmtree(index._folder)
        shutil.copytree(folder / "tantivy", index._folder)
        index._open()
        index._digests = about["digests"]
        if index._index.searcher().num_docs != len(index._digests):
            raise ValueError(f"{folder / 'tantivy'} does not belong to lexical.json: it is damaged")
        return index
