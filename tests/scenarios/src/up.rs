//! A `gust up` of our own, on a free port.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// One app in the foreground. Dropping it kills it.
pub struct Up {
    child: Child,
    /// Where the app is served.
    pub addr: SocketAddr,
}

// === impl Up ===

impl Up {
    /// `gust up` in this folder with these arguments; answers when it serves.
    pub fn start(folder: &Path, args: &[&str]) -> Result<Self> {
        let mut child = Command::new(crate::gust_binary())
            .args(["up", "--listen", "127.0.0.1:0"])
            .args(args)
            .current_dir(folder)
            // An app is built into its own folder, wherever these tests were built.
            .env_remove("CARGO_TARGET_DIR")
            // What functions are made of was fetched when the guests were built.
            .env("CARGO_NET_OFFLINE", "true")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(url) = line.strip_prefix("Serving http://") {
                let addr = url.trim().trim_end_matches('/').parse()?;
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Self { child, addr });
            }
        }
        bail!("gust up ended: {}", child.wait()?)
    }

    /// SIGTERM; it must end well within five seconds.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        for _ in 0..500 {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "gust up ended: {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("gust up did not end within five seconds of SIGTERM")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
