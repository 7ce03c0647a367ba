"""What redis-py, the caches and sessions built on it, and redis-cli make of the Redis door. `docs/redis.md` names the checks.

Reads HOST, PORT, KEY, SECRET, OTHER_KEY and OTHER_SECRET; prints `ok NAME` for each check that holds. With names as
arguments it runs only those.
"""

import os
import subprocess
import sys
import threading
import time

import redis
from redis.exceptions import AuthenticationError, ResponseError, WatchError

HOST, PORT = os.environ["HOST"], int(os.environ["PORT"])
CHECKS = {}


def client(key="KEY", secret="SECRET", store="", **options):
    user = os.environ[key] + (f".{store}" if store else "")
    options = {"decode_responses": True, "socket_timeout": 20, **options}
    return redis.Redis(host=HOST, port=PORT, username=user, password=os.environ[secret], **options)


def url(store=""):
    user = os.environ["KEY"] + (f".{store}" if store else "")
    return f"redis://{user}:{os.environ['SECRET']}@{HOST}:{PORT}/0"


def check(run):
    CHECKS[run.__name__] = run
    return run


def refused(error, text, call, *arguments):
    try:
        call(*arguments)
    except error as found:
        assert text in str(found), found
        return
    raise AssertionError(f"not refused: {text}")


@check
def values_of_every_kind_round_trip():
    for protocol in (2, 3):
        r = client(store="kinds", protocol=protocol)
        r.flushdb()
        assert r.set("键", "值", ex=100) and r.get("键") == "值" and 98 <= r.ttl("键") <= 100
        assert r.set("键", "x", nx=True) is None and r.set("键", "y", get=True) == "值"
        assert r.incr("n", 5) == 5 and r.decr("n") == 4 and r.incrbyfloat("f", 0.1) == 0.1
        assert r.mset({"a": "1", "b": "2"}) and r.mget("a", "b", "none") == ["1", "2", None]
        assert r.hset("h", mapping={"f": "1", "g": "2"}) == 2 and r.hgetall("h") == {"f": "1", "g": "2"}
        assert r.hincrby("h", "f", 41) == 42 and sorted(r.hkeys("h")) == ["f", "g"]
        assert r.rpush("l", "a", "b", "c") == 3 and r.lrange("l", 0, -1) == ["a", "b", "c"]
        assert r.lmove("l", "m", "LEFT", "RIGHT") == "a" and r.lpop("m") == "a"
        assert r.sadd("s", "a", "b") == 2 and r.smembers("s") == {"a", "b"} and r.sismember("s", "a")
        assert r.zadd("z", {"one": 1, "two": 2.5}) == 2 and r.zscore("z", "two") == 2.5
        scores = [tuple(pair) for pair in r.zrange("z", 0, -1, withscores=True)]
        assert scores == [("one", 1.0), ("two", 2.5)], scores
        assert sorted(r.scan_iter(count=2)) == sorted(r.keys()) and r.dbsize() == 9
        assert dict(r.hscan_iter("h")) == {"f": "42", "g": "2"}
        assert r.type("z") == "zset" and r.delete("z", "s") == 2
        raw = client(store="kinds", protocol=protocol, decode_responses=False)
        assert raw.set("raw", bytes(range(256))) and raw.get("raw") == bytes(range(256))


@check
def transactions_and_watches_hold():
    r = client(store="watch")
    r.set("n", 1)
    with r.pipeline() as pipe:
        pipe.set("a", 1).incr("a").hset("h", "f", "v")
        assert pipe.execute() == [True, 2, 1]
        pipe.watch("n")
        r.set("n", 2)
        pipe.multi()
        pipe.set("n", 3)
        refused(WatchError, "", pipe.execute)
    assert r.get("n") == "2"

    def transfer(pipe):
        n = int(pipe.get("sum") or 0)
        pipe.multi()
        pipe.set("sum", n + 1)

    def work():
        mine = client(store="watch")
        for _ in range(20):
            mine.transaction(transfer, "sum")

    r.delete("sum")
    workers = [threading.Thread(target=work) for _ in range(4)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert r.get("sum") == "80", r.get("sum")
    with r.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"p{n}", n)
        assert pipe.execute() == [True] * 1000
    assert r.mget("p0", "p999") == ["0", "999"]


@check
def locks_keep_others_out():
    # Without scripts on the server a lock is taken with SET NX PX and let go under WATCH.
    r = client(store="locks")
    r.delete("lock")
    assert r.set("lock", "mine", nx=True, px=300)
    assert not client(store="locks").set("lock", "yours", nx=True, px=300)
    time.sleep(0.4)
    assert client(store="locks").set("lock", "yours", nx=True, px=300)


@check
def who_waits_is_woken():
    r = client(store="queue")
    r.delete("jobs")
    found = []
    worker = threading.Thread(target=lambda: found.append(client(store="queue").blpop("jobs", 10)))
    worker.start()
    time.sleep(0.2)
    r.rpush("jobs", "任务")
    worker.join()
    assert found == [("jobs", "任务")] or found == [["jobs", "任务"]], found
    assert r.blpop("jobs", 0.1) is None


@check
def messages_reach_subscribers():
    for protocol in (2, 3):
        r = client(store="talk", protocol=protocol)
        p = r.pubsub(ignore_subscribe_messages=True)
        p.subscribe("news")
        p.psubscribe("w*")
        for _ in range(50):
            p.get_message(timeout=0.05)
            if r.pubsub_numsub("news")[0][1] == 1 and r.pubsub_numpat() == 1:
                break
        assert r.publish("news", "你好") == 1 and r.publish("weather", "sun") == 1
        heard = []
        for _ in range(50):
            message = p.get_message(timeout=0.2)
            if message:
                heard.append((message["type"], message["channel"], message["data"]))
            if len(heard) == 2:
                break
        assert heard == [("message", "news", "你好"), ("pmessage", "weather", "sun")], heard
        assert client("OTHER_KEY", "OTHER_SECRET", store="talk").publish("news", "x") == 0
        p.close()


@check
def who_has_no_key_gets_nothing():
    wrong = redis.Redis(host=HOST, port=PORT, username=os.environ["KEY"], password="wrong")
    refused(AuthenticationError, "invalid username-password pair", wrong.ping)
    refused(AuthenticationError, "", redis.Redis(host=HOST, port=PORT).get, "k")
    client().set("mine", "1")
    other = client("OTHER_KEY", "OTHER_SECRET")
    assert other.get("mine") is None and "mine" not in other.keys()
    other.flushdb()
    assert client().get("mine") == "1"


@check
def what_is_not_served_says_its_name():
    r = client()
    for words in ("EVAL x 0", "XADD s * f v", "SETBIT k 1 1", "BZPOPMIN z 1", "CLUSTER INFO", "SSUBSCRIBE c"):
        refused(ResponseError, f"unknown command '{words.split()[0]}'", r.execute_command, *words.split())
    refused(ResponseError, "DB index is out of range", r.select, 1)


@check
def sessions_of_flask_are_kept():
    from flask import Flask, session
    from flask_session import Session

    app = Flask("story")
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis.from_url(url("sessions")))
    Session(app)

    @app.get("/")
    def visit():
        session["visits"] = session.get("visits", 0) + 1
        session["name"] = "访客"
        return f"{session['name']} {session['visits']}"

    one, two = app.test_client(), app.test_client()
    assert [one.get("/").text for _ in range(3)] == ["访客 1", "访客 2", "访客 3"]
    assert two.get("/").text == "访客 1"
    kept = client(store="sessions").keys("session:*")
    assert len(kept) >= 2 and client(store="sessions").ttl(kept[0]) > 0


@check
def caches_of_django_are_kept():
    from django.conf import settings

    plain = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url("django")}
    extra = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url("django-redis")}
    settings.configure(CACHES={"default": plain, "extra": extra})
    from django.core.cache import caches

    for name in ("default", "extra"):
        cache = caches[name]
        cache.clear()
        cache.set("k", {"列表": [1, 2]}, 100)
        assert cache.get("k") == {"列表": [1, 2]}
        assert cache.add("k", 1) is False and cache.add("new", 1) is True
        assert cache.incr("new", 4) == 5 and cache.touch("k", 50) and cache.has_key("k")
        cache.set_many({"a": 1, "b": 2})
        assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert cache.get_or_set("d", lambda: 9) == 9
        cache.delete_many(["a", "b"])
        assert cache.get("a") is None and cache.delete("d")
    assert sorted(caches["extra"].keys("*")) == ["k", "new"]
    assert caches["extra"].delete_pattern("n*") == 1
    caches["default"].clear()
    assert caches["default"].get("k") is None and caches["extra"].get("k") is not None


@check
def the_redis_command_line_works():
    environment = {**os.environ, "REDISCLI_AUTH": os.environ["SECRET"]}

    def cli(*words):
        command = ["redis-cli", "-h", HOST, "-p", str(PORT), "--user", os.environ["KEY"] + ".cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout

    try:
        assert cli("ping") == "PONG\n"
    except FileNotFoundError:
        print("SKIPPED: there is no redis-cli")
        return
    cli("flushdb")
    assert cli("set", "a", "1") == "OK\n" and cli("-3", "hset", "h", "f", "v") == "1\n"
    assert sorted(cli("--scan").split()) == ["a", "h"]
    assert "WRONGTYPE" in cli("get", "h")


def main():
    wanted = sys.argv[1:] or list(CHECKS)
    failed = []
    for name in wanted:
        try:
            CHECKS[name]()
            print(f"ok {name}", flush=True)
        except Exception:
            import traceback

            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
