//! The door over stores in memory, to try clients against: `cargo run -p gust-dialect-redis --example serve`.
//!
//! It prints its address. Keys are `KEY` and `OTHER`, each with the secret `secret` and a project of its own.

use std::{sync::Arc, time::Duration};

use gust_backend::{
    keys::{AccessKey, Keys},
    unit::memory::MemoryBackends,
};
use gust_dialect_redis::{Door, Parts};
use gust_task::Stop;
use gust_types::ProjectName;
use tokio::net::TcpListener;

struct Two;

impl Keys for Two {
    fn find(&self, id: &str) -> Option<AccessKey> {
        let project = match id {
            "KEY" => ProjectName::default_project(),
            "OTHER" => ProjectName::new("other").ok()?,
            _ => return None,
        };
        let secret = "secret".to_owned();
        Some(AccessKey { project, secret })
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started it needs the address")]
async fn main() -> std::io::Result<()> {
    let door = Door::new(Parts {
        backends: Arc::new(MemoryBackends::default()),
        keys: Arc::new(Two),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    door.serve(listener, Stop::new(), Duration::ZERO).await;
    Ok(())
}
