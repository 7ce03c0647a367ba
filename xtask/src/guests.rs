//! `cargo xtask guests`: builds the programs of `tests/guests` into `target/guests/<name>.wasm`.
//!
//! A Rust guest is a member of that workspace whose manifest has `[package.metadata.guest]`; a folder with a
//! `requirements.txt` is a Python guest, one with a `package.json` a JavaScript guest. Nothing is listed here.
//! A guest whose sources have not changed since its last build is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// What the command line says.
#[derive(Debug, Default, Clone)]
pub struct GuestArgs {
    /// Guests to build; none means all.
    pub names: Vec<String>,
    /// Leave out the guests that need Python or Node.
    pub rust_only: bool,
}

/// Builds what is asked for and out of date. Every guest is tried before a failure is reported.
pub fn run(args: GuestArgs) -> Result<()> {
    let places = Places::find()?;
    let guests = select(discover(&places)?, &args)?;
    let (fresh, stale): (Vec<_>, Vec<_>) = guests.into_iter().partition(|g| places.is_fresh(g));
    if !fresh.is_empty() {
        println!("guests: {} up to date", fresh.len());
    }
    let mut failed = Vec::new();
    let batches = batches(&stale);
    for (step, batch) in batches.iter().enumerate() {
        println!(
            "guests: step {} of {}: {}",
            step + 1,
            batches.len(),
            batch.title()
        );
        if let Err(e) = batch.build(&places) {
            eprintln!("guests: {}: {e:#}", batch.title());
            failed.push(batch.title());
        }
    }
    report(&places, fresh.iter().chain(&stale));
    ensure!(failed.is_empty(), "not built: {}", failed.join("; "));
    Ok(())
}

// === what there is to build ===

#[derive(Debug, Clone)]
struct Guest {
    name: String,
    kind: Kind,
    /// Of everything it is made from.
    digest: u64,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A package of the guests' workspace, built for a target into a file of that name.
    Rust {
        package: String,
        target: String,
        file: String,
    },
    Python {
        folder: PathBuf,
    },
    JavaScript {
        folder: PathBuf,
    },
}

fn discover(places: &Places) -> Result<Vec<Guest>> {
    let mut guests = rust_guests(places)?;
    for entry in fs::read_dir(&places.sources)? {
        let folder = entry?.path();
        let kind = if folder.join("requirements.txt").exists() {
            Kind::Python {
                folder: folder.clone(),
            }
        } else if folder.join("package.json").exists() {
            Kind::JavaScript {
                folder: folder.clone(),
            }
        } else {
            continue;
        };
        let mut digest = Digest::new();
        digest.tree(&folder)?;
        guests.push(Guest {
            name: file_name(&folder),
            kind,
            digest: digest.0,
        });
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

fn rust_guests(places: &Places) -> Result<Vec<Guest>> {
    let out = places
        .cargo(["metadata", "--no-deps", "--format-version=1"])
        .output();
    let out = out.context("cargo metadata")?;
    ensure!(
        out.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    let metadata: Value = serde_json::from_slice(&out.stdout).context("cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;

    let (guests, shared): (Vec<_>, Vec<_>) = packages
        .iter()
        .partition(|package| package["metadata"]["guest"].is_object());
    let mut common = Digest::new();
    common.bytes(
        &Command::new("rustc")
            .arg("-vV")
            .output()
            .context("rustc -vV")?
            .stdout,
    );
    common.file(&places.sources.join("Cargo.toml"))?;
    common.file(&places.sources.join("Cargo.lock"))?;
    common.tree(&places.root.join("wit"))?;
    for package in shared {
        common.tree(&package_folder(package)?)?;
    }

    let mut found = Vec::new();
    for package in guests {
        let mut digest = common.clone();
        digest.tree(&package_folder(package)?)?;
        found.extend(rust_outputs(package, digest.0)?);
    }
    Ok(found)
}

/// A package gives a file under its own name, and one more for each name in `also`.
fn rust_outputs(package: &Value, digest: u64) -> Result<Vec<Guest>> {
    let name = text(&package["name"])?;
    let guest = &package["metadata"]["guest"];
    let is_program = package["targets"][0]["kind"][0] == "bin";
    let file = if is_program {
        name.clone()
    } else {
        name.replace('-', "_")
    };
    let mut outputs = vec![(name.clone(), text(&guest["target"])?)];
    for (also, target) in guest["also"].as_object().into_iter().flatten() {
        outputs.push((also.clone(), text(target)?));
    }
    let outputs = outputs.into_iter().map(|(output, target)| {
        let kind = Kind::Rust {
            package: name.clone(),
            target,
            file: format!("{file}.wasm"),
        };
        Guest {
            name: output,
            kind,
            digest,
        }
    });
    Ok(outputs.collect())
}

fn package_folder(package: &Value) -> Result<PathBuf> {
    let manifest = PathBuf::from(text(&package["manifest_path"])?);
    Ok(manifest
        .parent()
        .context("a manifest lies in a folder")?
        .to_owned())
}

fn text(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .with_context(|| format!("expected a string, got {value}"))?
        .to_owned())
}

fn select(guests: Vec<Guest>, args: &GuestArgs) -> Result<Vec<Guest>> {
    let known: BTreeSet<_> = guests.iter().map(|g| g.name.as_str()).collect();
    if let Some(name) = args
        .names
        .iter()
        .find(|name| !known.contains(name.as_str()))
    {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        bail!("no such guest: {name}\nthere are: {known}");
    }
    let asked = |g: &Guest| args.names.is_empty() || args.names.contains(&g.name);
    let built = |g: &Guest| !args.rust_only || matches!(g.kind, Kind::Rust { .. });
    Ok(guests
        .into_iter()
        .filter(|g| asked(g) && built(g))
        .collect())
}

// === building ===

/// What one command builds: all Rust guests of a target together, others one by one.
enum Batch<'a> {
    Rust {
        target: &'a str,
        guests: Vec<&'a Guest>,
    },
    Other(&'a Guest),
}

fn batches(guests: &[Guest]) -> Vec<Batch<'_>> {
    let mut by_target: BTreeMap<&str, Vec<&Guest>> = BTreeMap::new();
    let mut others = Vec::new();
    for guest in guests {
        match &guest.kind {
            Kind::Rust { target, .. } => by_target.entry(target).or_default().push(guest),
            _ => others.push(Batch::Other(guest)),
        }
    }
    let rust = by_target
        .into_iter()
        .map(|(target, guests)| Batch::Rust { target, guests });
    rust.chain(others).collect()
}

impl Batch<'_> {
    fn title(&self) -> String {
        match self {
            Self::Rust { target, guests } => {
                let names: Vec<_> = guests.iter().map(|g| g.name.as_str()).collect();
                format!("{} for {target}", names.join(", "))
            }
            Self::Other(guest) => guest.name.clone(),
        }
    }

    fn build(&self, places: &Places) -> Result<()> {
        match self {
            Self::Rust { target, guests } => build_rust(places, target, guests),
            Self::Other(guest) => match &guest.kind {
                Kind::Python { folder } => build_python(places, guest, folder),
                Kind::JavaScript { folder } => build_javascript(places, guest, folder),
                Kind::Rust { .. } => Ok(()),
            },
        }
    }
}

fn build_rust(places: &Places, target: &str, guests: &[&Guest]) -> Result<()> {
    add_target(target)?;
    let mut cargo = places.cargo(["build", "--release", "--locked", "--target", target]);
    for guest in guests {
        if let Kind::Rust { package, .. } = &guest.kind {
            cargo.args(["-p", package]);
        }
    }
    must(&mut cargo, "the compiler's messages are above")?;
    for guest in guests {
        if let Kind::Rust { file, .. } = &guest.kind {
            places.keep(guest, &places.build.join(target).join("release").join(file))?;
        }
    }
    Ok(())
}

/// Adds the target's standard library if the toolchain in use lacks it.
fn add_target(target: &str) -> Result<()> {
    let out = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    if sysroot.join("lib/rustlib").join(target).is_dir() {
        return Ok(());
    }
    println!("guests: adding the Rust target {target}");
    let hint = "it needs rustup and a network, once";
    must(Command::new("rustup").args(["target", "add", target]), hint)
}

/// Works on a copy, so that tools and caches never appear among the sources.
fn build_python(places: &Places, guest: &Guest, folder: &Path) -> Result<()> {
    let work = places.copy_of(folder)?;
    let venv = work.join(".venv");
    let hint =
        "Python guests need python3 with venv, and a network once; --rust-only leaves them out";
    if !venv.join("bin/python").exists() {
        must(
            Command::new("python3").args(["-m", "venv"]).arg(&venv),
            hint,
        )?;
    }
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    must(
        pip.args(["-r", "requirements.txt"]).current_dir(&work),
        hint,
    )?;

    // The virtual environment must be named, or packages of the machine are taken for the guest's.
    let mut componentize = Command::new(venv.join("bin/componentize-py"));
    componentize.env("VIRTUAL_ENV", &venv).current_dir(&work);
    componentize.args([
        "-d",
        "wit",
        "-w",
        "app",
        "componentize",
        "app",
        "-o",
        "app.wasm",
    ]);
    must(&mut componentize, "componentize-py's messages are above")?;
    places.keep(guest, &work.join("app.wasm"))
}

fn build_javascript(places: &Places, guest: &Guest, folder: &Path) -> Result<()> {
    let work = places.copy_of(folder)?;
    let hint =
        "JavaScript guests need node and npm, and a network once; --rust-only leaves them out";
    // A second install over the first may leave packages out, so it is all or nothing.
    let (asked, modules) = (
        fs::read(work.join("package.json"))?,
        work.join("node_modules"),
    );
    let installed = modules.join(".installed-for");
    if fs::read(&installed).ok().as_ref() != Some(&asked) {
        let _ = fs::remove_dir_all(&modules);
        let mut install = Command::new("npm");
        install.args([
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        must(install.current_dir(&work), hint)?;
        fs::write(installed, asked)?;
    }
    let mut build = Command::new("npm");
    build.args(["run", "--silent", "build"]);
    must(
        build.current_dir(&work),
        "the build script's messages are above",
    )?;
    places.keep(guest, &work.join("app.wasm"))
}

/// Runs a command whose output the person sees; a failure names it and says what may help.
fn must(command: &mut Command, hint: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run {program}\n{hint}"))?;
    ensure!(status.success(), "{program} failed: {status}\n{hint}");
    Ok(())
}

// === where things are ===

struct Places {
    root: PathBuf,
    /// `tests/guests`
    sources: PathBuf,
    /// `target/guests`: the finished files.
    finished: PathBuf,
    /// `target/guests-build`: cargo's.
    build: PathBuf,
    /// `target/guests-tools`: working copies with their virtual environments and node modules.
    tools: PathBuf,
}

impl Places {
    /// From the folder of this program's manifest, else upwards from the current one.
    fn find() -> Result<Self> {
        let here = env::current_dir()?;
        let mut candidates = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .chain(here.ancestors());
        let root = candidates.find(|folder| folder.join("tests/guests/Cargo.toml").exists());
        let root = root
            .context("no tests/guests above this folder")?
            .to_owned();
        let places = Self {
            sources: root.join("tests/guests"),
            finished: root.join("target/guests"),
            build: root.join("target/guests-build"),
            tools: root.join("target/guests-tools"),
            root,
        };
        fs::create_dir_all(places.finished.join(".stamps"))?;
        Ok(places)
    }

    /// Cargo in the guests' workspace, without the flags that were meant for the machine's own target.
    fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(args)
            .current_dir(&self.sources)
            .env("CARGO_TARGET_DIR", &self.build);
        cargo
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo
    }

    fn output(&self, guest: &Guest) -> PathBuf {
        self.finished.join(format!("{}.wasm", guest.name))
    }

    fn stamp(&self, guest: &Guest) -> PathBuf {
        self.finished.join(".stamps").join(&guest.name)
    }

    fn is_fresh(&self, guest: &Guest) -> bool {
        let stamp = fs::read_to_string(self.stamp(guest)).unwrap_or_default();
        stamp == format!("{:016x}", guest.digest) && self.output(guest).exists()
    }

    /// Puts a built file in its place in one step, since another run may be reading the old one.
    fn keep(&self, guest: &Guest, built: &Path) -> Result<()> {
        let partial = self
            .finished
            .join(format!(".{}.{}", guest.name, std::process::id()));
        fs::copy(built, &partial).with_context(|| format!("no output: {}", built.display()))?;
        fs::rename(&partial, self.output(guest))?;
        fs::write(self.stamp(guest), format!("{:016x}", guest.digest))?;
        Ok(())
    }

    /// The guest's files in a folder under `target/guests-tools`, beside what its tools left there last time.
    fn copy_of(&self, folder: &Path) -> Result<PathBuf> {
        let work = self.tools.join(file_name(folder));
        fs::create_dir_all(&work)?;
        for old in files(&work)? {
            fs::remove_file(old)?;
        }
        for file in files(folder)? {
            let to = work.join(file.strip_prefix(folder)?);
            fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
            fs::copy(&file, to)?;
        }
        Ok(work)
    }
}

fn report<'a>(places: &Places, guests: impl Iterator<Item = &'a Guest>) {
    let mut guests: Vec<_> = guests.collect();
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    for guest in guests {
        match fs::metadata(places.output(guest)) {
            Ok(file) if places.is_fresh(guest) => {
                println!("  {:<16} {:>11} bytes", guest.name, file.len())
            }
            _ => println!("  {:<16} {:>11}", guest.name, "not built"),
        }
    }
}

// === what has changed ===

/// FNV-1a: it tells sources apart, it does not defend against anyone.
#[derive(Clone)]
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        self.bytes(&fs::read(path).with_context(|| path.display().to_string())?);
        Ok(())
    }

    fn tree(&mut self, folder: &Path) -> Result<()> {
        for file in files(folder)? {
            self.bytes(file.strip_prefix(folder)?.to_string_lossy().as_bytes());
            self.file(&file)?;
        }
        Ok(())
    }
}

/// Every source file under a folder, in a fixed order, without what tools leave behind.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    const LEFT_BEHIND: [&str; 4] = ["target", "node_modules", ".venv", "__pycache__"];
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        if LEFT_BEHIND.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension() != Some(OsStr::new("wasm")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
