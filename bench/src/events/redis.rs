//! Redis streams: `XADD` with the append-only file synced at every write, one connection a producer.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{
    BODY, PRODUCERS, Published, body,
    peer::{self, Peer, SILENCE},
};
use crate::load;

/// Producers for so many seconds, to a server that is new.
pub(super) async fn publish(program: &Path, disk: &Path, seconds: u64) -> Result<Published> {
    let folder = tempfile::tempdir_in(disk)?;
    let port = peer::free_port()?;
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ])
        .arg("--dir")
        .arg(folder.path());
    let peer = Peer::start(&mut command, port).await?;
    let mut streams = Vec::new();
    for _ in 0..PRODUCERS {
        streams.push(Peer::connect(peer.addr).await?);
    }
    is_synced(peer.addr).await?;
    let begun = load::now();
    let end = begun + Duration::from_secs(seconds);
    let producers: Vec<_> = (0u64..)
        .zip(streams)
        .map(|(n, stream)| gust_task::spawn("producer", produce(stream, n, end)))
        .collect();
    let mut took = Vec::new();
    for producer in producers {
        let ended = tokio::time::timeout_at((end + SILENCE).into(), producer).await;
        let ended = ended.context("redis says nothing")??;
        took.extend(ended.context("a producer panicked")??);
    }
    let acks_per_s = took.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Published { acks_per_s, took })
}

/// It does as it was told.
async fn is_synced(addr: SocketAddr) -> Result<()> {
    let mut stream = Peer::connect(addr).await?;
    stream
        .write_all(b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$11\r\nappendfsync\r\n")
        .await?;
    let mut said = Vec::new();
    while !said.ends_with(b"always\r\n") {
        let read = stream.read_buf(&mut said).await?;
        ensure!(
            read > 0 && said.len() < 200,
            "redis does not sync: {}",
            String::from_utf8_lossy(&said)
        );
    }
    Ok(())
}

async fn produce(mut stream: TcpStream, producer: u64, end: Instant) -> Result<Vec<Duration>> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let mut took = Vec::new();
    let (mut request, mut line) = (Vec::new(), String::new());
    for step in 0u64.. {
        request.clear();
        request.extend_from_slice(
            format!("*5\r\n$4\r\nXADD\r\n$6\r\nevents\r\n$1\r\n*\r\n$1\r\nb\r\n${BODY}\r\n")
                .as_bytes(),
        );
        request.extend_from_slice(&body(step << 16 | producer));
        request.extend_from_slice(b"\r\n");
        let begun = load::now();
        if begun >= end {
            break;
        }
        write.write_all(&request).await?;
        // The message's id, as a string of so many bytes.
        line.clear();
        read.read_line(&mut line).await?;
        ensure!(line.starts_with('$'), "redis: {line}");
        line.clear();
        read.read_line(&mut line).await?;
        ensure!(line.ends_with("\r\n"), "redis ended");
        took.push(begun.elapsed());
    }
    Ok(took)
}
