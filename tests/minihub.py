"""A Hub in memory, on this machine alone: as much of its HTTP as huggingface_hub needs to push and to load.

    python tests/minihub.py      prints its address, and serves until it is ended

Set HF_ENDPOINT to the address and HF_HUB_DISABLE_XET=1 before huggingface_hub is imported: in a separate process.
"""

import base64
import hashlib
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPOSITORIES: dict[tuple[str, str], dict] = {}  # (kind, id) -> private, commits; a commit is sha and files
LARGE_FILES: dict[str, bytes] = {}
LARGE_ENDINGS = ("safetensors", "bin", "parquet", "png", "jpg", "gz")
API = re.compile(
    r"/api/(model|dataset|space)s/([^/]+/[^/]+?)(?:/(preupload|commit|revision|tree|paths-info|refs|variables|settings)(?:/(.*))?)?"
)
HOLD, HELD = threading.Event(), threading.Event()  # for tests that kill a push: uploads of large files hang
# For tests of refusals, by a pattern of "METHOD /path": status, or 0 if the connection breaks; error code; message.
REFUSALS: dict[str, tuple[int, str, str]] = {}
KIND = r"/(?:(dataset|space)s/)?([^/]+/[^/]+)"


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, code: int, value=None, headers: dict | None = None, data: bytes | None = None) -> None:
        data = json.dumps({} if value is None else value).encode() if data is None else data
        self.send_response(code)
        fields = {"Content-Type": "application/json", "Content-Length": len(data), **(headers or {})}
        for name, field in fields.items():
            self.send_header(name, str(field))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, code: str, text: str) -> None:
        self.answer(404, {"error": text}, {"X-Error-Code": code, "X-Error-Message": text})

    def serve(self) -> None:
        body = self.read_body()
        url = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        base = f"http://{self.headers['Host']}"
        refusal = next((REFUSALS[key] for key in REFUSALS if re.search(key, f"{self.command} {path}")), None)
        if path == "/test/refuse":  # with a path as above, or nothing any more
            if "path" in query:
                status, code, message = (query.get(name, [""])[0] for name in ("status", "code", "message"))
                REFUSALS[query["path"][0]] = int(status), code, message
            else:
                REFUSALS.clear()
            self.answer(200)
        elif refusal and not refusal[0]:
            self.close_connection = True
        elif refusal:
            status, code, message = refusal
            self.answer(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})
        elif path == "/api/whoami-v2":
            token = {"accessToken": {"displayName": "t", "role": "write"}}
            self.answer(200, {"type": "user", "name": "me", "fullname": "me", "orgs": [], "auth": token})
        elif path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(body), base)
        elif found := re.fullmatch(KIND + r"\.git/info/lfs/objects/batch", path):
            actions = {"upload": {"href": f"{base}/large"}}
            objects = json.loads(body)["objects"]
            objects = [o if o["oid"] in LARGE_FILES else {**o, "actions": actions} for o in objects]
            self.answer(
                200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"}
            )
        elif path == "/test/hold":
            HOLD.set()
            self.answer(200, HELD.wait(float(query["seconds"][0])) if "seconds" in query else None)
        elif path == "/test/release":
            HOLD.clear()
            self.answer(200)
        elif path == "/test/state":
            state = {
                f"{kind}/{repo_id}": {
                    "private": repository["private"],
                    "commits": [commit["sha"] for commit in repository["commits"]],
                    "files": sorted(repository["commits"][-1]["files"]),
                    "variables": repository.get("variables", {}),
                    "hardware": repository.get("hardware"),
                }
                for (kind, repo_id), repository in REPOSITORIES.items()
            }
            self.answer(200, state)
        elif path == "/large" and HOLD.is_set():
            HELD.set()
            self.close_connection = True
            threading.Event().wait(60)
        elif path == "/large":
            LARGE_FILES[hashlib.sha256(body).hexdigest()] = body
            self.answer(200)
        elif found := API.fullmatch(path):
            self.api(*found.groups(), body, query)
        elif found := re.fullmatch(KIND + r"/resolve/([^/]+)/(.*)", path):
            self.resolve(found[1] or "model", *found.groups()[1:])
        else:
            self.answer(404, {"error": f"no such route: {path}"})

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = serve  # noqa: N815 -- http.server's names

    def create(self, wish: dict, base: str) -> None:
        kind = wish.get("type", "model")
        repo_id = f"{wish.get('organization') or 'me'}/{wish['name']}"
        url = f"{base}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in REPOSITORIES:
            self.answer(409, {"error": "You already created this repo", "url": url})
            return
        if not self.known():
            self.answer(401, {"error": "Invalid username or password."})
            return
        private = wish.get("visibility") == "private" or bool(wish.get("private"))
        commits = [{"sha": "0" * 40, "files": {}}]
        REPOSITORIES[kind, repo_id] = {"private": private, "commits": commits, "hardware": wish.get("hardware")}
        self.answer(200, {"url": url, "name": repo_id, "id": "x"})

    def known(self) -> bool:
        """Whether a request comes with a token."""
        return self.headers.get("Authorization", "").startswith("Bearer ")

    def commit_of(self, kind: str, repo_id: str, revision: str) -> dict | None:
        """The commit, or None, when the error has been sent."""
        repository = REPOSITORIES.get((kind, repo_id))
        if repository is None or (repository["private"] and not self.known()):
            code = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self.answer(404 if self.known() else 401, {"error": "Repository not found"}, code)
            return None
        if revision in ("", "main", "refs/heads/main"):
            return repository["commits"][-1]
        found = [commit for commit in repository["commits"] if commit["sha"] == revision]
        if not found:
            self.missing("RevisionNotFound", f"Invalid rev id: {revision}")
        return found[0] if found else None

    def api(self, kind: str, repo_id: str, verb: str | None, rest: str | None, body: bytes, query: dict) -> None:
        revision, _, below = (rest or "").partition("/")
        commit = self.commit_of(kind, repo_id, revision)
        if commit is None:
            return
        if verb == "preupload":
            files = [
                {"path": f["path"], "shouldIgnore": False, "oid": None, "uploadMode": upload_mode(f)}
                for f in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})
        elif verb == "commit":
            self.commit(kind, repo_id, body)
        elif verb == "variables":
            variable = json.loads(body)
            variables = REPOSITORIES[kind, repo_id].setdefault("variables", {})
            variables[variable["key"]] = variable["value"]
            self.answer(200, {key: {"key": key, "value": value} for key, value in variables.items()})
        elif verb == "settings":
            REPOSITORIES[kind, repo_id].update(json.loads(body))
            self.answer(200)
        elif verb == "tree":
            entries = tree(commit["files"], below, query.get("recursive", ["false"])[0].lower() in ("true", "1"))
            self.answer(200, entries) if entries or not below else self.missing("EntryNotFound", "not found")
        elif verb == "paths-info":
            json_body = "json" in self.headers.get("Content-Type", "")
            paths = json.loads(body)["paths"] if json_body else urllib.parse.parse_qs(body.decode()).get("paths", [])
            self.answer(200, [entry(p, commit["files"][p]) for p in paths if p in commit["files"]])
        elif verb == "refs":
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit["sha"]}
            self.answer(200, {"branches": [branch], "converts": [], "tags": [], "pullRequests": []})
        else:
            siblings = [{"rfilename": path} for path in commit["files"]]
            private, gated = (REPOSITORIES[kind, repo_id].get(name, False) for name in ("private", "gated"))
            dates = dict.fromkeys(("lastModified", "createdAt"), "2026-01-01T00:00:00.000Z")
            names = {"_id": "0" * 24, "id": repo_id, "modelId": repo_id, "author": repo_id.split("/")[0]}
            numbers = {"gated": gated, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
            self.answer(200, names | dates | numbers | {"sha": commit["sha"], "private": private, "siblings": siblings})

    def commit(self, kind: str, repo_id: str, body: bytes) -> None:
        repository = REPOSITORIES[kind, repo_id]
        files = dict(repository["commits"][-1]["files"])
        for line in body.splitlines():
            change = json.loads(line)
            value = change["value"]
            if change["key"] == "file":
                data = base64.b64decode(value["content"])
                files[value["path"]] = {"data": data, "oid": blob_id(data)}
            elif change["key"] == "lfsFile":
                data = LARGE_FILES[value["oid"]]
                files[value["path"]] = {"data": data, "oid": blob_id(value["oid"].encode()), "large": value["oid"]}
            elif change["key"] == "deletedFile":
                files.pop(value["path"], None)
        sha = hashlib.sha1(body + repository["commits"][-1]["sha"].encode()).hexdigest()
        repository["commits"].append({"sha": sha, "files": files})
        page = f"http://{self.headers['Host']}/{'' if kind == 'model' else kind + 's/'}{repo_id}/commit/{sha}"
        self.answer(200, {"success": True, "commitOid": sha, "commitUrl": page, "hookOutput": ""})

    def resolve(self, kind: str, repo_id: str, revision: str, path: str) -> None:
        commit = self.commit_of(kind, repo_id, revision)
        if commit is None:
            return
        file = commit["files"].get(path)
        if file is None:
            self.missing("EntryNotFound", "Entry not found")
            return
        data, code = file["data"], 200
        headers = {"X-Repo-Commit": commit["sha"], "ETag": f'"{file.get("large", file["oid"])}"'}
        if "large" in file:
            headers |= {"X-Linked-Etag": f'"{file["large"]}"', "X-Linked-Size": len(data)}
        if wanted := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data, code = data[start : end + 1], 206
        self.answer(code, headers=headers, data=data)


def upload_mode(file: dict) -> str:
    large = b"\0" in base64.b64decode(file["sample"]) or file["path"].endswith(LARGE_ENDINGS)
    return "lfs" if large else "regular"


def entry(path: str, file: dict) -> dict:
    size = len(file["data"])
    large = {"lfs": {"oid": file["large"], "size": size, "pointerSize": 130}} if "large" in file else {}
    return {"type": "file", "oid": file["oid"], "size": size, "path": path, **large}


def tree(files: dict, below: str, recursive: bool) -> list[dict]:
    prefix = below.rstrip("/") + "/" if below else ""
    folders, found = {}, []
    for path, file in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            folder = prefix + "/".join(parts[:depth])
            folders[folder] = {"type": "directory", "oid": blob_id(folder.encode()), "size": 0, "path": folder}
        if recursive or len(parts) == 1:
            found.append(entry(path, file))
    return [*folders.values(), *found]


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
