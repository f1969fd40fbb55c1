"""The real command with LB_AUDIT=blob against Azurite, Microsoft's emulator of Azure Storage: `make exam-audit`.

Records are written, Azurite is ended and started again while requests go on, and all that was not counted as dropped is
there in the end, once.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError
from azure.storage.blob.aio import ContainerClient

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parents[1])]

from balancer import Balancer, backends

from lb.sim import Simulator

PORT = 10100
NAME = "devstoreaccount1"
SECRET = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of everybody's Azurite: Microsoft publishes it."""
URL = f"http://127.0.0.1:{PORT}/{NAME}/audit"
KEY = f"DefaultEndpointsProtocol=http;AccountName={NAME};AccountKey={SECRET}"


class Azurite:
    """Keeps what it was given in `place`, also while it is not running."""

    def __init__(self, place: str) -> None:
        program = HERE / "node_modules/azurite/dist/src/blob/main.js"
        options = [
            "--silent",
            "--blobPort",
            str(PORT),
            "--location",
            place,
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ]
        self._command = [shutil.which("node") or "node", str(program), *options]
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Azurite":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._running = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603 - of this folder

    def stop(self) -> None:
        if self._running is not None:
            self._running.terminate()
            self._running.wait(20)
            self._running = None


async def container() -> ContainerClient:
    client = ContainerClient.from_container_url(URL, credential={"account_name": NAME, "account_key": SECRET})
    async with asyncio.timeout(30):
        while True:
            try:
                if not await client.exists():
                    await client.create_container()
                return client
            except AzureError:
                await asyncio.sleep(0.2)


async def ask(balancer: Balancer, first: int, count: int) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(first, first + count):
            asked = {"model": "chat", "messages": [{"role": "user", "content": f"question {number}"}], "stream": True}
            async with session.post(f"{balancer.url}/openai/v1/chat/completions", json=asked) as reply:
                assert reply.status == 200
                await reply.read()


async def main() -> None:
    settings = {"LB_AUDIT": "blob", "LB_AUDIT_URL": URL, "LB_AUDIT_CONNECTION_STRING": KEY}
    with tempfile.TemporaryDirectory() as place, Azurite(place) as azurite:
        await (await container()).close()
        async with Simulator() as simulator, Balancer(**backends(simulator, **settings)) as balancer:
            await ask(balancer, 0, 50)
            await asyncio.sleep(2)
            azurite.stop()
            await ask(balancer, 50, 50)
            line = await balancer.line(lambda line: line["event"].startswith("Audit records cannot be written"), 60)
            print(f"{line['event']}: {line['reason'][:80]}")
            azurite.start()
            await balancer.line(lambda line: line["event"] == "Audit records are written again", 90)
            print("Audit records are written again")
            await ask(balancer, 100, 50)
        records = await found()
    questions = sorted(int(record["prompt"][0]["content"].split()[1]) for record in records)
    print(f"{len(records)} records of {len(set(questions))} requests")
    if questions != list(range(150)):
        sys.exit("not each of the 150 requests is there once")


async def found() -> list[dict[str, Any]]:
    client = await container()
    records = []
    async for blob in client.list_blobs():
        content = await (await client.download_blob(blob.name)).readall()
        print(f"{blob.name}: {blob.blob_type}, {len(content)} bytes")
        records += [json.loads(line) for line in content.splitlines()]
    await client.close()
    return records


asyncio.run(main())
