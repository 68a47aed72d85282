from .calls import look_up


async def forecast(city: str) -> str:
    return look_up(city)  # finds: blocking-call
