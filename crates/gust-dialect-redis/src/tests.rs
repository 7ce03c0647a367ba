//! The door over real sockets, with a client that knows nothing but bytes.

mod blocking;
mod bounds;
mod client;
mod differential;
mod hostile;
mod messages;
mod slow;
mod stories;
mod values;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::{
    Backends,
    keys::{AccessKey, Keys},
    kv::Kv,
    unit::memory::MemoryBackends,
};
use gust_task::Stop;
use gust_types::{Label, ProjectName};
use tokio::net::TcpListener;

use self::client::Client;
use crate::{Door, Parts};

/// Keys of two projects; the first can be removed.
#[derive(Default)]
struct Ring {
    removed: AtomicBool,
}

impl Keys for Ring {
    fn find(&self, id: &str) -> Option<AccessKey> {
        let project = match id {
            "ONE" if !self.removed.load(Relaxed) => ProjectName::default_project(),
            "TWO" => ProjectName::new("two").ok()?,
            _ => return None,
        };
        let secret = format!("secret of {id}");
        Some(AccessKey { project, secret })
    }
}

struct World {
    door: Door,
    ring: Arc<Ring>,
    backends: MemoryBackends,
    address: std::net::SocketAddr,
    stop: Stop,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

async fn world() -> World {
    let backends = MemoryBackends::default();
    world_over(Arc::new(backends.clone()), backends).await
}

/// A world whose door goes through these to what functions see.
async fn world_over(through: Arc<dyn Backends>, backends: MemoryBackends) -> World {
    let ring = Arc::new(Ring::default());
    let parts = Parts {
        backends: through,
        keys: ring.clone(),
    };
    let (door, stop) = (Door::new(parts), Stop::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (serving, stopped) = (door.clone(), stop.child());
    gust_task::spawn("door", async move {
        serving.serve(listener, stopped, Duration::ZERO).await;
    });
    World {
        door,
        ring,
        backends,
        address,
        stop,
    }
}

impl World {
    /// A client that has said nothing yet.
    async fn stranger(&self) -> Client {
        Client::connect(self.address).await
    }

    async fn user(&self, user: &str) -> Client {
        let mut client = self.stranger().await;
        let id = user.split('.').next().unwrap();
        client.ok(&["AUTH", user, &format!("secret of {id}")]).await;
        client
    }

    async fn one(&self) -> Client {
        self.user("ONE").await
    }

    /// The store as functions see it.
    fn store(&self, name: &str) -> Arc<dyn Kv> {
        let project = ProjectName::default_project();
        self.backends
            .kv(&project, &Label::new(name).unwrap())
            .unwrap()
    }
}
