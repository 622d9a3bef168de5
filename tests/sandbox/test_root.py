"""Where boxes start from, and which backends work: errors say what mends them."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.sandbox import bubblewrap, docker
from mergekit_cycleqd.sandbox.base import Limits, SandboxError
from mergekit_cycleqd.sandbox.cgroups import Group, Hierarchy, find_hierarchy
from mergekit_cycleqd.sandbox.debian_mirror import DEFAULT_MIRROR, debian_mirror
from mergekit_cycleqd.sandbox.open import backends, open_backend
from mergekit_cycleqd.sandbox.root import (
    build_root,
    find_root,
    import_root,
    missing_to_build,
    roots_folder,
)

pytest_plugins = ("tests.support.boxes",)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sandbox"


def write_tar(path: Path, *, without: str = "", link: str = "") -> Path:
    """A tar of a root that has just what is looked for."""
    names = {"./bin/bash", "./usr/bin/python3", "./etc/passwd", "./dev/null", "./var/lib/x"}
    with tarfile.open(path, "w:gz") as tar:
        for name in sorted(names - {without}):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"text\n"))
        if link:
            member = tarfile.TarInfo("./var/cache")
            member.type, member.linkname = tarfile.SYMTYPE, link
            tar.addfile(member)
    return path


@pytest.fixture
def as_root(need: Callable[[str | None], None]) -> None:
    need(None if os.geteuid() == 0 else "unpacking a root needs root")


def test_without_a_root_built_there_is_none(cache: Path) -> None:
    assert find_root() is None
    assert roots_folder() == cache


def test_the_cache_is_the_user_s_where_no_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MERGEKIT_CYCLEQD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert roots_folder() == Path("/x/mergekit-cycleqd/sandbox")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert roots_folder() == Path.home() / ".cache/mergekit-cycleqd/sandbox"


def test_a_tar_becomes_a_root_without_its_device_nodes(
    as_root: None, cache: Path, tmp_path: Path
) -> None:
    root = import_root(write_tar(tmp_path / "image.tar.gz"))
    assert root.parent == cache
    assert (root / "bin/bash").read_text() == "text\n"
    assert list((root / "dev").iterdir()) == []
    assert (root / "etc/hostname").read_text() == "box\n"
    assert import_root(tmp_path / "image.tar.gz") == root


def test_a_root_is_imported_once_by_many_at_a_time(
    as_root: None, cache: Path, tmp_path: Path
) -> None:
    tar = write_tar(tmp_path / "image.tar")
    with ThreadPoolExecutor(4) as pool:
        roots = set(pool.map(lambda _: import_root(tar), range(8)))
    assert [path for path in cache.iterdir() if path.is_dir()] == list(roots)


@pytest.mark.parametrize("program", ["bash", "python3"])
def test_a_tar_without_a_program_that_boxes_need_is_refused(
    as_root: None, cache: Path, tmp_path: Path, program: str
) -> None:
    name = {"bash": "./bin/bash", "python3": "./usr/bin/python3"}[program]
    with pytest.raises(SandboxError, match=f"needs {program}, and it has none"):
        import_root(write_tar(tmp_path / "image.tar", without=name))
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_tar_with_links_out_of_it_is_refused(as_root: None, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "host/apt").mkdir(parents=True)
    (tmp_path / "host/apt/kept").touch()
    with pytest.raises(SandboxError, match="needs the folder /var/cache, not a link"):
        import_root(write_tar(tmp_path / "image.tar", link=str(tmp_path / "host")))
    assert (tmp_path / "host/apt/kept").exists()


def test_what_is_no_tar_is_refused_with_what_tar_says(
    as_root: None, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "image.tar").write_text("no tar")
    with pytest.raises(SandboxError, match=r"tar failed \(2\): tar: "):
        import_root(tmp_path / "image.tar")
    with pytest.raises(SandboxError, match="No such file"):
        import_root(tmp_path / "missing.tar")


def test_a_build_that_is_interrupted_leaves_nothing(
    cache: Path, need: Callable[[str | None], None]
) -> None:
    need(missing_to_build())

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_root(interrupt)
    assert [path for path in cache.iterdir() if path.is_dir()] == []
    assert find_root() is None


def test_without_root_building_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="needs root; run as root, or name an image"):
        build_root()
    assert "use docker" in (bubblewrap.bubblewrap_fault() or "")


@pytest.mark.parametrize(
    ("name", "text", "mirror"),
    [
        ("sources.list", "deb http://m.test/debian trixie main\n", "http://m.test/debian"),
        ("sources.list", "deb [arch=x] https://m.test/a bookworm main\n", "https://m.test/a"),
        ("sources.list", "# deb http://m.test/debian bookworm main\n", DEFAULT_MIRROR),
        ("sources.list", "deb http://m.test/ubuntu jammy main\n", DEFAULT_MIRROR),
        ("sources.list", "deb http://m.test/sec bookworm-security main\n", DEFAULT_MIRROR),
        ("sources.list", "deb-src http://m.test/debian bookworm main\n", DEFAULT_MIRROR),
        (
            "sources.list.d/debian.sources",
            "Types: deb\n# URIs: http://no.test/debian\nURIs: http://m.test/x\n"
            "Suites: bookworm bookworm-updates\nComponents: main\n",
            "http://m.test/x",
        ),
        ("sources.list.d/o.list", "deb http://m.test/debian/ sid main\n", "http://m.test/debian/"),
    ],
)
def test_the_mirror_is_that_of_the_host(tmp_path: Path, name: str, text: str, mirror: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert debian_mirror("bookworm", tmp_path) == mirror


def test_a_machine_without_apt_uses_debian_s_mirror(tmp_path: Path) -> None:
    assert debian_mirror("bookworm", tmp_path) == DEFAULT_MIRROR


def test_groups_of_version_2_have_both_limits_and_no_swap(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"cgroup2 {tmp_path} cgroup2 rw,relatime 0 0\n")
    hierarchy = find_hierarchy(mounts)
    assert hierarchy == Hierarchy(tmp_path, tmp_path, unified=True)
    (folder,) = Group(hierarchy, Limits(memory=1 << 20, processes=7)).folders
    assert (folder / "memory.max").read_text() == str(1 << 20)
    assert (folder / "pids.max").read_text() == "9"


def test_a_machine_without_groups_to_be_made_has_none(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"cgroup {tmp_path} cgroup rw,cpu 0 0\ntmpfs /tmp tmpfs rw 0 0\n")
    assert find_hierarchy(mounts) is None


def test_an_engine_that_does_not_answer_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert "none.sock does not answer" in (docker.docker_fault() or "")
    assert [found.available for found in backends() if found.name == "docker"] == [False]
    with pytest.raises(SandboxError, match="or name its socket by DOCKER_HOST"):
        open_backend("docker", root=tmp_path)


def test_an_image_that_the_engine_lacks_is_named_with_what_to_do(docker_engine: None) -> None:
    with pytest.raises(SandboxError, match="run `docker pull no-such-image:1`"):
        open_backend("docker", root="no-such-image:1")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(SandboxError, match="must be auto, docker or bubblewrap, got 'podman'"):
        open_backend("podman")


def test_auto_is_bubblewrap_where_no_engine_answers(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sandbox_root: Path,
    need: Callable[[str | None], None],
) -> None:
    need(bubblewrap.bubblewrap_fault())
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    backend = open_backend("auto", root=sandbox_root)
    assert isinstance(backend, bubblewrap.BubblewrapBackend)
    with pytest.raises(SandboxError, match="a folder or a tar file, and there is none"):
        open_backend("auto", root=tmp_path / "missing")
    with pytest.raises(SandboxError, match="needs bash"):
        open_backend("auto", root=tmp_path)


def test_auto_is_docker_where_an_engine_answers(docker_engine: None, sandbox_root: Path) -> None:
    assert isinstance(open_backend("auto", root=sandbox_root), docker.DockerBackend)


def test_a_container_that_ends_while_it_is_killed_is_still_removed(
    docker_engine: None, sandbox_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docker import APIClient
    from docker.errors import APIError

    remove, refusals = APIClient.remove_container, ["is not running", "is already in progress"]

    def refuse_at_first(client: APIClient, *arguments: Any, **options: Any) -> None:
        if refusals:
            raise APIError(refusals.pop())
        remove(client, *arguments, **options)

    monkeypatch.setattr(APIClient, "remove_container", refuse_at_first)
    box = open_backend("docker", root=sandbox_root).open()
    assert isinstance(box, docker.DockerBox)
    with contextlib.closing(APIClient(os.environ.get("DOCKER_HOST"))) as client:
        assert len(client.containers(all=True, filters={"id": box._container})) == 1
        box.close()
        assert not client.containers(all=True, filters={"id": box._container})
    assert not refusals
