async def _run(seconds: int) -> int:
    return seconds


async def run() -> int:
    return await _run(1)
