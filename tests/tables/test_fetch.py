"""Downloads of official files: whole or not at all, from a server on this machine."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import pytest

from foretell.cli import main
from foretell.errors import ForetellError
from foretell.tables import IMPORTERS
from foretell.tables.fetch import fetch, official, record_of
from foretell.tables.official import BY_HAND, OFFICIAL, Official
from tests.support.paths import DOCS

CONTENT = bytes(range(256)) * 10_000


@dataclass
class Server:
    """What the server has, and what it was asked."""

    content: bytes = CONTENT
    tag: str = '"one"'
    cut: int | None = None
    """The number of bytes after which the connection breaks."""
    status: int = 200
    ranges: list[str] = field(default_factory=list)
    address: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range", "")
        self.ranges.append(asked)
        if request.headers.get("If-Range", self.tag) != self.tag:
            asked = ""
        start = int(re.sub(r"\D", "", asked) or 0)
        if start >= len(self.content) and asked:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.send_header("Content-Length", "0")
            return request.end_headers()
        request.send_response(206 if asked else self.status)
        request.send_header("Content-Length", str(len(self.content) - start))
        if asked:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if self.tag:
            request.send_header("ETag", self.tag)
        request.end_headers()
        request.wfile.write(self.content[start : self.cut])
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the loopback interface."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}/files/table.zip"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def file_of(server: Server, content: bytes | None = None) -> Official:
    """The file on the server; with content, its authors publish the checksum of this content."""
    digest = "" if content is None else hashlib.sha256(content).hexdigest()
    return Official(
        server.address, "https://example.org", "foretell data import nlp FILE", "2 MB", digest
    )


def left(folder: Path) -> set[str]:
    """The files in the folder, without the lock."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_is_whole_and_verified(server: Server, tmp_path: Path) -> None:
    events: list[int] = []
    wanted = file_of(server, CONTENT)
    path, digest = fetch(wanted, tmp_path / "new", lambda event: events.append(event.done))
    assert path.read_bytes() == CONTENT
    assert digest == wanted.sha256
    assert left(path.parent) == {"table.zip"}
    assert events[-1] == 3
    assert fetch(wanted, tmp_path / "new") == (path, digest)
    assert server.ranges == [""]  # the second call asked for nothing


@pytest.mark.parametrize("published", [True, False])
def test_an_interrupted_download_is_continued(
    server: Server, tmp_path: Path, published: bool
) -> None:
    wanted, server.cut = file_of(server, CONTENT if published else None), 1_500_000
    with pytest.raises(ForetellError, match="the same command continues"):
        fetch(wanted, tmp_path)
    assert left(tmp_path) == {"table.zip.part", "table.zip.part.json"}
    server.cut = None
    path, _ = fetch(wanted, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=1500000-"]
    assert left(tmp_path) - {"table.zip.sha256"} == {"table.zip"}


@pytest.mark.parametrize("tag", ['"two"', "", 'W/"weak"'])
def test_two_versions_are_never_mixed(server: Server, tmp_path: Path, tag: str) -> None:
    """Nor if the server does not say which version it has."""
    server.cut, server.tag = 1_500_000, '"one"' if tag == '"two"' else tag
    with pytest.raises(ForetellError):
        fetch(file_of(server), tmp_path)
    server.cut, server.tag, server.content = None, tag, CONTENT[::-1]
    path, _ = fetch(file_of(server), tmp_path)
    assert path.read_bytes() == CONTENT[::-1]


def test_a_complete_download_that_was_not_renamed_is_used(server: Server, tmp_path: Path) -> None:
    """As after a kill between the last byte and the renaming."""
    server.cut = 1_500_000
    with pytest.raises(ForetellError):
        fetch(file_of(server), tmp_path)
    server.cut = None
    (tmp_path / "table.zip.part").write_bytes(CONTENT)
    path, _ = fetch(file_of(server), tmp_path)
    assert path.read_bytes() == CONTENT


def test_another_file_than_the_published_one_is_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match=r"but https://example.org says .* it was deleted"):
        fetch(file_of(server, b"other"), tmp_path)
    assert left(tmp_path) == set()


def test_without_a_published_checksum_the_first_file_counts(server: Server, tmp_path: Path) -> None:
    path, digest = fetch(file_of(server), tmp_path)
    assert record_of(path).read_text() == f"{digest}  table.zip\n"
    path.unlink()
    server.content = b"other"
    with pytest.raises(ForetellError, match=r"downloaded first had .*\.sha256 to accept"):
        fetch(file_of(server), tmp_path)
    assert left(tmp_path) == {"table.zip.sha256"}
    record_of(path).unlink()
    assert fetch(file_of(server), tmp_path)[0].read_bytes() == b"other"


def test_a_damaged_file_is_not_accepted(server: Server, tmp_path: Path) -> None:
    path, _ = fetch(file_of(server, CONTENT), tmp_path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ForetellError, match=r"delete .* and download it again"):
        fetch(file_of(server, CONTENT), tmp_path)
    assert path.exists()


def test_failures_are_told_in_one_line(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(ForetellError, match="HTTP 404"):
        fetch(file_of(server), tmp_path)
    nowhere = replace(file_of(server), address="http://127.0.0.1:9/table.zip")
    with pytest.raises(ForetellError, match=r"cannot be downloaded .*refused"):
        fetch(nowhere, tmp_path)
    assert left(tmp_path) == set()
    (tmp_path / "file").touch()
    with pytest.raises(ForetellError, match="choose another --to folder"):
        fetch(nowhere, tmp_path / "file" / "below")
    with (
        filelock.FileLock(tmp_path / ".table.zip.lock"),
        pytest.raises(ForetellError, match="another process is downloading"),
    ):
        fetch(file_of(server), tmp_path)


def test_nothing_is_asked_of_a_server_without_consent(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path))
    monkeypatch.setitem(OFFICIAL, "nlp", file_of(server))  # type: ignore[misc]
    assert main(["data", "fetch", "nlp"]) == 2
    said = capsys.readouterr().err
    assert server.address in said
    assert "--yes" in said
    assert (server.ranges, list(tmp_path.iterdir())) == ([], [])
    assert main(["data", "fetch", "nlp", "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"foretell data import nlp {tmp_path}/downloads/table.zip" in said
    assert hashlib.sha256(CONTENT).hexdigest() in said


@pytest.mark.parametrize(
    ("name", "said"),
    [("nb102", "did you mean 'nb101'"), ("nats-tss", "cannot be downloaded by a program")],
)
def test_other_names_are_refused(name: str, said: str) -> None:
    with pytest.raises(ForetellError, match=said):
        official(name)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_files_are_documented_and_can_be_imported(name: str) -> None:
    one, page = OFFICIAL[name], (DOCS / "tables.md").read_text()
    assert one.address.startswith("https://")
    assert re.fullmatch("|[0-9a-f]{64}", one.sha256)
    source = re.search(r"data import (\S+)", one.then)
    assert source
    assert source[1] in IMPORTERS
    row = next(line for line in page.splitlines() if f"`foretell data fetch {name}`" in line)
    assert one.address in row
    assert one.size in row or one.size == "unknown"


def test_what_is_downloaded_by_hand_is_documented() -> None:
    page = (DOCS / "tables.md").read_text()
    assert all(f"]({address})" in page for address in BY_HAND.values())
