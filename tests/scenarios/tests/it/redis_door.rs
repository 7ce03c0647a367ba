//! Clients of others over the Redis door: redis-py and what is built on it, with keys of two projects.

use anyhow::{Context, Result, ensure};
use gust_scenarios::{
    Node,
    visitors::{Visitors, counted, metrics, succeeded, with_door},
};

#[test]
fn clients_of_others_do_all_that_the_page_says() -> Result<()> {
    let node = Node::start_with(with_door("redis", None))?;
    let visitors = Visitors::of_two(&node, node.redis)?;
    visitors.do_all(&node, "redis_door.py", "redis.md")?;
    let metrics = metrics(&node)?;
    for name in ["writes", "reads", "bytes_in", "bytes_out"] {
        let number = counted(&metrics, &format!("redis_{name}"), "default")?;
        ensure!(number > 100.0, "{name}: {number}");
    }
    Ok(())
}

/// Writes until the node is gone, and says the last number whose answer had come.
const WRITE: &str = "
import os, redis
r = redis.Redis(host=os.environ['HOST'], port=int(os.environ['PORT']), username=os.environ['KEY'], password=os.environ['SECRET'])
n = 0
try:
    while True:
        r.pipeline().set('last', n + 1).rpush('all', n + 1).execute()
        n += 1
        if n == 50:
            print('going', flush=True)
except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
    print(n)
";

/// Says the last number, and whether the list has all up to it.
const READ: &str = "
import os, redis
r = redis.Redis(host=os.environ['HOST'], port=int(os.environ['PORT']), username=os.environ['KEY'], password=os.environ['SECRET'])
n = int(r.get('last'))
assert [int(one) for one in r.lrange('all', 0, -1)] == list(range(1, n + 1))
print(n)
";

#[test]
fn what_was_answered_is_there_after_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = || Some(folder.path().join("data"));
    let mut node = Node::start_with(with_door("redis", data()))?;
    let visitors = Visitors::of_one(&node, node.redis)?;
    let mut writing = visitors
        .python()
        .args(["-c", WRITE])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let said = writing.stdout.take().context("what it says")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(said));
    ensure!(lines.next().context("a line")?? == "going");
    std::thread::sleep(std::time::Duration::from_millis(300));
    node.kill_9()?;
    let answered: u64 = lines.next().context("a number")??.parse()?;
    writing.wait()?;
    let node = Node::start_with(with_door("redis", data()))?;
    let visitors = visitors.at(node.redis)?;
    let reading = visitors.python().args(["-c", READ]).output()?;
    let there: u64 = succeeded(&node, reading)?.trim().parse()?;
    // One more may have been written whose answer did not get out.
    ensure!(
        there == answered || there == answered + 1,
        "{there} {answered}"
    );
    ensure!(there >= 50);
    Ok(())
}
