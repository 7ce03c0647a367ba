//! How long a guest was really running.

use std::time::Duration;

use gust_task::clock;

/// A poll longer than this makes the next one worth asking the kernel.
const LONG: Duration = Duration::from_micros(100);

/// CPU time, summed over polls.
///
/// The kernel's clock of a thread costs a system call of 0.6 µs, twice for each poll; the monotonic clock 25 ns. So
/// polls are timed with the monotonic clock, which is the same as long as the thread is not interrupted, and a
/// guest that computes for long is timed with the thread's clock from its second long poll on.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CpuClock {
    total: Duration,
    long: bool,
}

// === impl CpuClock ===

impl CpuClock {
    /// Runs `poll` and adds the time it took; also hands that time back through [`CpuClock::total`].
    pub(crate) fn time<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let took;
        let output;
        if self.long {
            let begun = clock::thread_cpu();
            output = poll();
            took = clock::thread_cpu().saturating_sub(begun);
        } else {
            let begun = clock::now();
            output = poll();
            took = begun.elapsed();
        }
        self.long = took >= LONG;
        self.total += took;
        output
    }

    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.total += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(time: Duration) {
        let begun = clock::thread_cpu();
        while clock::thread_cpu() - begun < time {}
    }

    #[test]
    fn a_guest_that_computes_is_timed_by_its_threads_clock() {
        let mut meter = CpuClock::default();
        meter.time(|| burn(Duration::from_millis(1)));
        let before = meter.total();
        meter.time(|| {
            // What an interrupted thread does: nothing, for long.
            std::thread::sleep(Duration::from_millis(50));
            burn(Duration::from_millis(1));
        });
        let second = meter.total() - before;
        assert!(second >= Duration::from_millis(1), "{second:?}");
        assert!(second < Duration::from_millis(20), "{second:?}");
    }

    #[test]
    fn short_polls_add_up() {
        let mut meter = CpuClock::default();
        meter.add(Duration::from_millis(3));
        for _ in 0..10 {
            meter.time(|| ());
        }
        let total = meter.total();
        assert!(total > Duration::from_millis(3), "{total:?}");
    }

    #[test]
    fn a_long_call_is_charged_what_its_thread_used_within_one_per_cent() {
        let mut meter = CpuClock::default();
        let begun = clock::thread_cpu();
        for _ in 0..100 {
            meter.time(|| burn(Duration::from_millis(5)));
        }
        let used = clock::thread_cpu() - begun;
        let off = meter.total().abs_diff(used);
        // The first poll is timed by the other clock, which runs on while the thread does not.
        let first = Duration::from_millis(5);
        assert!(off <= used / 100 + first, "{:?} of {used:?}", meter.total());
        assert!(
            meter.total() >= used - used / 100,
            "{:?} of {used:?}",
            meter.total()
        );
    }
}
