"""A process of its own for measurements: `serve URL [BYTES]` is the application on a free port, `library URL COUNT` the
model alone. Both tell on stdout; `serve` tells its CPU seconds and memory for each line on stdin."""

import asyncio
import json
import socket
import sys
import threading
import time
import warnings

warnings.simplefilter("ignore")


def model(url):
    from llama_bedrock import ChatLlamaBedrock

    return ChatLlamaBedrock(
        model="meta.llama3-1-8b-instruct-v1:0",
        region_name="us-west-2",
        endpoint_url=url,
        api_key="k",
        max_retries=0,
        max_tokens=4000,
    )


def serve(url, send_buffer=None):
    import psutil

    from llama_bedrock.app import create_app
    from llama_bedrock.app.serving import AppServer, listen

    process = psutil.Process()

    def tell():
        for _ in sys.stdin:
            times, memory = process.cpu_times(), process.memory_info()
            print(json.dumps({"cpu": times.user + times.system, "rss": memory.rss}), flush=True)

    app = create_app(model(url), key="a-key-for-tests", page=False)
    with listen("127.0.0.1", 0) as listening:
        if send_buffer:  # the system would keep megabytes that slow clients do not read
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(send_buffer))
        threading.Thread(target=tell, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        asyncio.run(AppServer(app, lambda: print(address, flush=True)).serve([listening]))


def library(url, count):
    async def run():
        async with model(url) as llm:

            async def stream():
                return sum([1 async for chunk in llm.astream("Say something.") if chunk.content])

            await stream()
            started = time.process_time()
            chunks = sum(await asyncio.gather(*[stream() for _ in range(count)]))
            print(json.dumps({"cpu": time.process_time() - started, "chunks": chunks}))

    asyncio.run(run())


if __name__ == "__main__":
    serve(*sys.argv[2:]) if sys.argv[1] == "serve" else library(sys.argv[2], int(sys.argv[3]))
