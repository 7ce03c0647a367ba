//! A `gust serve` of our own, on free ports.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::App;

/// How to start a node.
#[derive(Default, Clone)]
pub struct NodeOptions {
    /// Data folder; absent means a temporary one that goes with the node.
    pub data: Option<PathBuf>,
    /// Its control address; absent means a free port.
    pub control: Option<SocketAddr>,
    /// Text of its node.toml.
    pub config: String,
    /// The binary; absent means [`crate::gust_binary`].
    pub gust: Option<PathBuf>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
}

/// A running node. Dropping it ends it: SIGTERM, five seconds, SIGKILL.
pub struct Node {
    child: Child,
    gust: PathBuf,
    data: PathBuf,
    _own: Option<tempfile::TempDir>,
    /// Where functions are served.
    pub functions: SocketAddr,
    /// Where the control API is served.
    pub control: SocketAddr,
    /// Where buckets are served to S3 clients, if they are.
    pub s3: Option<SocketAddr>,
    /// Where stores are served to Redis clients.
    pub redis: Option<SocketAddr>,
    /// Where databases are served to PostgreSQL clients.
    pub postgres: Option<SocketAddr>,
    /// Where queues and topics are served to clients of AWS.
    pub aws: Option<SocketAddr>,
    /// From exec to the line that says it serves.
    pub started_in: Duration,
}

// === impl Node ===

impl Node {
    /// A node with default settings in a folder of its own.
    pub fn start() -> Result<Self> {
        Self::start_with(NodeOptions::default())
    }

    /// A node on this data folder.
    pub fn start_on(data: &Path) -> Result<Self> {
        Self::start_with(NodeOptions {
            data: Some(data.into()),
            ..NodeOptions::default()
        })
    }

    /// A node with these options.
    pub fn start_with(options: NodeOptions) -> Result<Self> {
        let own = if options.data.is_none() {
            Some(tempfile::tempdir()?)
        } else {
            None
        };
        let data = options
            .data
            .or_else(|| own.as_ref().map(|o| o.path().join("data")))
            .unwrap_or_default();
        std::fs::create_dir_all(&data)?;
        let config = tempfile::NamedTempFile::new()?;
        std::fs::write(config.path(), &options.config)?;
        let gust = options.gust.unwrap_or_else(crate::gust_binary);
        let log = data.join("node.log");
        let control = options
            .control
            .map_or_else(|| "127.0.0.1:0".to_owned(), |c| c.to_string());
        let started = gust_task::clock::now();
        let mut child = Command::new(&gust)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--control",
                &control,
                "--config",
            ])
            .arg(config.path())
            .arg("--data")
            .arg(&data)
            .envs(options.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", gust.display()))?;
        let Some(addresses) = addresses(&mut child)? else {
            let status = child.wait()?;
            bail!("the node did not start ({status}):\n{}", tail(&log));
        };
        Ok(Self {
            child,
            gust,
            data,
            _own: own,
            functions: addresses["Serving"],
            control: addresses["Control"],
            s3: addresses.get("S3").copied(),
            redis: addresses.get("Redis").copied(),
            postgres: addresses.get("PostgreSQL").copied(),
            aws: addresses.get("AWS").copied(),
            started_in: started.elapsed(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The command line against this node.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.gust);
        command
            .args(args)
            .env("GUST_NODE", format!("http://{}", self.control))
            .env("GUST_DATA", &self.data);
        command.stdin(Stdio::null());
        command
    }

    /// Runs the command line; it must succeed. Answers its stdout.
    pub fn gust(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output()?;
        ensure!(
            output.status.success(),
            "gust {args:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs the command line; it must fail. Answers everything.
    pub fn gust_fails(&self, args: &[&str]) -> Result<Output> {
        let output = self.command(args).output()?;
        ensure!(
            !output.status.success(),
            "gust {args:?} should have failed: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(output)
    }

    /// Runs the command line with `--json` and reads what it printed.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = args.to_vec();
        all.push("--json");
        let text = self.gust(&all)?;
        serde_json::from_str(&text)
            .with_context(|| format!("gust {all:?} printed no single JSON document: {text}"))
    }

    /// Deploys an app.
    pub fn deploy(&self, app: &App) -> Result<String> {
        self.gust(&["deploy", &app.write()?.to_string_lossy()])
    }

    /// Ends it without warning.
    pub fn kill_9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        signal(&self.child, rustix::process::Signal::TERM);
    }

    /// Waits for its end.
    pub fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let end = gust_task::clock::now() + at_most;
        while gust_task::clock::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the node did not end within {at_most:?}")
    }

    /// The last lines of its own log.
    pub fn log(&self) -> String {
        tail(&self.data.join("node.log"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.terminate();
        if self.wait(Duration::from_secs(5)).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// What is served where, by the first word of its line.
type Addresses = BTreeMap<String, SocketAddr>;

/// Reads `Serving http://…`, perhaps `S3 http://…` and others, and `Control http://…`; `None` when it ended before.
fn addresses(child: &mut Child) -> Result<Option<Addresses>> {
    let stdout = child.stdout.take().context("no stdout")?;
    let mut found = Addresses::new();
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        let address = line.rsplit("//").next().and_then(|a| a.trim().parse().ok());
        let label = line.split(' ').next().unwrap_or_default();
        found.extend(address.map(|address| (label.to_owned(), address)));
        if found.contains_key("Serving") && found.contains_key("Control") {
            // Keep reading, so that the node never blocks on a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
