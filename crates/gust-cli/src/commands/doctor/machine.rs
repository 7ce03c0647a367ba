//! The kernel, its limits, and the compilers that make guests.

use std::process::Stdio;

use rustix::process::{Resource, getrlimit};
use tokio::process::Command;

use super::Finding;

/// The first kernel whose PAGEMAP_SCAN lets an instance be reset by looking at the pages it wrote.
const PAGEMAP_SCAN: (u32, u32) = (6, 7);

/// Memory maps that a full pool of instances and their mapped code may need.
const MAPS: u64 = 65_530;

/// Open files below which a busy gateway runs into its limit.
const FILES: u64 = 4096;

pub(super) fn look() -> Vec<Finding> {
    vec![
        kernel(&setting("/proc/sys/kernel/osrelease")),
        userfaultfd(&setting("/proc/sys/vm/unprivileged_userfaultfd")),
        overcommit(&setting("/proc/sys/vm/overcommit_memory")),
        maps(&setting("/proc/sys/vm/max_map_count")),
        address_space(),
        open_files(),
        names(),
    ]
}

fn setting(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

fn kernel(release: &str) -> Finding {
    let mut parts = release.split(['.', '-']).map(|p| p.parse::<u32>().ok());
    let version = (parts.next().flatten(), parts.next().flatten());
    match version {
        (Some(major), Some(minor)) if (major, minor) >= PAGEMAP_SCAN => {
            Finding::ok("kernel", format!("{release}, with PAGEMAP_SCAN"))
        }
        (Some(_), Some(_)) => Finding::warn("kernel", format!("{release}, without PAGEMAP_SCAN"))
            .hint("instances are reset by unmapping; from Linux 6.7 on this is faster"),
        _ => Finding::warn("kernel", format!("version not understood: {release:?}")),
    }
}

fn userfaultfd(value: &str) -> Finding {
    let found = match value {
        "1" => "for everyone",
        "0" => "for privileged processes",
        _ => "not offered",
    };
    // Nothing depends on it; it is one more way to map memory lazily.
    Finding::ok("userfaultfd", found)
}

fn overcommit(value: &str) -> Finding {
    match value {
        "2" => Finding::bad(
            "memory",
            "the kernel refuses to reserve more memory than it has (vm.overcommit_memory = 2)",
        )
        .hint(
            "instances reserve address space without using it: set vm.overcommit_memory to 0 or 1",
        ),
        "" => Finding::warn("memory", "vm.overcommit_memory cannot be read"),
        value => Finding::ok("memory", format!("vm.overcommit_memory = {value}")),
    }
}

fn maps(value: &str) -> Finding {
    match value.parse::<u64>() {
        Ok(n) if n >= MAPS => Finding::ok("memory maps", format!("{n} for each process")),
        Ok(n) => Finding::warn("memory maps", format!("only {n} for each process")).hint(format!(
            "raise vm.max_map_count to {MAPS} or lower max_instances"
        )),
        Err(_) => Finding::warn("memory maps", "vm.max_map_count cannot be read"),
    }
}

fn address_space() -> Finding {
    match getrlimit(Resource::As).current {
        None => Finding::ok("address space", "not limited"),
        Some(bytes) => Finding::bad(
            "address space",
            format!("limited to {}", crate::output::bytes(bytes)),
        )
        .hint("instances reserve far more than they use: lift the limit (ulimit -v unlimited)"),
    }
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    match (limit.current, limit.maximum) {
        (Some(now), most) if now < FILES => {
            let most = most.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
            Finding::warn("open files", format!("at most {now} (hard limit: {most})"))
                .hint("every connection is one: raise the limit (ulimit -n 65536)")
        }
        (Some(now), _) => Finding::ok("open files", format!("at most {now}")),
        (None, _) => Finding::ok("open files", "not limited"),
    }
}

/// Apps answer below `gust.localhost`, which not every resolver knows to be this machine.
fn names() -> Finding {
    use std::net::ToSocketAddrs as _;
    let found = ("doctor.gust.localhost", 80).to_socket_addrs();
    match found.is_ok_and(|mut found| found.all(|a| a.ip().is_loopback())) {
        true => Finding::ok("host names", "*.gust.localhost is this machine"),
        false => Finding::warn("host names", "*.gust.localhost does not resolve")
            .hint("browsers know it anyway; with others say: curl -H 'Host: APP.gust.localhost' http://127.0.0.1:8080/"),
    }
}

/// Compilers are needed by whoever builds: their absence is no fault.
pub(super) async fn toolchains() -> Vec<Finding> {
    let (rust, npm, python) = tokio::join!(
        answer("rustc", &["--print", "sysroot"]),
        answer("npm", &["--version"]),
        answer("python3", &["--version"]),
    );
    let rust = match rust {
        None => Finding::warn("rust", "not found")
            .hint("only needed to build functions in Rust: see https://rustup.rs"),
        Some(sysroot) => {
            let target = format!("{sysroot}/lib/rustlib/wasm32-wasip2");
            match std::path::Path::new(&target).is_dir() {
                true => Finding::ok("rust", "found, with the target wasm32-wasip2"),
                false => Finding::warn("rust", "found, without the target wasm32-wasip2")
                    .hint("add it with: rustup target add wasm32-wasip2"),
            }
        }
    };
    let other = |what, found: Option<String>, language| match found {
        Some(version) => Finding::ok(what, version),
        None => Finding::warn(what, "not found")
            .hint(format!("only needed to build functions in {language}")),
    };
    vec![
        rust,
        other("npm", npm, "JavaScript"),
        other("python", python, "Python"),
    ]
}

/// The first line that a program prints, if it is there and well.
async fn answer(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let limit = std::time::Duration::from_secs(10);
    let output = tokio::time::timeout(limit, output).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn what_is_found_is_judged() {
        for (finding, state) in [
            (kernel("6.7.0-1-amd64"), State::Ok),
            (kernel("6.1.0-13-amd64"), State::Warn),
            (kernel("5.10.0"), State::Warn),
            (kernel("7.0-rc1"), State::Ok),
            (kernel("strange"), State::Warn),
            (overcommit("0"), State::Ok),
            (overcommit("2"), State::Bad),
            (maps("65530"), State::Ok),
            (maps("1000"), State::Warn),
            (maps(""), State::Warn),
        ] {
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
