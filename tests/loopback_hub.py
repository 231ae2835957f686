"""A stand-in for the Hugging Face Hub on this machine, for tests whose clients are real processes.

It serves folders as repositories: ``root/datasets/ORG/NAME`` and ``root/models/ORG/NAME`` are their branch ``main``,
at a commit that follows from the files, so that a changed file is a new commit. The folder ``.at/REVISION`` in it,
with ``--`` for each slash, holds another branch: ``.at/refs--convert--parquet``. A repository that holds a file
called ``.gated`` gives its files only to :data:`GRANTED_TOKEN`; names that begin with a dot are not served.

Only what ``huggingface_hub``, ``datasets`` and ``transformers`` ask for when they load is answered: information
about a repository, its tree, information about paths, and files.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

GRANTED_TOKEN = "hf_granted"
EXPIRED_TOKEN = "hf_expired"  # refused for everything; any other token has not been granted access


class LoopbackHub:
    """A running hub: files put below ``root`` are served from then on.

    Attributes:
        root: the folder of ``datasets`` and ``models``.
        requests: the method and path of what was asked, oldest first.
        url: where it listens, or listened.
        failing: when set, the status that everything is answered with.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        self.failing: int | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def repository(self, kind: str, name: str, files: dict[str, str | bytes] | None = None) -> Path:
        """The folder of a repository, made if need be, with ``files`` written into it.

        Args:
            kind: ``datasets`` or ``models``.
            name: ``org/name``.
            files: path inside the repository to content.
        """
        folder = self.root / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in (files or {}).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs in its environment to use this hub and no other, with its cache in ``home``."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "",
            "HF_TOKEN": "",
            "NO_PROXY": "127.0.0.1",
        }

    def stop(self) -> None:
        """Listen no more: further connections are refused. A second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


class _Refused(Exception):  # noqa: N818
    """A status, and the code or message by which the Hub's clients know what it means."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message or code)
        self.status = status
        self.headers = {"X-Error-Message": message or code, **({"X-Error-Code": code} if code else {})}


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"  # its clients keep connections open
    wbufsize = -1  # head and body in one packet, else the client's late acknowledgement costs 40 ms
    commit: str | None = None

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests read ``requests``."""

    def _answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        self.commit = None
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        try:
            if self.hub.failing:
                raise _Refused(self.hub.failing, message="Something is wrong here")
            if self._token() == EXPIRED_TOKEN:
                raise _Refused(401, message="Invalid credentials in Authorization header")
            if parts[0] == "api":
                self._api(parts[1:], parse_qs(url.query), parse_qs(asked))
            else:
                self._file(parts)
        except _Refused as refused:
            self._send(refused.status, json.dumps({"error": str(refused)}).encode(), refused.headers)

    def _api(self, parts: list[str], query: dict[str, list[str]], form: dict[str, list[str]]) -> None:
        """``KIND/ORG/NAME``, then ``/revision/R``, ``/tree/R[/FOLDER]`` or ``/paths-info/R``."""
        folder = self._repository(parts[0], "/".join(parts[1:3]))
        what, revision = parts[3:5] if len(parts) > 4 else ("revision", "main")
        tree = self._at(folder, revision)
        if what == "revision":
            found: Any = {
                "id": "/".join(parts[1:3]),
                "sha": self.commit,
                "private": False,
                "gated": "manual" if (folder / ".gated").exists() else False,
                "siblings": [{"rfilename": entry["path"]} for entry in _tree(tree) if "size" in entry],
            }
        elif what == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() == "true"
            found = _tree(tree, "/".join(parts[5:]), recursive=recursive)
        elif what == "paths-info":
            found = [entry for entry in _tree(tree) if entry["path"] in form.get("paths", [])]
        else:
            raise _Refused(404, "EntryNotFound")
        self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _file(self, parts: list[str]) -> None:
        """``[datasets/]ORG/NAME/resolve/REVISION/PATH``."""
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        if len(parts) < 5 or parts[2] != "resolve":
            raise _Refused(404, "EntryNotFound")
        folder = self._repository(kind, "/".join(parts[:2]))
        tree = self._at(folder, parts[3])
        if (folder / ".gated").exists() and self._token() != GRANTED_TOKEN:
            raise _Refused(403 if self._token() else 401, "GatedRepo")
        path = "/".join(parts[4:])
        entry = next((entry for entry in _tree(tree) if entry["path"] == path and "size" in entry), None)
        if entry is None:
            raise _Refused(404, "EntryNotFound")
        self._send(200, (tree / path).read_bytes(), {"ETag": f'"{entry["oid"]}"'})

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _repository(self, kind: str, name: str) -> Path:
        folder = self.hub.root / kind / name
        if kind not in ("datasets", "models") or name.count("/") != 1 or not folder.is_dir():
            # The real one says 401 to the nameless, lest they learn what is private.
            raise _Refused(404 if self._token() else 401, "RepoNotFound")
        return folder

    def _at(self, folder: Path, revision: str) -> Path:
        """The folder of a branch, by its name or its commit."""
        branches = {"main": folder} | {path.name: path for path in folder.glob(".at/*")}
        for name, tree in branches.items():
            commit = _digest(*(entry["oid"] for entry in _tree(tree)))
            if revision.replace("/", "--") in (name, commit):
                self.commit = commit
                return tree
        raise _Refused(404, "RevisionNotFound")

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Answer with ``body``, or with the part of it that a ``Range`` asks for; its length alone to HEAD."""
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if status == 200 and first:
            headers["Content-Range"] = f"bytes {first}-{last or len(body) - 1}/{len(body)}"
            status, body = 206, body[int(first) : int(last) + 1 if last else None]
        self.send_response(status)
        if self.commit:
            headers["X-Repo-Commit"] = self.commit
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _tree(folder: Path, inside: str = "", *, recursive: bool = True) -> list[dict[str, Any]]:
    """The files and folders of a repository below ``inside``, as the Hub lists them."""
    start = folder / inside
    if not start.is_dir():
        raise _Refused(404, "EntryNotFound")
    entries: list[dict[str, Any]] = []
    for path in sorted(start.rglob("*") if recursive else start.iterdir()):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if path.is_dir():
            entries.append({"type": "directory", "path": name, "oid": _digest(name)})
        else:
            found = path.stat()
            oid = _digest(name, str(found.st_size), str(found.st_mtime_ns))
            entries.append({"type": "file", "path": name, "oid": oid, "size": found.st_size})
    return entries


def _digest(*words: str) -> str:
    """Forty hex digits, as git's are."""
    return hashlib.sha1("\n".join(words).encode()).hexdigest()
