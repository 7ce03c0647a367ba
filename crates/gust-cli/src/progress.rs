//! Long work on stderr: bars on a terminal, a line for each step elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gust_types::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Elsewhere than on a terminal a step is told only when this long has passed without a word: quick work stays quiet.
const SILENCE: Duration = Duration::from_secs(2);

/// Between two looks at how much is left of long work.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for work that the node does, and shows how much of what it works on is left, once it takes long.
pub(crate) async fn watched<T>(
    what: &str,
    work: impl Future<Output = Result<T>>,
    left: impl AsyncFn() -> Result<u64>,
) -> Result<T> {
    let (bars, mut work) = (Bars::new(), std::pin::pin!(work));
    let mut total = None;
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = tokio::time::sleep(LOOK) => {}
        }
        // That it cannot be shown is no reason to stop.
        tokio::select! {
            ended = &mut work => break ended,
            left = left() => if let Ok(left) = left {
                let total = *total.get_or_insert_with(|| left.max(1));
                match bars.drawn {
                    true => bars.step(what, total.saturating_sub(left), total),
                    false => bars.tell(&format!("{what}: {left} left")),
                }
            }
        }
    };
    bars.clear();
    ended
}

/// The bars of one command.
pub(crate) struct Bars {
    multi: MultiProgress,
    drawn: bool,
    /// Steps that others report, by what they are.
    steps: Mutex<BTreeMap<String, ProgressBar>>,
    told: Mutex<Instant>,
}

// === impl Bars ===

impl Bars {
    pub(crate) fn new() -> Self {
        Self {
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            drawn: output::stderr_is_terminal(),
            steps: Mutex::default(),
            told: Mutex::new(gust_task::clock::now()),
        }
    }

    /// A bar over a number of bytes.
    pub(crate) fn bytes(&self, what: &str, total: u64) -> ProgressBar {
        let template = "{prefix:<32!} {bar:24} {bytes:>10}/{total_bytes:<10} {bytes_per_sec}";
        self.bar(what, total, template)
    }

    /// A bar over a number of things.
    fn count(&self, what: &str, total: u64) -> ProgressBar {
        self.bar(what, total, "{prefix:<32!} {bar:24} {pos}/{len}")
    }

    /// Something that moves while it is not known how much is left.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        let bar = self.bar(what, 0, "{spinner} {prefix} {elapsed} {wide_msg:.dim}");
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn bar(&self, what: &str, total: u64, template: &str) -> ProgressBar {
        if !self.drawn {
            output::say(what);
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
        let bar = self.multi.add(ProgressBar::new(total).with_style(style));
        bar.set_prefix(what.to_owned());
        bar
    }

    /// How far a step that somebody else does is.
    pub(crate) fn step(&self, what: &str, done: u64, total: u64) {
        if !self.drawn {
            return self.tell(what);
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = steps.entry(what.to_owned()).or_insert_with(|| match total {
            0 | 1 => self.spinner(what),
            total => self.count(what, total),
        });
        if total > 0 {
            bar.set_length(total);
        }
        bar.set_position(done);
        if total > 0 && done >= total {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, what: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= SILENCE {
            *told = gust_task::clock::now();
            output::say(what);
        }
    }

    /// Takes all bars away, so that what is printed next stands alone.
    pub(crate) fn clear(&self) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in std::mem::take(&mut *steps).into_values() {
            bar.finish_and_clear();
        }
        // Only the look of a terminal is at stake.
        let _ = self.multi.clear();
    }
}
