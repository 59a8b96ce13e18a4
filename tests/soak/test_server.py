"""Who can reach the app: this machine only, under its own names, with the guards against other pages on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from core import paths
from tests.conftest import eventually


def test_the_settings_that_ship_are_the_safe_ones() -> None:
    with (paths.PROJECT / ".streamlit" / "config.toml").open("rb") as file:
        settings = tomllib.load(file)
    server = settings["server"]
    assert server["address"] == "127.0.0.1"
    assert server["enableXsrfProtection"] is True and server["enableCORS"] is True
    assert set(server["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert server["maxUploadSize"] == 320
    assert settings["browser"]["gatherUsageStats"] is False


def test_the_app_listens_on_loopback_only(cache: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=paths.PROJECT,
        env=os.environ | {"EARSHOT_CACHE": str(cache)},
    )

    def asked(headers: dict[str, str], method: str = "GET", path: str = "_stcore/health") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, str(answer.headers.get("Access-Control-Allow-Origin"))
        except urllib.error.HTTPError as error:
            return error.code, str(error.headers.get("Access-Control-Allow-Origin"))
        except OSError:
            return 0, ""

    try:
        eventually(lambda: asked({})[0] == 200)
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(process.pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        ]
        assert set(listening) == {"127.0.0.1"}
        assert asked({"Origin": "https://evil.example"})[1] in ("None", f"http://127.0.0.1:{port}")
        upload = "_stcore/upload_file/0/0"  # without the cookie's token nobody may upload
        # 403 is that guard's answer; without it this address is 400, for want of such a session
        assert asked({"Content-Type": "text/plain"}, "PUT", upload)[0] == 403
    finally:
        process.kill()
        process.wait()
