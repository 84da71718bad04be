"""The static instrument in Firefox, with the network cut."""

from __future__ import annotations

from pathlib import Path

from firefox import firefox, running_firefox
from gansynth.model.synth import Synth
from static_site import running_static

pytest_plugins = ["site_fixtures"]

READY = 'document.querySelector("#ready").textContent === "all keys ready"'


def test_it_plays_with_the_network_cut(small: tuple[Path, Synth], tmp_path: Path) -> None:
    firefox()
    with running_static(small[0]) as server, running_firefox(tmp_path) as page:
        page.open(server.address)
        page.until(READY)
        page.until("navigator.serviceWorker.controller !== null")
        server.go()
        try:
            page.open(server.address)
            page.until(READY)
            assert page.run("return crossOriginIsolated;")
            page.act("key", {"type": "keyDown", "value": "a"})
            page.until("[...m.player.voices][0]?.pitch === 60")
            samples = "[...m.player.voices][0].buffer.getChannelData(0)"
            assert page.run(f"return {samples}.some((one) => Math.abs(one) > 0.5);")
            page.act("key", {"type": "keyUp", "value": "a"})
            page.run("document.querySelector('#new').click();")
            page.until("document.querySelector('#name').value === 'sound 6'")
            page.until(READY)
        finally:
            server.come()
        assert page.complaints == []
