//! A guest that traps after its first byte: the answer breaks off where it was, the call is on the bill once as failed, the
//! log says why, and nobody else notices. On a busy machine the trap may be there before the head has gone out: then the
//! answer is a whole 502.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use gust_scenarios::{App, Client, Node};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const HOST: &str = "half.gust.localhost";
/// At once, and after it has computed for so long that it was moved to the threads for that.
const TRAPS: [&str; 2] = ["/trap-after-first-byte", "/trap-after-first-byte/30"];
/// Head, first byte and trap are never timed the same twice.
const TIMES: usize = 30;

/// What came over a connection until the other side gave it up: the head, and the body with its framing.
async fn all_there_is(addr: SocketAddr, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    // Ended or reset, the bytes before it count.
    let read = async { while matches!(stream.read_buf(&mut bytes).await, Ok(n) if n > 0) {} };
    let over = tokio::time::timeout(Duration::from_secs(10), read).await;
    let text = String::from_utf8(bytes)?;
    ensure!(over.is_ok(), "the connection is left open after: {text}");
    let (head, body) = text.split_once("\r\n\r\n").context(text.clone())?;
    Ok((head.to_ascii_lowercase(), body.to_owned()))
}

/// A node with the guest as `half`, and somebody else beside it.
fn node_with(guest: &str) -> Result<Node> {
    let node = Node::start()?;
    node.deploy(&App::new("half")?.function("half", guest, "route = \"/...\"")?)?;
    node.deploy(&App::new("beside")?.function("beside", "faults-p2", "route = \"/...\"")?)?;
    Ok(node)
}

async fn check(guest: &str) -> Result<()> {
    let node = node_with(guest)?;
    let mut beside = Client::connect(node.functions, "beside.gust.localhost").await?;
    let long = gust_task::spawn("beside", async move { beside.get("/sleep/3000").await });
    let mut halves = 0;
    for n in 0..TIMES {
        let (head, body) = all_there_is(node.functions, TRAPS[n % TRAPS.len()]).await?;
        if head.starts_with("http/1.1 502 ") {
            assert!(body.contains("the function failed"), "{guest} {n}: {body}");
            is_told_once(&node, guest, &head, (502, 0)).await?;
            continue;
        }
        halves += 1;
        assert!(head.starts_with("http/1.1 200 "), "{guest} {n}: {head}");
        assert!(
            head.contains("transfer-encoding: chunked"),
            "{guest} {n}: {head}"
        );
        assert_eq!(
            body, "8\r\nhalf of \r\n",
            "{guest} {n}: the first chunk and no last one"
        );
        is_told_once(&node, guest, &head, (200, 8)).await?;
        let mut next = Client::connect(node.functions, HOST).await?;
        assert_eq!(
            next.get("/ok").await?.text(),
            "ok\n",
            "{guest} {n}: goes on"
        );
    }
    assert!(halves * 2 > TIMES, "{guest}: {halves} answers broke off");
    let mut client = Client::connect(node.functions, HOST).await?;
    let told = match client.get(TRAPS[0]).await {
        Ok(answer) => answer.status == 502,
        Err(_) => true,
    };
    assert!(told, "{guest}: a client is told that something is missing");
    let long = long.await?.context("cut off")??;
    assert_eq!(
        (long.status.as_u16(), long.text().as_str()),
        (200, "slept\n")
    );
    let (failed, ok) = (TIMES as u64 + 1, halves as u64 + 1);
    let total = settled(|| {
        let total = node.json(&["usage"])?["total"].clone();
        Ok((total["calls"] == failed + ok).then_some(total))
    })?;
    assert_eq!(total["failed"], failed, "{guest}: {total}");
    assert_eq!(total["ok"], ok, "{guest}: {total}");
    Ok(())
}

/// A connection breaks off a moment before its call is settled.
fn settled<T>(mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..100 {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("never settled")
}

/// One record, one line of the log.
async fn is_told_once(
    node: &Node,
    guest: &str,
    head: &str,
    (status, bytes): (u16, u64),
) -> Result<()> {
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "))
        .context("no request id")?;
    let of_it = settled(|| {
        let records = node.json(&["usage", "--records", "--limit", "1000"])?;
        let records = records["records"].as_array().cloned().unwrap_or_default();
        let of_it: Vec<_> = records
            .into_iter()
            .filter(|record| record["call"] == id)
            .collect();
        Ok((!of_it.is_empty()).then_some(of_it))
    })?;
    assert_eq!(of_it.len(), 1, "{guest}: {of_it:?}");
    assert_eq!(of_it[0]["outcome"], "failed", "{guest}: {}", of_it[0]);
    assert_eq!(of_it[0]["status"], status, "{guest}: {}", of_it[0]);
    assert_eq!(of_it[0]["bytes_out"], bytes, "{guest}: {}", of_it[0]);
    let log = node.gust(&["logs", "half", "--call", id])?;
    assert_eq!(log.matches("unreachable").count(), 1, "{guest}: {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wasi_0_2_answer_that_traps_half_way_is_broken_off_and_billed_once() -> Result<()> {
    check("faults-p2").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wasi_0_3_answer_that_traps_half_way_is_broken_off_and_billed_once() -> Result<()> {
    check("faults-p3").await
}
