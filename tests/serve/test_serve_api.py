"""The HTTP interface: what it answers, and how it refuses."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from gansynth import load
from gansynth.model.synth import Synth
from gansynth.performance.instrument import Instrument
from gansynth.performance.perform import perform
from gansynth.performance.recording import parse_recording
from gansynth.serve import bodies
from gansynth.serve.app import create_app
from gansynth.serve.latents import decode_latent, encode_latent
from gansynth.serve.operations import Operations
from gansynth.serve.renders import download_stem
from gansynth.serve.routes import make_schema

SONG = [(60, 0, 0.5), (64, 0.25, 1.0), (100, 1.0, 1.2)]


@pytest.fixture(scope="module")
def synth(tiny_model: Path) -> Synth:
    return load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def app(synth: Synth, tiny_model: Path) -> Starlette:
    return create_app(synth, str(tiny_model), measure=False, hosts=("testserver",))


@pytest.fixture(scope="module")
def client(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app) as it:
        yield it


@pytest.fixture(scope="module")
def latents(synth: Synth) -> list[str]:
    return [encode_latent(latent) for latent in synth.sample_latents(4, seed=8)]


def lines(client: TestClient, path: str, **request: Any) -> list[dict[str, Any]]:
    response = client.post(path, **request)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def error_of(response: Any, status: int = 400) -> str:
    assert response.status_code == status, response.text
    (words,) = response.json().values()
    return str(words)


# --- what can be played ---------------------------------------------------------------------------


def test_a_note_is_the_synths_at_its_own_peak(
    client: TestClient, synth: Synth, latents: list[str]
) -> None:
    response = client.get(f"/api/notes/{latents[0]}/60")
    assert response.headers["content-type"] == "audio/flac"
    heard, rate = soundfile.read(io.BytesIO(response.content))
    wave = synth.notes(decode_latent(latents[0], synth.latent_size), 60)[0]
    assert rate == synth.sample_rate
    np.testing.assert_allclose(heard, 0.999 * wave / np.abs(wave).max(), atol=1e-4)


def test_a_held_note_begins_as_the_note_and_is_longer(
    client: TestClient, latents: list[str]
) -> None:
    short, rate = soundfile.read(io.BytesIO(client.get(f"/api/notes/{latents[0]}/60").content))
    answer = client.get(f"/api/notes/{latents[0]}/60?seconds=8")
    long, _ = soundfile.read(io.BytesIO(answer.content))
    assert len(long) == pytest.approx(len(short) + 5 * rate, abs=rate / 10)
    np.testing.assert_allclose(long[: 2 * rate], short[: 2 * rate], atol=1e-4)


def test_a_note_is_struck_at_the_nearest_velocity_that_the_model_knows() -> None:
    from frames_model import made

    struck = Synth(replace(made(), velocities=(32, 100)), "cpu")
    latent = encode_latent(struck.sample_latents(1, seed=8)[0])
    with TestClient(create_app(struck, None, measure=False)) as other:
        assert other.get("/api/model").json()["velocities"] == [32, 100]
        answers = {
            velocity: other.get(f"/api/notes/{latent}/60?velocity={velocity}").content
            for velocity in (1, 32, 65, 70, 127)
        }
        usual = other.get(f"/api/notes/{latent}/60").content
        refused = other.get(f"/api/notes/{latent}/60?velocity=0")
    assert answers[1] == answers[32] == answers[65] != answers[70] == answers[127] == usual
    assert error_of(refused) == "velocity='0': must be a number from 1 to 127."
    heard, _ = soundfile.read(io.BytesIO(answers[32]))
    wave = struck.notes(decode_latent(latent, struck.latent_size), 60, 32)[0]
    np.testing.assert_allclose(heard, 0.999 * wave / np.abs(wave).max(), atol=1e-4)


def test_a_model_without_velocities_plays_all_alike(client: TestClient, latents: list[str]) -> None:
    assert client.get("/api/model").json()["velocities"] == []
    path = f"/api/notes/{latents[0]}/60"
    assert client.get(f"{path}?velocity=20").content == client.get(path).content


def test_a_rainbowgram_is_a_picture(client: TestClient, latents: list[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    response = client.get(f"/api/rainbowgrams/{latents[0]}/60")
    picture = np.asarray(image.open(io.BytesIO(response.content)))
    assert picture.shape[1] > 300
    assert picture.shape[2] == 3
    assert picture.max() > 150


def test_the_model_says_what_it_plays(client: TestClient, synth: Synth) -> None:
    model = client.get("/api/model").json()
    assert model["name"] == "tiny.safetensors"
    assert model["pitches"] == list(synth.pitches)
    assert model["note_seconds"] == 4.0
    assert model["sha256"] == synth.model.digest()


# --- finding --------------------------------------------------------------------------------------


def test_new_instruments_are_new_each_time(client: TestClient, synth: Synth) -> None:
    found = [
        client.post("/api/instruments/random", json={"count": 3}).json()["latents"] for _ in "ab"
    ]
    assert len({*found[0], *found[1]}) == 6
    assert decode_latent(found[0][0], synth.latent_size).std() == pytest.approx(1, abs=0.6)


def test_new_instruments_of_a_family(client: TestClient) -> None:
    from frames_model import FAMILIES, made

    path = "/api/instruments/of-family"
    with TestClient(create_app(Synth(made(), "cpu"), None, measure=False)) as other:
        assert other.get("/api/model").json()["families"] == list(FAMILIES)
        found = other.post(path, json={"family": "brass", "count": 3}).json()["latents"]
        assert len(set(found)) == 3
        refused = other.post(path, json={"family": "bras", "count": 1})
        assert refused.status_code == 400
        assert "must be one of brass, organ." in refused.json()["error"]
    assert client.get("/api/model").json()["families"] == []
    refused = client.post(path, json={"family": "brass", "count": 1})
    assert (refused.status_code, refused.json()["error"]) == (
        400, "family='brass': the model was trained without families; leave it out."
    )  # fmt: skip


def test_near_and_between(client: TestClient, latents: list[str]) -> None:
    near = client.post(
        "/api/instruments/near", json={"latent": latents[0], "distance": 0, "count": 1}
    )
    assert near.json()["latents"] == latents[:1]
    place = {"corners": latents, "x": 1, "y": 0}
    found = client.post("/api/instruments/between", json=place).json()["latents"]
    np.testing.assert_allclose(
        decode_latent(found[0], 16), decode_latent(latents[1], 16), rtol=1e-5
    )


def test_without_directions_there_are_no_sliders(client: TestClient, latents: list[str]) -> None:
    assert client.get("/api/directions").json() == {
        "state": "off", "progress": 0.0, "directions": []
    }  # fmt: skip
    still = client.post("/api/instruments/along", json={"latent": latents[0], "positions": {}})
    assert still.json()["latents"] == latents[:1]
    body = {"latent": latents[0], "positions": {"brightness": 1}}
    assert "sliders are: none yet" in error_of(client.post("/api/instruments/along", json=body))


# --- keeping --------------------------------------------------------------------------------------


def test_an_instrument_goes_out_and_comes_back(
    client: TestClient, synth: Synth, latents: list[str], tiny_model: Path
) -> None:
    response = client.get(f"/api/sidecars/{latents[0]}", params={"name": "Gläser/2"})
    assert "Gl%C3%A4ser_2.json" in response.headers["content-disposition"]
    recording = parse_recording(response.json(), "file")
    assert recording.model_path == "tiny.safetensors"  # not where it lies on the server
    assert str(tiny_model.parent) not in response.text
    assert recording.model_sha256 == synth.model.digest()
    back = client.post("/api/sidecars", json=response.json()).json()
    assert back == {
        "instruments": [{"name": "Gläser/2", "latent": latents[0]}],
        "other_model": False,
    }


def test_an_instrument_of_another_model_is_marked(client: TestClient, synth: Synth) -> None:
    foreign = Instrument("far", synth.sample_latents(1)[0], "/elsewhere", "0" * 64)
    assert client.post("/api/sidecars", json=foreign.to_dict()).json()["other_model"] is True


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"kind": "instrument"', "body: isn't JSON"),
        ("[" * 100_000, "body: isn't JSON"),
        ("[]", "is no sidecar"),
        ('"../../etc/passwd"', "is no sidecar"),
        ('{"latents": [[1, 2]], "pitches": [], "model": {"path": "/etc/passwd", "sha256": ""}, '
         '"kind": "instrument"}', "has 2 numbers, the model's latents have 16"),
        ('{"latents": [[NaN]], "pitches": [], "model": {"path": "", "sha256": ""}, '
         '"kind": "instrument"}', "hold NaN or infinite values"),
        ('{"latents": [], "pitches": [], "model": {"path": "", "sha256": ""}, "kind": "x"}',
         r"latents have shape \(0,\)"),
        (json.dumps({"latents": [[0.0] * 16] * 200, "pitches": [], "kind": "clip",
                     "model": {"path": "", "sha256": ""}}), "has 200 instruments"),
    ],
)  # fmt: skip
def test_hostile_instruments(client: TestClient, body: str, words: str) -> None:
    response = client.post(
        "/api/sidecars", content=body, headers={"content-type": "application/json"}
    )
    assert re.search(words, error_of(response))


# --- rendering ------------------------------------------------------------------------------------


def test_a_midi_file_becomes_the_clip_that_generate_makes(
    client: TestClient, synth: Synth, latents: list[str], make_midi: Any
) -> None:
    path = make_midi(SONG, name="song.mid")
    *before, last = lines(
        client,
        "/api/renders",
        params={"latent": latents, "arrangement": "spaced", "name": "My Song.mid"},
        content=path.read_bytes(),
    )
    shares = [line["progress"] for line in before]
    assert shares == sorted(shares)
    done = last["done"]
    assert done["summary"].startswith("3 notes")
    assert [file["name"] for file in done["files"]] == ["My Song.wav", "My Song.flac"]
    z = np.stack([decode_latent(latent, 16) for latent in latents])
    expected = perform(path, synth, latents=z)
    for file, tolerance in zip(done["files"], (1e-6, 1e-4), strict=True):
        answer = client.get(f"/{file['url']}")
        assert quote(file["name"]) in answer.headers["content-disposition"]
        heard, _ = soundfile.read(io.BytesIO(answer.content), dtype="float32")
        np.testing.assert_allclose(heard, expected, atol=tolerance)


def test_tracks_share_the_instruments_there_are(
    client: TestClient, latents: list[str], make_midi: Any
) -> None:
    path = make_midi([(60, 0, 0.1)], [(62, 0, 0.1)], [(64, 0, 0.1)])
    *_, last = lines(
        client,
        "/api/renders",
        params={"latent": latents[:2], "arrangement": "per-track"},
        content=path.read_bytes(),
    )
    assert "3 notes" in last["done"]["summary"]


@pytest.mark.parametrize(
    ("data", "params", "words"),
    [
        (b"", {}, "midi='clip.mid': not a MIDI file, it is empty"),
        (b"RIFF" * 50, {"name": "../x.mid"}, "midi='../x.mid': not a MIDI file"),
        (b"MThd\0\0\0\6\0\0\0\1\0\x60", {}, "midi='clip.mid': "),
        (b"MThd", {"arrangement": "all"}, "arrangement='all': must be one of"),
        (b"MThd", {"latent": ["xyz"]}, "latent='xyz'…"),
        (b"MThd", {"latent": []}, "latent: 0 given; give 1 to 16."),
    ],
)
def test_a_broken_midi_upload(
    client: TestClient, latents: list[str], data: bytes, params: dict[str, Any], words: str
) -> None:
    answer = client.post("/api/renders", params={"latent": latents[0], **params}, content=data)
    assert words in error_of(answer)
    assert "/tmp" not in answer.text


def test_a_piece_that_is_too_long(client: TestClient, latents: list[str], make_midi: Any) -> None:
    data = make_midi([(60, 0, 1), (60, 3600, 3601)]).read_bytes()
    answer = client.post("/api/renders", params={"latent": latents[0]}, content=data)
    assert "the page plays up to 20000 notes in 30 minutes" in error_of(answer)


def test_an_instrument_for_samplers(client: TestClient, latents: list[str]) -> None:
    *_, last = lines(client, "/api/exports", json={"latent": latents[0], "name": "Glass"})
    (file,) = last["done"]["files"]
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{file['url']}").content))
    assert archive.testzip() is None
    text = archive.read("glass/glass.sfz").decode()
    samples = re.findall(r"sample=(\S+)", text)
    assert len(samples) == 61
    assert {f"glass/{name}" for name in samples} <= set(archive.namelist())


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Светлая песня", "Светлая песня"),
        ("渚のアデリーヌ", "渚のアデリーヌ"),
        ("Café/../x", "Café_.._x"),
        ("a:b*c?\n", "a_b_c__"),
        ("CON", "CON-1"),
        (" .. ", "clip"),
        ("é" * 100, "é" * 60),
    ],
)
def test_a_download_has_the_files_own_name(name: str, stem: str) -> None:
    assert download_stem(name) == stem


def test_a_song_of_any_script_comes_back_under_its_name(
    client: TestClient, latents: list[str], make_midi: Any
) -> None:
    song = make_midi([(60, 0, 0.1)]).read_bytes()
    # As in a .rmi file.
    data = b"RIFF" + struct.pack("<I4s4sI", len(song) + 12, b"RMID", b"data", len(song)) + song
    params = {"latent": latents[0], "name": "Песня 1.rmi"}
    *_, last = lines(client, "/api/renders", params=params, content=data)
    file = last["done"]["files"][0]
    assert file["name"] == "Песня 1.wav"
    assert not file["url"].startswith("/")  # right behind a proxy with a path, too
    header = client.get(f"/{file['url']}").headers["content-disposition"]
    assert header == f"attachment; filename*=utf-8''{quote('Песня 1.wav')}"


# --- refusing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/notes/{z}/5", "pitch=5: the model knows 24-84"),
        ("/api/notes/{z}/x", "pitch='x': must be a MIDI pitch"),
        ("/api/notes/{z}/60?seconds=1e9", "seconds='1e9': must be a number from 0.1 to 60"),
        ("/api/notes/{z}/60?seconds=nan", "seconds='nan'"),
        ("/api/notes/{z}/60?ahead=yes", "ahead='yes': must be true or false"),
        ("/api/notes/{z}/60?also=61,5", "also=5: the model knows 24-84"),
        ("/api/notes/short/60", "latent='short'…"),
        ("/api/sidecars/{z}?name=%0a", "name='\\n': must be 1 to 100 characters"),
    ],
)
def test_refusals_in_words(client: TestClient, latents: list[str], path: str, words: str) -> None:
    assert words in error_of(client.get(path.format(z=latents[0])))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "latent: is missing from the body"),
        ([], "body: must be an object with latent, distance, count"),
        ({"latent": 3, "distance": 0, "count": 1}, "latent=3: must be text"),
        ({"latent": "{z}", "distance": 2, "count": 1}, "distance=2: must be a number from 0 to 1"),
        ({"latent": "{z}", "distance": True, "count": 1}, "distance=True"),
        ({"latent": "{z}", "distance": 0, "count": 10**400}, "must be a number from 1 to 16"),
        ({"latent": "{z}", "distance": 0, "count": 1.5}, "count=1.5: must be a whole number"),
        ({"latent": "{z}", "distance": 0, "count": 1, "path": "/etc"}, "'path': is not expected"),
    ],
)
def test_bodies_are_checked(client: TestClient, latents: list[str], body: Any, words: str) -> None:
    text = json.dumps(body).replace("{z}", latents[0])
    answer = client.post(
        "/api/instruments/near", content=text, headers={"content-type": "application/json"}
    )
    assert words in error_of(answer)


def test_a_body_must_say_that_it_is_json(client: TestClient) -> None:
    answer = client.post(
        "/api/instruments/random", content="{}", headers={"content-type": "text/plain"}
    )
    assert error_of(answer, 415) == "content-type: must be application/json."


def test_bodies_are_limited_in_size(client: TestClient, latents: list[str]) -> None:
    too_large = b"x" * ((8 << 20) + 1)
    for content in (too_large, (too_large[i::8] for i in range(8))):  # with a length, and without
        answer = client.post("/api/renders", params={"latent": latents[0]}, content=content)
        assert "body: is larger than 8388608 bytes" in error_of(answer, 413)


def test_a_body_that_never_ends_is_given_up(
    app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anyio

    monkeypatch.setattr(bodies, "PATIENCE", 0.05)
    sent: list[Any] = []
    scope = {
        "type": "http", "method": "POST", "path": "/api/instruments/random", "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"host", b"testserver")],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        await anyio.sleep(10)
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        await app(scope, receive, send)

    anyio.run(ask)
    assert sent[0]["status"] == 408
    assert b"did not come within" in sent[1]["body"]


@pytest.mark.parametrize(
    "path",
    ["/page/../app.py", "/page/%2e%2e%2fapp.py", "/page//etc/passwd", "/etc/passwd",
     "/api/downloads/..%2f..%2fetc%2fpasswd", "/page/%00"],
)  # fmt: skip
def test_no_path_of_a_client_is_opened(client: TestClient, path: str) -> None:
    assert error_of(client.get(path), 404)


def test_pages_of_other_sites_are_turned_away(client: TestClient) -> None:
    other = client.get("/api/model", headers={"sec-fetch-site": "cross-site"})
    assert error_of(other, 403) == "site: only the server's own page may ask this."
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link
    rebound = client.get("/api/model", headers={"host": "evil.example:8000"})
    assert error_of(rebound, 403) == (
        "host='evil.example': this server answers to testserver; if a proxy leads here under "
        "another name, start it with --allow-host evil.example"
    )


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)
    for name in re.findall(r'"(page/[^"]+)"', page.text):
        assert client.get(f"/{name}").status_code == 200


def test_the_schema_describes_every_route(app: Starlette, client: TestClient, synth: Synth) -> None:
    schema = client.get("/openapi.json").json()
    assert schema == make_schema(Operations, synth)
    described = {(path, method) for path, item in schema["paths"].items() for method in item}
    routes = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert described == routes


def test_a_limit_is_described_as_it_is_kept(client: TestClient, latents: list[str]) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    body = paths["/api/instruments/near"]["post"]["requestBody"]["content"]["application/json"]
    most = body["schema"]["properties"]["count"]["maximum"]
    request = {"latent": latents[0], "distance": 0.5, "count": most}
    assert len(client.post("/api/instruments/near", json=request).json()["latents"]) == most
    answer = client.post("/api/instruments/near", json={**request, "count": most + 1})
    assert error_of(answer) == f"count={most + 1}: must be a number from 1 to {most}."


def test_a_failure_is_told_and_the_server_stays_up(
    synth: Synth, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    app = create_app(synth, str(tiny_model), measure=False)
    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr("gansynth.serve.operations.near", fail)
        body = {"latent": encode_latent(synth.sample_latents(1)[0]), "distance": 0, "count": 1}
        words = error_of(client.post("/api/instruments/near", json=body), 500)
        assert words == "the server failed here; its terminal says where."
        assert client.get("/api/model").status_code == 200
