//! Runs the build commands of an app.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    process::Stdio,
};

use gust_manifest::Loaded;
use gust_types::{
    AppSpec, Blame, Error, FunctionName, Kind, Result,
    app::{BuildSpec, FunctionSpec, Source},
};
use indicatif::ProgressBar;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
    sync::mpsc,
};

use crate::{fetch, here, output, progress::Bars};

/// Lines of a build's output that are kept to be shown when it fails.
const KEPT: usize = 2000;

/// One command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    function: FunctionName,
    command: String,
    workdir: PathBuf,
}

/// Reads a manifest and builds what it needs: everything when asked, else only what has never been built.
pub(crate) async fn prepare(dir: &Path, profile: Option<&str>, everything: bool) -> Result<Loaded> {
    let loaded = here::load(dir, profile, false)?;
    let (app, root) = (&loaded.spec, &loaded.root);
    if everything {
        build(app, root, None).await?;
    } else {
        for name in not_built(app, root) {
            output::say(&format!("{name} is not built yet"));
            build(app, root, Some(&name)).await?;
        }
    }
    let mut loaded = here::load(dir, profile, true)?;
    fetch::sources(&mut loaded.spec).await?;
    Ok(loaded)
}

/// What of a function is built: its own code, and that of the components it imports from.
fn built(function: &FunctionSpec) -> impl Iterator<Item = (&Source, &BuildSpec)> {
    let own = function.build.iter().map(|build| (&function.source, build));
    let others = function.dependencies.iter();
    let others = others.filter_map(|of| Some((&of.source, of.build.as_ref()?)));
    others.chain(own)
}

/// Functions that have a build command and no code.
fn not_built(app: &AppSpec, root: &Path) -> Vec<FunctionName> {
    let missing = |(source, _): (&Source, _)| match source {
        Source::Path(path) => !root.join(path).exists(),
        Source::Remote { .. } | Source::Artifact { .. } => false,
    };
    app.functions
        .iter()
        .filter(|(_, function)| built(function).any(missing))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Builds the functions that have commands, or the one that is named. Answers how many commands ran.
pub(crate) async fn build(
    app: &AppSpec,
    root: &Path,
    only: Option<&FunctionName>,
) -> Result<usize> {
    if let Some(name) = only
        && !app.functions.contains_key(name)
    {
        return Err(Error::not_found(format!(
            "no such function in the manifest: {name}"
        )));
    }
    let jobs = jobs(app, root, only);
    let bars = Bars::new();
    for job in &jobs {
        run(job, &bars).await?;
    }
    bars.clear();
    let meant = |(name, _): &(&FunctionName, _)| only.is_none_or(|only| only == *name);
    for (name, function) in app.functions.iter().filter(meant) {
        for path in built(function).filter_map(|(source, _)| match source {
            Source::Path(path) => Some(path),
            Source::Remote { .. } | Source::Artifact { .. } => None,
        }) {
            if root.join(path).is_file() {
                continue;
            }
            let message = format!("the build of `{name}` did not make its source: {path}");
            return Err(
                Error::new(Kind::Invalid, Blame::Caller, message).hint(hint_at_elsewhere(
                    std::env::var("CARGO_TARGET_DIR").ok().as_deref(),
                )),
            );
        }
    }
    Ok(jobs.len())
}

fn hint_at_elsewhere(cargo_target: Option<&str>) -> String {
    match cargo_target.filter(|dir| !dir.is_empty()) {
        Some(dir) => format!("CARGO_TARGET_DIR is set, so cargo builds into {dir}: unset it here"),
        None => "do `source` and the build command name the same file?".to_owned(),
    }
}

/// Commands in the order of the functions' names. The same command in the same folder runs once: functions of one
/// workspace often share it.
fn jobs(app: &AppSpec, root: &Path, only: Option<&FunctionName>) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let meant = |(name, _): &(&FunctionName, _)| only.is_none_or(|only| only == *name);
    let functions = app.functions.iter().filter(meant);
    for (name, build) in functions.flat_map(|(name, f)| built(f).map(move |(_, b)| (name, b))) {
        let workdir = root.join(build.workdir.as_deref().unwrap_or("."));
        let same = |job: &&Job| job.workdir == workdir && build.command.contains(&job.command);
        if jobs.iter().filter(same).count() == build.command.len() {
            continue;
        }
        jobs.extend(build.command.iter().map(|command| Job {
            function: name.clone(),
            command: command.clone(),
            workdir: workdir.clone(),
        }));
    }
    jobs
}

async fn run(job: &Job, bars: &Bars) -> Result<()> {
    let what = format!("build {}: {}", job.function, job.command);
    let fault = |message: String| {
        let hint = format!("in {}: {}", job.workdir.display(), job.command);
        // What its author wrote does not build: no function was called, let alone failed.
        Error::invalid(message).hint(hint)
    };
    let started = gust_task::clock::now();
    let bar = bars.spinner(&what);
    let mut child = Command::new("sh")
        .args(["-c", &job.command])
        .current_dir(&job.workdir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| {
            fault(format!(
                "cannot run the build command of `{}`",
                job.function
            ))
            .because(e)
        })?;
    let kept = follow(&mut child, &bar).await;
    let status = child
        .wait()
        .await
        .map_err(|e| fault(format!("lost the build command of `{}`", job.function)).because(e))?;
    bar.finish_and_clear();
    if !status.success() {
        for line in kept {
            output::say(&line);
        }
        return Err(fault(format!(
            "the build command of `{}` failed: {status}",
            job.function
        )));
    }
    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    output::say(&format!(
        "built {} in {}",
        job.function,
        output::micros(took)
    ));
    Ok(())
}

/// Shows the output as it comes. On a terminal that is the last line, and the rest is kept for the case of a failure.
async fn follow(child: &mut tokio::process::Child, bar: &ProgressBar) -> VecDeque<String> {
    let (to, mut lines) = mpsc::channel(64);
    let readers = (
        child
            .stdout
            .take()
            .map(|from| gust_task::spawn("build stdout", read(from, to.clone()))),
        child
            .stderr
            .take()
            .map(|from| gust_task::spawn("build stderr", read(from, to))),
    );
    let mut kept = VecDeque::new();
    while let Some(line) = lines.recv().await {
        if bar.is_hidden() {
            output::say(&line);
            continue;
        }
        bar.set_message(line.clone());
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    drop(readers);
    kept
}

async fn read(from: impl AsyncRead + Unpin, to: mpsc::Sender<String>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if to.send(text).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(functions: &str) -> AppSpec {
        let text = format!("[app]\nname = \"a\"\n{functions}");
        gust_manifest::parse_gust(&text).unwrap().0
    }

    const TWO: &str = "[function.a]\nsource = \"a\"\nbuild = { command = [\"touch a\", \"echo 完成\"] }\n\
                       [function.b]\nsource = \"a\"\nbuild = { command = [\"touch a\", \"echo 完成\"] }\n\
                       [function.c]\nsource = \"c\"\nbuild = { command = \"touch ../c\", workdir = \"sub\" }\n";

    #[test]
    fn shared_commands_run_once() {
        let jobs = jobs(&app(TWO), Path::new("/x"), None);
        let found: Vec<(&str, &str)> = jobs
            .iter()
            .map(|j| (j.function.as_str(), j.command.as_str()))
            .collect();
        assert_eq!(
            found,
            [("a", "touch a"), ("a", "echo 完成"), ("c", "touch ../c")]
        );
        assert_eq!(jobs[2].workdir, Path::new("/x/sub"));
    }

    #[tokio::test]
    async fn what_has_no_code_is_built_without_asking() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let text = format!("[app]\nname = \"a\"\n{TWO}");
        std::fs::write(dir.path().join("gust.toml"), text).unwrap();
        std::fs::write(dir.path().join("a"), "old").unwrap();
        let loaded = prepare(dir.path(), None, false).await.unwrap();
        assert_eq!(loaded.spec.functions.len(), 3);
        assert!(dir.path().join("c").is_file());
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"old");
        assert!(not_built(&loaded.spec, dir.path()).is_empty());
    }

    #[tokio::test]
    async fn builds_make_files_or_say_why_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        assert_eq!(build(&app(TWO), dir.path(), None).await.unwrap(), 3);
        assert!(dir.path().join("c").is_file());
        let one = FunctionName::new("c").unwrap();
        assert_eq!(build(&app(TWO), dir.path(), Some(&one)).await.unwrap(), 1);
        let unknown = FunctionName::new("d").unwrap();
        let error = build(&app(TWO), dir.path(), Some(&unknown))
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);

        let fails = app("[function.a]\nsource = \"a\"\nbuild = { command = \"exit 3\" }\n");
        let error = build(&fails, dir.path(), None).await.unwrap_err();
        assert_eq!(
            error.message,
            "the build command of `a` failed: exit status: 3"
        );
        assert_eq!((error.kind, error.blame), (Kind::Invalid, Blame::Caller));
        let makes_nothing =
            app("[function.a]\nsource = \"gone\"\nbuild = { command = \"true\" }\n");
        let error = build(&makes_nothing, dir.path(), None).await.unwrap_err();
        assert!(
            error.message.ends_with("did not make its source: gone"),
            "{error}"
        );
    }
}
