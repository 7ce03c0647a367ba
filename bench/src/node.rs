//! A `gust serve` of our own, on free ports, in a temporary folder.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// A running node; it is ended when dropped.
pub(crate) struct Node {
    child: Child,
    gust: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) functions: SocketAddr,
    pub(crate) control: SocketAddr,
    /// From exec to the line that says it serves.
    pub(crate) started_in: Duration,
}

impl Node {
    /// Starts one on this data folder; `config` is the text of a node.toml.
    pub(crate) fn start(gust: &Path, data: &Path, config: &str) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let file = data.join("bench-node.toml");
        std::fs::write(&file, config)?;
        let started = crate::load::now();
        let mut child = Command::new(gust)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--control",
                "127.0.0.1:0",
                "--config",
            ])
            .arg(&file)
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", gust.display()))?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let (mut functions, mut control) = (None, None);
        for line in lines {
            let line = line?;
            let address = line
                .rsplit("http://")
                .next()
                .and_then(|a| a.trim().parse().ok());
            match line.split(' ').next() {
                Some("Serving") => functions = address,
                Some("Control") => control = address,
                _ => {}
            }
            if let (Some(functions), Some(control)) = (functions, control) {
                let started_in = started.elapsed();
                return Ok(Self {
                    child,
                    gust: gust.into(),
                    data: data.into(),
                    functions,
                    control,
                    started_in,
                });
            }
        }
        let _ = child.kill();
        bail!("the node did not start");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs the command line against this node and answers what it printed.
    pub(crate) fn gust(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.gust)
            .args(args)
            .env("GUST_NODE", format!("http://{}", self.control))
            .env("GUST_DATA", &self.data)
            .output()?;
        ensure!(
            output.status.success(),
            "gust {args:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Deploys an app of these functions: name, component, further lines of its table.
    pub(crate) fn deploy(&self, app: &str, functions: &[(String, PathBuf, String)]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut manifest = std::fs::File::create(folder.path().join("gust.toml"))?;
        writeln!(manifest, "[app]\nname = \"{app}\"")?;
        for (name, component, more) in functions {
            let file = format!("{name}.wasm");
            std::os::unix::fs::symlink(
                std::fs::canonicalize(component)?,
                folder.path().join(&file),
            )
            .or_else(|_| std::fs::copy(component, folder.path().join(&file)).map(|_| ()))?;
            writeln!(manifest, "[function.{name}]\nsource = \"{file}\"\n{more}")?;
        }
        drop(manifest);
        self.gust(&["deploy", &folder.path().to_string_lossy()])
            .map(drop)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// SIGTERM, five seconds, SIGKILL.
pub(crate) fn terminate(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    for _ in 0..100 {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}
