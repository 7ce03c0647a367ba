//! Clients of others at a node's door: Python scripts with keys of two projects.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};

use crate::{Client, Node, NodeOptions, root};

/// An access key: its id and its secret.
pub type Key = (String, String);

/// Who comes to a door: with a key of the project `default`, and one of another to look over the fence.
pub struct Visitors {
    door: SocketAddr,
    /// The key of `default`.
    pub one: Key,
    /// The key of the other project.
    pub two: Key,
}

/// Options of a node with this door.
pub fn with_door(setting: &str, data: Option<PathBuf>) -> NodeOptions {
    NodeOptions {
        data,
        config: format!("{setting} = \"127.0.0.1:0\"\n"),
        ..NodeOptions::default()
    }
}

/// A new key of a project.
pub fn key(node: &Node, project: &str) -> Result<Key> {
    let made = node.json(&["key", "new", "a story", "--project", project])?;
    let text = |name: &str| made[name].as_str().map(str::to_owned);
    text("id").zip(text("secret")).context("a key")
}

/// The checks that a page of `docs/` names: each stands between backticks in the column `check` or `checks` of a table.
pub fn checks(page: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs").join(page))?;
    let mut names = Vec::new();
    let mut column = None;
    for line in text.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            if !line.starts_with("|-") {
                column = None;
            }
            continue;
        };
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").collect();
        let Some(at) = column else {
            let named = |cell: &&str| matches!(cell.trim(), "check" | "checks");
            // Any other table has no such column, and nothing of it is looked at.
            column = Some(cells.iter().position(named).unwrap_or(usize::MAX));
            continue;
        };
        let cell = cells.get(at).copied().unwrap_or_default();
        names.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// What a scrape of the node says.
pub fn metrics(node: &Node) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let host = node.control.to_string();
        let mut client = Client::connect(node.control, &host).await?;
        Ok(client.get("/metrics").await?.text())
    })
}

/// A counter of a project in a scrape.
pub fn counted(metrics: &str, name: &str, project: &str) -> Result<f64> {
    let start = format!("gust_{name}_total{{project=\"{project}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.and_then(|number| number.parse::<f64>().ok())
        .with_context(|| format!("{start} in {metrics}"))
}

// === impl Visitors ===

impl Visitors {
    /// Visitors with keys of two projects, one of which is made.
    pub fn of_two(node: &Node, door: Option<SocketAddr>) -> Result<Self> {
        node.gust(&["project", "new", "other"])?;
        let two = key(node, "other")?;
        let mut visitors = Self::of_one(node, door)?;
        visitors.two = two;
        Ok(visitors)
    }

    /// Visitors with one key.
    pub fn of_one(node: &Node, door: Option<SocketAddr>) -> Result<Self> {
        let one = key(node, "default")?;
        Ok(Self {
            door: door.context("the node has this door")?,
            two: one.clone(),
            one,
        })
    }

    /// The same visitors at the door of a node that was started again.
    pub fn at(mut self, door: Option<SocketAddr>) -> Result<Self> {
        self.door = door.context("the node has this door")?;
        Ok(self)
    }

    /// Python with the clients, and all that they have to know in its environment. A missing one is a fault of the set-up,
    /// never a reason to skip.
    pub fn python(&self) -> Command {
        let path = root().join("target/clients/bin/python");
        assert!(
            path.is_file(),
            "there are no clients of others; run: cargo xtask clients"
        );
        let mut command = Command::new(path);
        command
            .env("ENDPOINT", format!("http://{}", self.door))
            .env("HOST", self.door.ip().to_string())
            .env("PORT", self.door.port().to_string())
            .env("KEY", &self.one.0)
            .env("SECRET", &self.one.1)
            .env("OTHER_KEY", &self.two.0)
            .env("OTHER_SECRET", &self.two.1)
            .env_remove("AWS_PROFILE");
        command
    }

    /// Runs checks of a script of `clients/`, without any all of them; they must succeed. Answers what they said.
    pub fn run(&self, node: &Node, script: &str, checks: &[&str]) -> Result<String> {
        let mut command = self.python();
        command
            .arg(root().join("tests/scenarios/clients").join(script))
            .args(checks);
        succeeded(node, command.output()?)
    }

    /// Runs all checks of a script, which have to be those that the page names.
    pub fn do_all(&self, node: &Node, script: &str, page: &str) -> Result<()> {
        let said = self.run(node, script, &[])?;
        let named = checks(page)?;
        ensure!(named.len() > 8, "{named:?}");
        for check in named {
            ensure!(
                said.contains(&format!("ok {check}\n")),
                "not checked: {check}\n{said}"
            );
        }
        let log = node.log();
        ensure!(
            !log.contains("ERROR") && !log.contains(&self.one.1),
            "{log}"
        );
        Ok(())
    }
}

/// What a program said that did well.
pub fn succeeded(node: &Node, output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}\n{why}\n{}", node.log());
    Ok(said)
}
