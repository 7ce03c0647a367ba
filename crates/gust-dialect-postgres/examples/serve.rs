//! The door alone, over databases in a folder that is gone afterwards: prints its address. The key's id is `ONE`, its secret
//! `secret of ONE`.

use std::sync::Arc;

use gust_backend::keys::{AccessKey, Keys};
use gust_dialect_postgres::{Door, Parts};
use gust_task::Stop;
use gust_types::ProjectName;

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
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let door = Door::new(Parts {
        backends: Arc::new(gust_backend_local::LocalBackends::open(folder.path())?),
        keys: Arc::new(Ring),
    });
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:0");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    door.serve(listener, Stop::new(), std::time::Duration::ZERO)
        .await;
    Ok(())
}
