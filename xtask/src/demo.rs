//! `cargo xtask demo`: the whole story in one command, through the real binary.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::tools::{self, cargo, root, target};

const HOST: &str = "hello.gust.localhost";

/// Builds, starts, deploys, calls, sleeps, wakes, bills, stops. `--keep` leaves the node running; `--dev` takes the
/// development build (slower, sooner).
pub fn run(args: &[String]) -> Result<()> {
    for arg in args {
        ensure!(
            ["--keep", "--dev"].contains(&arg.as_str()),
            "unknown argument: {arg} (--keep or --dev)"
        );
    }
    let keep = args.iter().any(|a| a == "--keep");
    let gust = build(args.iter().any(|a| a == "--dev"))?;
    let folder = std::env::temp_dir().join(format!("gust-demo-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut node = Node::start(&gust, &folder.join("data"))?;
    let told = story(&node);
    if keep && told.is_ok() {
        return node.leave();
    }
    node.stop();
    fs::remove_dir_all(&folder).ok();
    told
}

fn build(dev: bool) -> Result<PathBuf> {
    tools::need(&[("cc", "gcc")])?;
    tools::need_targets(&["wasm32-wasip2"])?;
    if dev {
        cargo("build gust", &["build", "--locked", "-p", "gust-cli"])?;
        return Ok(target().join("debug/gust"));
    }
    cargo(
        "build gust (some minutes the first time)",
        &["build", "--release", "--locked", "-p", "gust-cli"],
    )?;
    Ok(target().join("release/gust"))
}

fn story(node: &Node) -> Result<()> {
    say("deploy examples/hello from source");
    node.gust(&[
        "deploy",
        "--build",
        &root().join("examples/hello").to_string_lossy(),
    ])?;

    say("call it");
    let mut client = Client::connect(node.functions)?;
    let answer = client.get("/")?;
    println!("GET http://{HOST}/ → {}", answer.status);
    print!("{}", indent(&answer.body));

    say("call it 1,000 times more (warm)");
    let mut warm = Vec::new();
    for _ in 0..1000 {
        warm.push(client.get("/")?.took);
    }
    warm.sort();
    println!("warm: p50 {} p99 {}", millis(warm[500]), millis(warm[990]));

    say("its log");
    node.gust(&["logs", "hello", "--limit", "3"])?;

    say("let it sleep: no instance, its code unmapped");
    wait_until_asleep(node)?;
    println!("asleep: no instance, nothing mapped");

    say("wake it");
    let mut fresh = Client::connect(node.functions)?;
    let cold = fresh.get("/")?;
    println!(
        "cold: {} from request to answer ({})",
        millis(cold.took),
        cold.status
    );

    say("the bill");
    node.gust(&["usage"])?;
    node.gust(&["bill"])
}

/// Polls `gust ls` until the function has no instance and is not resident.
fn wait_until_asleep(node: &Node) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let listed: serde_json::Value = serde_json::from_str(&node.output(&["ls", "--json"])?)?;
        if asleep(&listed) == Some(true) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(500));
    }
    bail!("the function did not go to sleep within a minute")
}

/// True when every object that tells of instances and residency says none.
fn asleep(value: &serde_json::Value) -> Option<bool> {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let awake = |key: &str| {
                map.get(key)
                    .map(|v| v.as_u64().unwrap_or(0) > 0 || v.as_bool() == Some(true))
            };
            let own = ["idle", "busy", "resident"]
                .iter()
                .filter_map(|k| awake(k))
                .reduce(|a, b| a || b)
                .map(|a| !a);
            map.values()
                .filter_map(asleep)
                .chain(own)
                .reduce(|a, b| a && b)
        }
        Value::Array(items) => items.iter().filter_map(asleep).reduce(|a, b| a && b),
        _ => None,
    }
}

fn say(what: &str) {
    println!("\n── {what}");
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("   {l}\n")).collect()
}

fn millis(d: Duration) -> String {
    format!("{:.2} ms", d.as_secs_f64() * 1000.0)
}

// === the node ===

struct Node {
    child: Child,
    gust: PathBuf,
    data: PathBuf,
    functions: SocketAddr,
    control: SocketAddr,
}

impl Node {
    fn start(gust: &Path, data: &Path) -> Result<Self> {
        say("start a node on free ports");
        fs::create_dir_all(data)?;
        let config = data.join("demo-node.toml");
        // A function that nobody calls for two seconds is unmapped, so that the demo can show a cold start.
        fs::write(&config, "resident_idle = \"2s\"\n")?;
        let log = fs::File::create(data.join("node.log"))?;
        let mut child = Command::new(gust)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--control",
                "127.0.0.1:0",
            ])
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", gust.display()))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let (mut functions, mut control) = (None, None);
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
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
                return Ok(Self {
                    child,
                    gust: gust.into(),
                    data: data.into(),
                    functions,
                    control,
                });
            }
        }
        let _ = child.kill();
        bail!(
            "the node did not start:\n{}",
            fs::read_to_string(data.join("node.log")).unwrap_or_default()
        )
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.gust);
        command
            .args(args)
            // The example builds into its own folder, where its manifest looks.
            .env_remove("CARGO_TARGET_DIR")
            .env("GUST_NODE", format!("http://{}", self.control))
            .env("GUST_DATA", &self.data);
        command
    }

    fn gust(&self, args: &[&str]) -> Result<()> {
        println!("$ gust {}", args.join(" "));
        let status = self.command(args).status()?;
        ensure!(status.success(), "gust {} failed", args.join(" "));
        Ok(())
    }

    fn output(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "gust {} failed", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn leave(self) -> Result<()> {
        println!(
            "\nThe node goes on (process {}). Stop it with: kill {}",
            self.child.id(),
            self.child.id()
        );
        println!(
            "functions  curl -H 'Host: {HOST}' http://{}/",
            self.functions
        );
        println!(
            "control    http://{}  (API description: /openapi.json)",
            self.control
        );
        println!(
            "command    export GUST_NODE=http://{} GUST_DATA={}",
            self.control,
            self.data.display()
        );
        Ok(())
    }

    fn stop(&mut self) {
        say("stop");
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === a client of one connection ===

struct Client {
    stream: BufReader<TcpStream>,
}

struct Answer {
    status: String,
    body: String,
    took: Duration,
}

impl Client {
    fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// One GET; understands content-length and chunked bodies.
    fn get(&mut self, path: &str) -> Result<Answer> {
        let started = Instant::now();
        write!(
            self.stream.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        )?;
        let status = self.line()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16)?;
                self.read(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.read(length, &mut body)?;
        }
        let status = status
            .split_once(' ')
            .map_or(String::new(), |(_, s)| s.to_owned());
        Ok(Answer {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
            took: started.elapsed(),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(
            self.stream.read_line(&mut line)? > 0,
            "the node closed the connection"
        );
        Ok(line.trim_end().to_owned())
    }

    fn read(&mut self, size: usize, into: &mut Vec<u8>) -> Result<()> {
        let start = into.len();
        into.resize(start + size, 0);
        self.stream.read_exact(&mut into[start..])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_function_is_asleep_when_nothing_of_it_is_alive() {
        let state = |idle, resident| json!({"apps": [{"name": "a", "functions": [{"idle": idle, "busy": 0, "resident": resident}]}]});
        assert_eq!(super::asleep(&state(0, false)), Some(true));
        assert_eq!(super::asleep(&state(1, false)), Some(false));
        assert_eq!(super::asleep(&state(0, true)), Some(false));
        assert_eq!(super::asleep(&json!({"apps": []})), None);
    }
}
