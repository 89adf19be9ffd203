"""A hub on this machine: data sets and models in folders, behind the paths of the hub's API.

`FOLDER/OWNER/NAME/` holds a repository's main branch and `FOLDER/OWNER/NAME@BRANCH/` another, the
slashes of its name written as underscores. One in `gated` lists its files and gives none.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pyarrow
import pyarrow.parquet
from huggingface_hub import constants

from kvdistill.data import hub_files


class HubServer:
    """Serves until `close`; its address is `url`."""

    def __init__(self, folder: Path, gated: tuple[str, ...] = ()) -> None:
        self.folder, self.gated = folder, gated
        self.paths: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self, with_body=True)

            def do_HEAD(self) -> None:
                server.answer(self, with_body=False)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        Thread(target=self.http.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def find_branch(self, repo: str, revision: str) -> Path | None:
        """The folder of a branch, which may be named by its commit."""
        owner, name = repo.split("/")
        for folder in sorted((self.folder / owner).glob(f"{name}*")):
            branch = folder.name.partition("@")[2] or "main"
            if folder.name.partition("@")[0] == name and revision in (
                branch, branch.replace("_", "/"), make_commit(folder),
            ):  # fmt: skip
                return folder
        return None

    def answer(self, request: BaseHTTPRequestHandler, *, with_body: bool) -> None:
        parts = [unquote(part) for part in urlsplit(request.path).path.strip("/").split("/")]
        self.paths.append("/".join(parts))
        is_api = parts[0] == "api"
        # A file of a model has no word for its kind before it.
        parts = parts[2 if is_api else parts[0] == "datasets" :]
        repo, rest = "/".join(parts[:2]), parts[2:]
        if not list((self.folder / parts[0]).glob(f"{parts[1]}*")):
            send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        branch = self.find_branch(repo, rest[1])
        if branch is None:
            send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif is_api and rest[0] == "revision":
            files = [p.relative_to(branch).as_posix() for p in list_files(branch)]
            body = {"id": repo, "sha": make_commit(branch), "gated": repo in self.gated}
            body |= {"siblings": [{"rfilename": name} for name in files]}
            send(request, 200, json.dumps(body).encode(), {})
        elif is_api and rest[0] == "tree":
            entries = [describe_file(path, branch) for path in list_files(branch)]
            send(request, 200, json.dumps(entries).encode(), {})
        elif repo in self.gated:
            send(request, 403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif not (path := branch.joinpath(*rest[2:])).is_file():
            send(request, 404, b"{}", {"X-Error-Code": "EntryNotFound"})
        else:
            content = path.read_bytes()
            tag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            headers = {"ETag": f'"{tag}"', "X-Repo-Commit": make_commit(branch)}
            send(request, 200, content, headers, with_body=with_body)


def list_files(branch: Path) -> list[Path]:
    """Every file of a branch."""
    return [path for path in sorted(branch.rglob("*")) if path.is_file()]


def describe_file(path: Path, branch: Path) -> dict[str, object]:
    """An entry of a branch's tree."""
    return {
        "type": "file", "path": path.relative_to(branch).as_posix(), "size": path.stat().st_size,
        "oid": hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
    }  # fmt: skip


def make_commit(branch: Path) -> str:
    """The commit of a branch: of what lies in its folder."""
    parts = [f"{p.relative_to(branch)} ".encode() + p.read_bytes() for p in list_files(branch)]
    content = branch.name.encode() + b"".join(parts)
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def send(
    request: BaseHTTPRequestHandler, code: int, body: bytes, headers: dict[str, str], *,
    with_body: bool = True,
) -> None:  # fmt: skip
    request.send_response(code)
    for key, value in (headers | {"Content-Length": str(len(body))}).items():
        request.send_header(key, value)
    request.end_headers()
    if with_body and request.command == "GET":
        request.wfile.write(body)


@contextmanager
def open_hub(folder: Path, monkeypatch, gated: tuple[str, ...] = ()) -> Iterator[HubServer]:
    """A hub whose data sets lie in `folder/hub`, asked by this process in place of the real one.

    Its client begins with an empty cache.
    """
    server = HubServer(folder / "hub", gated)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    server.folder.mkdir(parents=True, exist_ok=True)
    hub_files.list_repository.cache_clear()
    yield server
    server.close()
    hub_files.list_repository.cache_clear()


def write_parquet(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(format_csv(rows), "utf-8")


def write_archive(path: Path, members: dict[str, list[dict]]) -> None:
    """A zip archive of CSV files, by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in members.items():
            archive.writestr(name, format_csv(rows))


def format_csv(rows: list[dict]) -> str:
    """With an index column without a name, as pandas writes one."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ["", *rows[0]])
    writer.writeheader()
    writer.writerows([{"": n, **row} for n, row in enumerate(rows)])
    return out.getvalue()
