//! Time, ids, tasks and stopping: the only room that reads a clock, rolls dice or spawns.
//!
//! It never knows what a task is for. Start with [`clock`], then [`spawn`], then [`reconcile`].
#![warn(missing_docs)]

pub mod clock;
pub mod ids;
pub mod net;
pub mod reconcile;
pub mod stop;

pub use reconcile::Reconcile;
pub use stop::Stop;

/// Spawns a named task on the current runtime. A panic in it is caught, counted and logged under its name.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn spawn<F>(name: &'static str, task: F) -> tokio::task::JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(Named {
        name,
        task: Some(Box::pin(task)),
    })
}

/// How many tasks have panicked since the process started.
pub fn panics() -> u64 {
    PANICS.load(std::sync::atomic::Ordering::Relaxed)
}

static PANICS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

struct Named<F> {
    name: &'static str,
    task: Option<std::pin::Pin<Box<F>>>,
}

impl<F: Future> Future for Named<F> {
    type Output = Option<F::Output>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        use std::task::Poll;
        let Some(task) = self.task.as_mut() else {
            return Poll::Ready(None);
        };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(payload) => {
                self.task = None;
                PANICS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tracing::error!(
                    task = self.name,
                    panic = panic_text(&payload),
                    "a task panicked"
                );
                Poll::Ready(None)
            }
        }
    }
}

/// What a panic said.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_panicking_task_is_counted_and_contained() {
        let before = super::panics();
        let ended = super::spawn("boom", async { panic!("boom") }).await;
        assert!(matches!(ended, Ok(None::<()>)));
        assert_eq!(super::panics(), before + 1);
    }
}
