//! A peer: a server of our own on a free port, in a folder of its own, that ends with its round.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;

use crate::{load, node::terminate};

const START: Duration = Duration::from_secs(10);
/// The longest silence of a server that is well.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

pub(super) struct Peer {
    child: Child,
    pub(super) addr: SocketAddr,
}

/// What it calls itself; `None`, said aloud, when it is not there.
pub(super) fn version(program: &Path) -> Option<String> {
    match Command::new(program).arg("--version").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let words: Vec<_> = text.split_whitespace().collect();
            // "nats-server: v2.9.10" and "Redis server v=7.0.15 sha=...".
            let is_version = |word: &&&str| {
                let digits = word.trim_start_matches(['v', '=']);
                digits.starts_with(|c: char| c.is_ascii_digit()) && digits.contains('.')
            };
            let version = words.iter().find(is_version);
            Some(version.map_or_else(
                || text.trim().to_owned(),
                |v| v.trim_start_matches(['v', '=']).to_owned(),
            ))
        }
        Err(error) => {
            eprintln!(
                "{} is not measured, its keys are null: {error}",
                program.display()
            );
            None
        }
    }
}

/// A port that nobody has now.
pub(super) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

// === impl Peer ===

impl Peer {
    /// Starts it and waits until it listens on this port.
    pub(super) async fn start(command: &mut Command, port: u16) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut peer = Self { child, addr };
        let end = load::now() + START;
        loop {
            match TcpStream::connect(addr).await {
                Ok(_) => return Ok(peer),
                Err(error) if error.kind() != ErrorKind::ConnectionRefused => bail!(error),
                Err(_) => {}
            }
            if let Some(status) = peer.child.try_wait()? {
                bail!(
                    "{} did not start: {status}",
                    command.get_program().display()
                );
            }
            if load::now() > end {
                bail!("{} does not listen", command.get_program().display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn connect(addr: SocketAddr) -> Result<TcpStream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}
