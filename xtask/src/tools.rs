//! Running programs and finding what the machine has.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Says what runs, runs it in the root, and fails when it does.
pub fn step<S: AsRef<OsStr>>(title: &str, program: &str, args: &[S]) -> Result<()> {
    step_with(title, program, args, &[])
}

/// The same with variables in its environment.
fn step_with<S: AsRef<OsStr>>(
    title: &str,
    program: &str,
    args: &[S],
    environment: &[(&str, &str)],
) -> Result<()> {
    eprintln!("\n== {title}");
    let started = Instant::now();
    let mut command = Command::new(program);
    // What it says is progress: stdout belongs to results.
    let status = command
        .args(args)
        .envs(environment.iter().copied())
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{title}: {program} failed ({status})");
    }
    eprintln!("== {title}: {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Cargo, in the root.
pub fn cargo<S: AsRef<OsStr>>(title: &str, args: &[S]) -> Result<()> {
    cargo_with(title, args, &[])
}

/// The same with variables in its environment.
pub fn cargo_with<S: AsRef<OsStr>>(
    title: &str,
    args: &[S],
    environment: &[(&str, &str)],
) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    step_with(title, &cargo, args, environment)
}

/// Whether a program is on the path.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether we may install packages.
pub fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

/// Makes sure that these programs are there: installs their Debian packages as root, otherwise says what is missing.
pub fn need(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = programs
        .iter()
        .filter(|(program, _)| !has(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    if !is_root() || !has("apt-get") {
        bail!(
            "missing programs; install these packages: {}",
            packages.join(" ")
        );
    }
    step("update the package lists", "apt-get", &["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&packages);
    let _still = NoServices::start()?;
    step(&format!("install {}", packages.join(" ")), "apt-get", &args)
}

/// While it lives, packages that are installed start no services: tests start their own, on ports and in folders of theirs.
struct NoServices(bool);

/// What Debian's packages ask before they start one (invoke-rc.d).
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    /// A machine that has a policy keeps it.
    fn start() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        if Path::new(POLICY).exists() {
            return Ok(Self(false));
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(true))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            eprintln!("{POLICY} could not be removed: {error}");
        }
    }
}

/// Makes sure that Python can make the environments that guests are built in: Debian has that in a package of its own.
pub fn need_python_environments() -> Result<()> {
    let able = || {
        Command::new("python3")
            .args(["-c", "import ensurepip, venv"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if able() {
        return Ok(());
    }
    need(&[("python3-venv", "python3-venv")])?;
    if able() {
        return Ok(());
    }
    bail!("python3 cannot make environments even with the package python3-venv")
}

/// Makes sure that rustup has what checks form and lints.
pub fn need_components(components: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = components
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, component)| *component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut args = vec!["component", "add"];
    args.extend(&missing);
    step(&format!("add {}", missing.join(" and ")), "rustup", &args)
}

/// Makes sure that rustup has these targets.
pub fn need_targets(targets: &[&str]) -> Result<()> {
    let have = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    let have = have
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    let missing: Vec<&&str> = targets
        .iter()
        .filter(|t| !have.lines().any(|l| l == **t))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut args = vec!["target", "add"];
    args.extend(missing.iter().map(|t| **t));
    step(&format!("add the targets {missing:?}"), "rustup", &args)
}
