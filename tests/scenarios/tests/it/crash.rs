//! kill -9 at random moments during deploys, key-value writes and calls: nothing acknowledged is missing, no half deploy.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use gust_scenarios::{App, Client, Node};

const ROUNDS: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let rounds = std::env::var("GUST_CRASH_ROUNDS")
        .ok()
        .and_then(|r| r.parse().ok())
        .unwrap_or(ROUNDS);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (mut deployed, mut deploys) = (0, 0);
    for round in 0..rounds {
        let mut node = Node::start_on(&data)?;
        if round == 0 {
            node.deploy(&App::new("store")?.function(
                "store",
                "host-spin2",
                "route = \"/...\"\nkv = [\"default\"]\n",
            )?)?;
        } else {
            check(&node, &acknowledged, deployed, deploys).await?;
        }
        let writer = write_until_it_breaks(&node, acknowledged.clone()).await?;
        let (deployer, app) = deploy(&node, deploys + 1)?;
        // Spread over a deploy's whole length, differently in each round.
        tokio::time::sleep(Duration::from_millis(
            20 + gust_task::ids::random_u64() % 400,
        ))
        .await;
        node.kill_9()?;
        writer.await?;
        deploys += 1;
        if deployer.wait_with_output()?.status.success() {
            deployed = deploys;
        }
        drop(app);
    }
    println!(
        "{rounds} rounds, {} acknowledged writes, {deployed} was the last acknowledged deploy",
        acknowledged.load(SeqCst)
    );
    ensure!(
        acknowledged.load(SeqCst) > rounds,
        "the rounds were too short to write anything"
    );
    Ok(())
}

/// Writes key n with value n, in order, until the node is gone; counts what was acknowledged.
async fn write_until_it_breaks(
    node: &Node,
    acknowledged: Arc<AtomicU64>,
) -> Result<tokio::task::JoinHandle<Option<()>>> {
    let mut client = Client::connect(node.functions, "store.gust.localhost").await?;
    Ok(gust_task::spawn("writer", async move {
        loop {
            let n = acknowledged.load(SeqCst) + 1;
            let put = client
                .send(
                    http::Request::put(format!("/kv/default/key-{n}")),
                    n.to_string().into(),
                )
                .await;
            match put {
                Ok(answer) if answer.text().contains("\"ok\":true") => {
                    acknowledged.store(n, SeqCst)
                }
                _ => return,
            }
        }
    }))
}

/// Version n of an app answers its number. The app's folder must outlive the command.
fn deploy(node: &Node, n: u64) -> Result<(std::process::Child, App)> {
    let app = App::new("versioned")?
        .function(
            "versioned",
            "host-wasi",
            &format!("environment = {{ VERSION = \"{n}\" }}\n"),
        )?
        .text(&format!(
            "[[route]]\npath = \"/version\"\nresponse = {{ body = \"{n}\" }}"
        ));
    let folder = app.write()?;
    let child = node
        .command(&["deploy"])
        .arg(&folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    Ok((child, app))
}

async fn check(node: &Node, acknowledged: &AtomicU64, deployed: u64, tried: u64) -> Result<()> {
    let mut client = Client::connect(node.functions, "store.gust.localhost").await?;
    let last = acknowledged.load(SeqCst);
    for n in last.saturating_sub(20).max(1)..=last {
        let got = client.get(&format!("/kv/default/key-{n}")).await?;
        ensure!(
            got.status.is_success() && got.text().contains(&n.to_string()),
            "key-{n} of {last}: {} {}",
            got.status,
            got.text()
        );
    }
    let answer = client
        .get_from("versioned.gust.localhost", "/version")
        .await?;
    if deployed == 0 && answer.status == 404 {
        return Ok(());
    }
    let version: u64 = answer.text().trim().parse()?;
    ensure!(
        (deployed..=tried).contains(&version),
        "version {version} serves; {deployed} was acknowledged, {tried} tried"
    );
    let env = client
        .get_from("versioned.versioned.gust.localhost", "/env")
        .await?;
    ensure!(
        env.text().contains(&format!("\"{version}\"")),
        "route and function are of one deploy: {version} and {}",
        env.text()
    );
    ensure!(
        no_leftovers(node.data()),
        "an interrupted upload was left behind"
    );
    Ok(())
}

fn no_leftovers(data: &Path) -> bool {
    std::fs::read_dir(data.join("artifacts/incoming"))
        .is_ok_and(|mut entries| entries.next().is_none())
}
