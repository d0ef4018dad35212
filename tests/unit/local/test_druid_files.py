"""Druid's lock, class list and generated files."""

from __future__ import annotations

import re
from pathlib import Path

from local.druid.classes import CLASS_LIST
from local.druid.fetch import missing
from local.druid.jars import Jar, read_lock, write_lock
from local.druid.java import argument_file
from local.druid.record import merge
from local.druid.roles import common_settings, roles
from local.ports import HOST, choose


def test_the_lock_names_every_jar_once_with_its_sha256() -> None:
    jars = read_lock()
    assert len({jar.coordinate for jar in jars}) == len(jars)
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in jars)
    assert any(jar.coordinate == "org.apache.druid:druid-services:33.0.0" for jar in jars)


def test_the_committed_lists_name_no_host() -> None:
    for path in (CLASS_LIST, CLASS_LIST.with_name("jars.lock")):
        assert "://" not in path.read_text(encoding="utf-8")


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    jars = [Jar("g.h:a:1", "0" * 64, 5), Jar("g:b:2:native", "1" * 64, 6)]
    write_lock(jars, tmp_path / "jars.lock")
    assert read_lock(tmp_path / "jars.lock") == jars
    assert jars[0].path_in(Path("/r")) == Path("/r/g/h/a/1/a-1.jar")
    assert jars[1].path_in(Path("/r")) == Path("/r/g/b/2/b-2-native.jar")


def test_a_jar_that_was_cut_off_is_missing(tmp_path: Path) -> None:
    jar = Jar("g:a:1", "0" * 64, 5)
    path = jar.path_in(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1234")
    assert missing([jar], tmp_path) == [jar]
    path.write_bytes(b"12345")
    assert missing([jar], tmp_path) == []


def test_an_argument_file_keeps_spaces_quotes_and_backslashes() -> None:
    assert argument_file(['-Da=b c"d\\e']) == '"-Da=b c\\"d\\\\e"\n'


def test_recorded_classes_are_merged_without_what_one_run_generated(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_text("# head\njava/lang/String id: 1\n@lambda-proxy x\nb/C\n")
    (tmp_path / "b.lst").write_text("b/C\nd/E id: 3 super: 1 source: jrt:/java.base\n")
    assert merge(tmp_path) == ["b/C", "java/lang/String"]


def test_every_role_listens_on_the_loopback_alone_and_loads_no_extension() -> None:
    settings = common_settings(choose("default", {}), Path("/data"))
    assert settings["druid.host"] == HOST
    assert settings["druid.bindOnHost"] == "true"
    assert settings["druid.extensions.loadList"] == "[]"
    assert settings["druid.ingestion.http.allowedProtocols"] == '["http","https"]'


def test_the_indexer_merges_as_many_loads_as_it_has_slots() -> None:
    indexer = next(role for role in roles(Path("/d"), Path("/s")) if role.druid_name == "indexer")
    assert (
        indexer.settings["druid.worker.numConcurrentMerges"]
        == indexer.settings["druid.worker.capacity"]
    )
