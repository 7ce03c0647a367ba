import gust
from wit_world.imports import store


class Handler(gust.Handler):
    async def answer(self, request: gust.Request) -> gust.Answer:
        name = request.path.strip("/") or "world"

        # "default" is the label that gust.toml lists under `kv`.
        visits = store.open("default")
        count = int(visits.get(name) or b"0") + 1
        visits.set(name, str(count).encode())

        print(f"visit {count} of {name}")
        return gust.text(f"Hello, {name}! This is visit {count}.\n")
