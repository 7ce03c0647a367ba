//! Killed at any moment, the node comes back with the old deployment or the new one, and never without one it had
//! acknowledged.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use gust_api::deploy::DeployRequest;
use gust_control::Settings;

use crate::harness::{app, app_name, assemble, open, project};

const FOLDER: &str = "GUST_TEST_CRASH_FOLDER";
const ROUNDS: u64 = 12;

/// The code of a deployment; the app's version says the same, so a mixture would show.
fn code(number: u64) -> String {
    format!("code {}", number % 7)
}

/// The other process: deploys as fast as it can and says what is acknowledged. Ends by being killed.
#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn deploys_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let node = open(folder.as_ref(), Settings::default()).await;
    for i in 0..7 {
        node.upload(&code(i)).await;
    }
    let shop = app_name("shop");
    let serving = node
        .client
        .app(&project(), &shop)
        .await
        .map_or(0, |a| a.summary.deployment);
    for number in serving + 1.. {
        let mut spec = app("shop", &code(number));
        spec.version = number.to_string();
        let request = DeployRequest {
            app: spec,
            variables: [].into(),
        };
        let deployed = node
            .control
            .deploy(&project(), request, &|_| {})
            .await
            .unwrap();
        assert_eq!(deployed.deployment, number);
        println!("acknowledged {number}");
    }
}

/// Starts the other process, kills it some time after its first word, and answers what it acknowledged last.
fn run_and_kill(folder: &Path, after: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::deploys_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut numbers = lines.map_while(Result::ok).filter_map(|line| {
        let number = line.split("acknowledged ").nth(1)?;
        number.trim().parse::<u64>().ok()
    });
    let first = numbers.next().expect("the other process deploys");
    let reader = std::thread::spawn(move || numbers.last());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap().unwrap_or(first)
}

#[tokio::test]
async fn a_killed_node_has_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let last = run_and_kill(folder.path(), Duration::from_micros(round * 3_700 % 40_000));
        assert!(last > acknowledged, "round {round}");
        acknowledged = last;
        let node = assemble(folder.path(), Settings::default()).await;
        node.control.restore().await.unwrap();
        let apps = node.client.apps(&project()).await.unwrap().apps;
        let shop = apps.first().expect("the app is there");
        let serving = shop.deployment;
        assert!(
            serving == acknowledged || serving == acknowledged + 1,
            "round {round}: acknowledged {acknowledged}, serves {serving}"
        );
        assert_eq!(shop.version, serving.to_string(), "round {round}");
        let artifact = gust_types::Digest::of(code(serving).as_bytes());
        assert_eq!(shop.functions[0].artifact, artifact, "round {round}");
        acknowledged = serving;
    }
}
