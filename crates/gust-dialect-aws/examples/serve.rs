//! The door over queues in memory, for trying clients: prints its address and serves until it is killed.
//!
//! `AWS_ENDPOINT_URL=http://ADDRESS AWS_ACCESS_KEY_ID=ONE AWS_SECRET_ACCESS_KEY='secret of ONE' aws sqs list-queues`

#![expect(clippy::print_stdout, reason = "whoever starts it wants the address")]

use std::{sync::Arc, time::Duration};

use gust_backend::{
    Backends,
    desk::memory::MemoryDesk,
    keys::{AccessKey, Keys},
    unit::memory::MemoryBackends,
};
use gust_dialect_aws::{Door, Parts};
use gust_task::Stop;
use gust_types::ProjectName;
use tokio::net::TcpListener;

struct Ring;

impl Keys for Ring {
    fn find(&self, id: &str) -> Option<AccessKey> {
        let project = match id {
            "ONE" => ProjectName::default_project(),
            "TWO" => ProjectName::new("two").ok()?,
            _ => return None,
        };
        let secret = format!("secret of {id}");
        Some(AccessKey { project, secret })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let door = Door::new(Parts {
        desk: Arc::new(MemoryDesk::new(backends.clone())),
        backends,
        keys: Arc::new(Ring),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    door.serve(listener, Stop::new(), Duration::ZERO).await;
    Ok(())
}
