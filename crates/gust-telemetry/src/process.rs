//! What the process itself takes, read from `/proc` at a scrape; silent where there is no `/proc`.

use std::fs;

/// One reading.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) open_fds: u64,
    pub(crate) threads: u64,
}

// === impl Process ===

impl Process {
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let fds = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Self::parse(&stat, &statm, fds)
    }

    fn parse(stat: &str, statm: &str, open_fds: u64) -> Option<Self> {
        // The name in parentheses may hold spaces and parentheses; the numbers start after the last one.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let mut pages = statm.split_ascii_whitespace().map(str::parse::<u64>);
        let page = rustix::param::page_size() as u64;
        Some(Self {
            virtual_bytes: pages.next()?.ok()? * page,
            resident_bytes: pages.next()?.ok()? * page,
            cpu_seconds: (ticks(11)? + ticks(12)?) as f64
                / rustix::param::clock_ticks_per_second() as f64,
            threads: ticks(17)?,
            open_fds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 33 0 99 1000 20";
        let got = Process::parse(stat, "100 10 1 1 0 1 0", 5).unwrap();
        let page = rustix::param::page_size() as u64;
        assert_eq!(
            (got.virtual_bytes, got.resident_bytes),
            (100 * page, 10 * page)
        );
        assert_eq!(got.threads, 33);
        assert!(got.cpu_seconds > 0.0);
        assert_eq!(Process::parse("", "", 0), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_files() {
        let got = Process::read().unwrap();
        assert!(got.resident_bytes > 100_000 && got.open_fds > 2 && got.threads > 0);
    }
}
