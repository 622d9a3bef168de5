"""The local Hub behaves to the real client as the Hub does."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    hf_hub_download,
    model_info,
    repo_exists,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support.hub import server
from tests.support.hub.client import httpx
from tests.support.hub.server import Fault, Hub

hub, repo = server.hub, server.repo

WEIGHTS = bytes(range(256)) * 200
TEXT = b"one\ntwo\n"


def refused(error: pytest.ExceptionInfo[HfHubHTTPError]) -> tuple[int, str]:
    return error.value.response.status_code, str(error.value)


def test_files_read_back_byte_for_byte(hub: Hub, repo: str) -> None:
    files = {"notes.txt": TEXT, "sub/model.safetensors": WEIGHTS, "empty.txt": b""}
    oid = hub.commit(repo, files)
    for name, content in (("notes.txt", TEXT), ("sub/model.safetensors", WEIGHTS)):
        assert Path(hf_hub_download(repo, name)).read_bytes() == content
        assert hub.content(repo)[name] == content
    folder = Path(snapshot_download(repo, revision=oid))
    assert (folder / "empty.txt").read_bytes() == b""
    assert (folder / "sub" / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.calls("PUT", "/lfs-upload/")) == 1


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
def test_large_files_move_by_xet_where_it_is_on(hub: Hub, repo: str, tmp_path: Path) -> None:
    hub.commit(repo, {"a.safetensors": WEIGHTS})
    (tmp_path / "file").write_bytes(WEIGHTS[7:])
    hub.api().upload_file(
        path_or_fileobj=tmp_path / "file", path_in_repo="b.safetensors", repo_id=repo
    )
    folder = Path(snapshot_download(repo))
    assert (folder / "a.safetensors").read_bytes() == WEIGHTS
    assert (folder / "b.safetensors").read_bytes() == WEIGHTS[7:]
    assert hub.content(repo)["b.safetensors"] == WEIGHTS[7:]
    assert hub.calls("GET", "xet-write-token") and hub.calls("GET", "xet-read-token")
    assert not hub.calls("PUT", "/lfs-upload/")


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
def test_xet_refuses_a_read_only_token(hub: Hub, repo: str) -> None:
    hub.faults.append(Fault("GET", "xet-write-token", 403))
    with pytest.raises(ConnectionError):
        hub.commit(repo, {"a.safetensors": WEIGHTS})
    assert "a.safetensors" not in hub.content(repo)


def test_an_upload_larger_than_a_part_is_made_in_parts(hub: Hub, repo: str) -> None:
    hub.part_size = 20_000
    hub.commit(repo, {"model.safetensors": WEIGHTS})
    assert len(hub.calls("PUT", r"/lfs-upload/\w+/\d+$")) == 3
    assert hub.content(repo)["model.safetensors"] == WEIGHTS


def test_blobs_have_the_hashes_that_git_gives_them(hub: Hub, repo: str, tmp_path: Path) -> None:
    hub.commit(repo, {"notes.txt": TEXT, "sub/deep/a.txt": b"a", "sub/deep.txt": b"b"})
    for path, content in hub.content(repo).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    git = ("git", "-C", str(tmp_path))
    subprocess.run((*git, "init", "-q"), check=True)
    subprocess.run((*git, "add", ".gitattributes", "notes.txt", "sub"), check=True)
    shown = subprocess.run((*git, "ls-files", "-s"), check=True, capture_output=True, text=True)
    expected = {line.split("\t")[1]: line.split()[1] for line in shown.stdout.splitlines()}
    entries = hub.api().list_repo_tree(repo, recursive=True)
    found = {e.path: e for e in entries}
    assert {p: e.blob_id for p, e in found.items() if hasattr(e, "blob_id")} == expected
    folder = subprocess.run(
        (*git, "write-tree", "--prefix=sub/"), check=True, capture_output=True, text=True
    )
    assert found["sub"].tree_id == folder.stdout.strip()


def test_a_long_tree_comes_in_pages(hub: Hub, repo: str) -> None:
    hub.commit(repo, {f"f{i:03d}.txt": b"x" for i in range(230)})
    assert sum(1 for _ in hub.api().list_repo_tree(repo)) == 231
    assert len(hub.calls("GET", "cursor=")) == 2


def test_info_names_the_files_with_their_hashes(hub: Hub, repo: str) -> None:
    oid = hub.commit(repo, {"notes.txt": TEXT, "model.safetensors": WEIGHTS})
    info = model_info(repo, files_metadata=True)
    assert (info.id, info.author, info.sha, info.private) == ("me/x", "me", oid, False)
    files = {s.rfilename: s for s in info.siblings or ()}
    assert files["notes.txt"].size == len(TEXT) and files["notes.txt"].lfs is None
    lfs = files["model.safetensors"].lfs
    assert lfs and lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    paths = hub.api().get_paths_info(repo, ["notes.txt", "model.safetensors", "gone"])
    assert [p.path for p in paths] == ["notes.txt", "model.safetensors"]


def test_a_dataset_is_apart_from_a_model_of_the_same_name(hub: Hub, repo: str) -> None:
    api = hub.api()
    api.create_repo(repo, repo_type="dataset")
    api.upload_file(
        path_or_fileobj=TEXT, path_in_repo="journal.jsonl", repo_id=repo, repo_type="dataset"
    )
    path = hf_hub_download(repo, "journal.jsonl", repo_type="dataset")
    assert Path(path).read_bytes() == TEXT
    assert api.dataset_info(repo).id == repo
    assert "journal.jsonl" not in hub.content(repo)


def test_a_range_of_a_file_can_be_read(hub: Hub, repo: str) -> None:
    hub.commit(repo, {"model.safetensors": WEIGHTS})
    url = f"{hub.endpoint}/{repo}/resolve/main/model.safetensors"
    for span, part in (
        ("5-9", slice(5, 10)),
        ("51190-", slice(51190, None)),
        ("-3", slice(-3, None)),
    ):
        answer = httpx.get(url, headers={"Range": f"bytes={span}"})
        assert (answer.status_code, answer.content) == (206, WEIGHTS[part])
    assert httpx.get(url, headers={"Range": "bytes=99999-"}).status_code == 416


def test_a_private_repo_does_not_exist_for_others(hub: Hub) -> None:
    hub.api().create_repo("me/secret", private=True)
    assert hub.api().model_info("me/secret").private
    assert hub.api(hub.reader).repo_exists("me/secret")
    for api in (hub.api(hub.other), hub.api(False)):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("me/secret")
        with pytest.raises(RepositoryNotFoundError):
            api.hf_hub_download("me/secret", ".gitattributes")
    hub.api().update_repo_settings("me/secret", private=False)
    assert hub.api(hub.other).repo_exists("me/secret")


def test_a_gated_repo_shows_its_page_and_not_its_files(hub: Hub, repo: str) -> None:
    hub.api().update_repo_settings(repo, gated="manual")
    other = hub.api(hub.other)
    assert other.model_info(repo).gated == "manual"
    for api in (other, hub.api(False)):
        with pytest.raises(GatedRepoError):
            api.hf_hub_download(repo, ".gitattributes")
    hub.repo(repo).readers.add("other")
    assert other.hf_hub_download(repo, ".gitattributes")


def test_a_repo_can_be_made_once(hub: Hub, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        hub.api().create_repo(repo)
    assert refused(error)[0] == 409
    assert str(hub.api().create_repo(repo, exist_ok=True)) == f"{hub.endpoint}/me/x"
    assert hub.api().create_repo(repo, repo_type="dataset").repo_type == "dataset"
    assert hub.api().create_repo("lab/x").repo_id == "lab/x"
    hub.api().delete_repo(repo)
    assert not repo_exists(repo) and repo_exists(repo, repo_type="dataset")


def test_only_the_right_token_writes(hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.api(hub.other).create_repo("other/y")
    before = hub.content(repo)
    for api, status, word in (
        (hub.api(hub.reader), 403, "write token"),
        (hub.api(hub.other), 403, "rights"),
        (hub.api("hf_unknown"), 401, "Invalid credentials"),
        (hub.api(False), 401, "Invalid username"),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            api.create_repo("me/new")
        assert refused(error)[0] == status and word in refused(error)[1]
        with pytest.raises(HfHubHTTPError) as error:
            api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo)
        assert refused(error)[0] == status and word in refused(error)[1]
    assert hub.content(repo) == before
    with pytest.raises(HfHubHTTPError, match="rights"):
        hub.api().create_repo("other/new")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(LocalTokenNotFoundError):
        hub.api(True).create_repo("me/new")


def test_what_is_missing_raises_the_errors_of_the_client(hub: Hub, repo: str) -> None:
    with pytest.raises(RepositoryNotFoundError):
        model_info("me/nothing")
    with pytest.raises(RevisionNotFoundError):
        model_info(repo, revision="v9")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(repo, ".gitattributes", revision="v9")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(repo, "nothing.txt")
    with pytest.raises(RepositoryNotFoundError):
        hub.commit("me/nothing", {"a.txt": b"a"})
    with pytest.raises(HfHubHTTPError, match="doesn't exist"):
        hub.api().delete_file("nothing.txt", repo)


def test_a_commit_on_a_stale_parent_is_refused_whole(hub: Hub, repo: str) -> None:
    parent = model_info(repo).sha
    latest = hub.commit(repo, {"a.txt": b"a"})
    operations = [CommitOperationAdd("b.txt", b"b"), CommitOperationDelete("a.txt")]
    with pytest.raises(HfHubHTTPError) as error:
        hub.api().create_commit(repo, operations, commit_message="late", parent_commit=parent)
    assert refused(error)[0] == 412
    assert model_info(repo).sha == latest and "b.txt" not in hub.content(repo)
    made = hub.api().create_commit(repo, operations, commit_message="now", parent_commit=latest)
    assert model_info(repo).sha == made.oid and "a.txt" not in hub.content(repo)


def test_of_concurrent_commits_on_one_parent_one_is_made(hub: Hub, repo: str) -> None:
    parent = model_info(repo).sha
    results: list[str] = []

    def push(name: str) -> None:
        try:
            hub.api().create_commit(
                repo,
                [CommitOperationAdd(name, name.encode())],
                commit_message=name,
                parent_commit=parent,
            )
            results.append("made")
        except HfHubHTTPError as error:
            results.append(str(error.response.status_code))

    threads = [threading.Thread(target=push, args=(f"{i}.txt",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["412"] * 5 + ["made"]
    assert len(hub.content(repo)) == 2


def test_an_unchanged_file_makes_no_commit(hub: Hub, repo: str) -> None:
    first = hub.commit(repo, {"notes.txt": TEXT, "model.safetensors": WEIGHTS})
    assert hub.commit(repo, {"notes.txt": TEXT, "model.safetensors": WEIGHTS}) == first
    assert len(hub.calls("POST", "/commit/")) == 1
    assert len(hub.calls("PUT", "/lfs-upload/")) == 1


def test_history_tags_and_branches(hub: Hub, repo: str) -> None:
    api = hub.api()
    first = hub.commit(repo, {"a.txt": b"1"}, "first")
    api.create_tag(repo, tag="v1")
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag(repo, tag="v1")
    assert refused(error)[0] == 409
    api.create_tag(repo, tag="v1", exist_ok=True)
    api.create_branch(repo, branch="feature/x")
    second = hub.commit(repo, {"a.txt": b"2"}, "second")
    titles = [c.title for c in api.list_repo_commits(repo)]
    assert titles == ["second", "first", "initial commit"]
    refs = api.list_repo_refs(repo)
    assert {b.name: b.target_commit for b in refs.branches} == {
        "main": second,
        "feature/x": first,
    }
    assert [(t.name, t.target_commit) for t in refs.tags] == [("v1", first)]
    for revision in ("v1", "feature/x", first, first[:8]):
        assert hub.content(repo, revision=revision)["a.txt"] == b"1"
        assert Path(hf_hub_download(repo, "a.txt", revision=revision)).read_text() == "1"
    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="feature/x")
    with pytest.raises(RevisionNotFoundError):
        model_info(repo, revision="v1")
    with pytest.raises(HfHubHTTPError):
        api.delete_branch(repo, branch="main")
