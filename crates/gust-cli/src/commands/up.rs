//! `gust up`: one app in the foreground, without a node, a token or a deploy.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use gust_api::deploy::Deployed;
use gust_manifest::Loaded;
use gust_node::{Deployer, Node, OutputLine, Settings, layers};
use gust_task::Stop;
use gust_types::{Error, Result};
use toml::Value;

use crate::{
    builder,
    commands::{deploy, serve},
    compose, here, output,
    progress::Bars,
    signals,
    variables::{self, Assignment},
    watch::{Change, Watcher},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's folder, or its manifest
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where to serve; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Run the build commands first; without this only what is missing is built
    #[arg(long)]
    build: bool,
    /// Build and swap in the new code whenever a file changes; implies --build
    #[arg(long)]
    watch: bool,
    /// Where stores, logs and compiled code are kept [default: .gust beside the manifest]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Set a variable of the app; so do GUST_VARIABLE_<NAME> and SPIN_VARIABLE_<NAME>
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    variables: Vec<Assignment>,
    /// Profile of a spin.toml
    #[arg(long)]
    profile: Option<String>,
    /// Functions also answer on <function>.<app>.<domain>
    #[arg(long, default_value = "gust.localhost")]
    domain: String,
    /// Certificate chain, PEM; the app is then served over TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Do not show what functions print
    #[arg(short, long)]
    quiet: bool,
}

/// Where everything is kept; a temporary folder goes with this.
struct Data {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let stop = signals::stop_on_signals()?;
    // Before anything is read: an edit during the first build or deploy is an edit, too.
    let early = args.watch.then(|| watcher(&args)).transpose()?;
    let loaded = tokio::select! {
        loaded = builder::prepare(&args.dir, args.profile.as_deref(), args.build || args.watch) => loaded?,
        () = stop.stopped() => return Ok(crate::INTERRUPTED),
    };
    let watcher = early.map(|mut early| Watcher::after(&mut early, &loaded));
    let watcher = watcher.transpose()?;
    let data = data(&args, &loaded)?;
    let mut settings = settings(&args, &data.path)?;
    let _log = serve::start_log(&mut settings)?;
    let node = Node::start(settings).await?;
    if !args.quiet {
        node.echo_output(echo).await?;
    }
    let deployer = node.deployer();
    let deployed = tokio::select! {
        deployed = swap_in(&args, &deployer, &loaded) => deployed?,
        () = stop.stopped() => return Ok(crate::INTERRUPTED),
    };
    let base = format!("{}://{}", node.scheme(), node.functions_addr());
    for url in &deployed.urls {
        output::say(&route(
            &base,
            &url.url,
            url.function.as_ref().map(|f| f.as_str()),
        ));
    }
    output::line(&format!("Serving {base}"))?;
    if let Some(watcher) = watcher {
        let watching = stop.child();
        gust_task::spawn("watch", async move {
            watch(&args, deployer, watcher, &watching).await;
        });
    }
    node.run(stop).await?;
    Ok(crate::OK)
}

/// Watches what the manifest names as it is now, built or not.
fn watcher(args: &Args) -> Result<Watcher> {
    Watcher::new(&here::load(&args.dir, args.profile.as_deref(), false)?)
}

/// The route as it is reached here: any host name will do, so the address itself is the handiest.
fn route(base: &str, url: &str, function: Option<&str>) -> String {
    let path = url
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').map(|i| &rest[i..]));
    let target = function.map(|f| format!("  {f}")).unwrap_or_default();
    format!("  {base}{}{target}", path.unwrap_or("/"))
}

fn echo(line: OutputLine) {
    output::say(&match line.function.is_empty() {
        true => output::printable(&line.text),
        false => format!("[{}] {}", line.function, output::printable(&line.text)),
    });
}

/// Deploys what the folder holds now.
async fn swap_in(args: &Args, deployer: &Deployer, loaded: &Loaded) -> Result<Deployed> {
    let environment = variables::of_environment(&loaded.spec, |name| std::env::var(name).ok());
    let values: BTreeMap<String, String> =
        variables::collect(&args.variables, &loaded.spec, &environment)?;
    let bars = Arc::new(Bars::new());
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let (shown, kept) = (bars.clone(), warnings.clone());
    let heard = move |event| {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        deploy::hear(&event, &shown, &mut kept);
    };
    let mut spec = loaded.spec.clone();
    let _composed = compose::functions(&mut spec, &loaded.root).await?;
    let deployed = deployer.deploy(&spec, &loaded.root, &values, &heard).await;
    bars.clear();
    let mut warnings =
        std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner));
    if let Ok(deployed) = &deployed {
        warnings.clone_from(&deployed.warnings);
    }
    warnings.iter().for_each(|warning| output::warn(warning));
    deployed
}

/// Builds and deploys again whenever something changes. What fails is told, and the old code goes on serving.
async fn watch(args: &Args, deployer: Deployer, mut watcher: Watcher, stop: &Stop) {
    loop {
        let change = tokio::select! {
            change = watcher.changed() => change,
            () = stop.stopped() => return,
        };
        let again = async {
            let build = change == Change::Source;
            let loaded = builder::prepare(&args.dir, args.profile.as_deref(), build).await?;
            // The old one has heard what changed meanwhile.
            let next = Watcher::after(&mut watcher, &loaded)?;
            let deployed = swap_in(args, &deployer, &loaded).await?;
            Ok::<_, Error>((next, deployed))
        };
        let done = tokio::select! {
            done = again => done,
            () = stop.stopped() => return,
        };
        match done {
            Ok((next, deployed)) => {
                watcher = next;
                if deployed.changed {
                    output::say(&format!("{} is swapped in", deployed.app));
                }
            }
            Err(error) => {
                output::error(&error);
                output::say("what was there before goes on serving");
            }
        }
    }
}

fn settings(args: &Args, data: &Path) -> Result<Settings> {
    let text = |path: &Path| Value::from(path.to_string_lossy().into_owned());
    let mut flags: toml::Table = [
        ("data", text(data)),
        ("listen", Value::from(args.listen.to_string())),
        ("control", Value::from("off")),
        ("domain", Value::from(args.domain.clone())),
        ("any_host", Value::from(true)),
        // Whoever stops an app in the foreground is waiting for it.
        ("grace", Value::from("4s")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let mut tls = toml::Table::new();
        tls.insert("cert".to_owned(), text(cert));
        tls.insert("key".to_owned(), text(key));
        flags.insert("tls".to_owned(), Value::Table(tls));
    }
    let read = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    if read("GUST_LOG").is_none() {
        flags.insert("log".to_owned(), Value::from("warn"));
    }
    Ok(layers::resolve(None, read, flags)?.0)
}

/// A folder of this app's own, so that an app of another name in the same place starts afresh.
fn data(args: &Args, loaded: &Loaded) -> Result<Data> {
    if let Some(path) = &args.data {
        return Ok(Data {
            path: path.clone(),
            _temporary: None,
        });
    }
    let own = loaded.root.join(".gust");
    let path = own.join(loaded.spec.name.as_str());
    let made =
        std::fs::create_dir_all(&path).and_then(|()| std::fs::write(own.join(".gitignore"), "*\n"));
    if made.is_ok() {
        return Ok(Data {
            path,
            _temporary: None,
        });
    }
    let temporary = tempfile::tempdir()
        .map_err(|e| Error::unavailable("cannot make a folder for the app's data").because(e))?;
    output::warn("the app's folder cannot be written to: what functions store goes when this ends");
    Ok(Data {
        path: temporary.path().to_owned(),
        _temporary: Some(temporary),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_shown_at_the_address_that_serves() {
        let base = "http://127.0.0.1:3000";
        for (url, shown) in [
            (
                "http://shop.gust.localhost:3000/hello/:name",
                "  http://127.0.0.1:3000/hello/:name  f",
            ),
            (
                "http://shop.gust.localhost:3000",
                "  http://127.0.0.1:3000/  f",
            ),
            (
                "http://shop.gust.localhost/...",
                "  http://127.0.0.1:3000/...  f",
            ),
        ] {
            assert_eq!(route(base, url, Some("f")), shown);
        }
    }
}
