"""Xet storage of the local Hub: folders that hf_xet itself reads and writes (`local://` addresses).

A folder is locked by the process that has it open, so every token names a folder of its own: an
empty one to write to, a copy of everything to read from.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hf_xet
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from tests.support.hub.repos import Request
    from tests.support.hub.store import Store

# The client asks for a new token when one has less than a minute left; so it always asks.
TOKEN_SECONDS = 50
ROW = 48  # bytes; a shard is a table of such rows
VERIFIED, WITH_SHA256 = 1 << 31, 1 << 30  # flags of a file: which rows follow its segments
SHARDS = "xet/xorbs/shards"


@dataclass(frozen=True)
class XetFile:
    hash: str
    size: int


def hash_of(row: bytes) -> str:
    """Write a hash as Xet does: four little-endian words."""
    return b"".join(row[i : i + 8][::-1] for i in range(0, 32, 8)).hex()


def read_shard(shard: bytes) -> dict[str, XetFile]:
    """Read the files of a shard, by sha256."""
    rows = [shard[i : i + ROW] for i in range(ROW, len(shard), ROW)]
    files = {}
    at = 0
    while rows[at][:32] != b"\xff" * 32:
        flags, count = (int.from_bytes(rows[at][i : i + 4], "little") for i in (32, 36))
        segments = rows[at + 1 : at + 1 + count]
        size = sum(int.from_bytes(segment[36:40], "little") for segment in segments)
        end = at + 1 + count * (2 if flags & VERIFIED else 1)
        if flags & WITH_SHA256:
            files[hash_of(rows[end])] = XetFile(hash_of(rows[at]), size)
            end += 1
        at = end
    return files


class Xet:
    """The storage: what clients wrote is taken over into one folder when it is committed."""

    def __init__(self, root: Path) -> None:
        self.main = root / "main"
        self.main.mkdir(parents=True)
        self.root = root
        self.writers: list[Path] = []
        self.files: dict[str, XetFile] = {}

    def new_folder(self) -> Path:
        return self.root / f"folder-{len(list(self.root.iterdir()))}"

    def writer(self) -> Path:
        folder = self.new_folder()
        folder.mkdir()
        self.writers.append(folder)
        return folder

    def reader(self) -> Path:
        return Path(shutil.copytree(self.main, self.new_folder()))

    def find(self, sha256: str) -> tuple[Path, XetFile] | None:
        for writer in self.writers:
            for shard in (writer / SHARDS).glob("*.mdb"):
                files = read_shard(shard.read_bytes())
                if sha256 in files:
                    return writer, files[sha256]
        return None

    def take_over(self, sha256: str) -> bytes | None:
        """Give the content of a file that a client wrote, and keep it for readers."""
        found = self.find(sha256)
        if found is None:
            return None
        writer, file = found
        # The client may still have its folder open.
        folder = Path(shutil.copytree(writer, self.new_folder()))
        end = int(time.time()) + TOKEN_SECONDS
        session = hf_xet.XetSession()
        with session.new_file_download_group(
            endpoint=f"local://{folder}", token="server", token_expiry_unix_secs=end
        ) as group:
            group.start_download_file(hf_xet.XetFileInfo(file.hash, file.size), f"{folder}/file")
        content = (folder / "file").read_bytes()
        with session.new_upload_commit(
            endpoint=f"local://{self.main}", token="server", token_expiry_unix_secs=end
        ) as upload:
            upload.start_upload_bytes(content, sha256=sha256)
        self.files[sha256] = file
        return content


def write_token(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    store.writable(kind, repo_id, request.token).find(revision)
    assert store.xet is not None
    return token(store.xet.writer())


def read_token(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    store.open(kind, repo_id, request.token).find(revision)
    assert store.xet is not None
    return token(store.xet.reader())


def token(folder: Path) -> Response:
    address, end = f"local://{folder}", int(time.time()) + TOKEN_SECONDS
    headers = {
        "X-Xet-Cas-Url": address,
        "X-Xet-Access-Token": "xet",
        "X-Xet-Token-Expiration": str(end),
    }
    return JSONResponse({"casUrl": address, "accessToken": "xet", "exp": end}, headers=headers)
