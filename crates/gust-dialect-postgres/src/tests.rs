//! The door over real sockets and SQLite: through a driver, and through a client that says anything.

mod client;
mod driver;
mod hostile;
mod login;
mod messages;
mod untyped;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gust_backend::keys::{AccessKey, Keys};
use gust_backend_local::{LocalBackends, Settings};
use gust_task::Stop;
use gust_types::{ByteSize, ProjectName, Span};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use self::client::Raw;
use crate::{Counted, Door, Parts, Patience};

/// The keys that are good.
struct Ring(Mutex<Vec<&'static str>>);

impl Keys for Ring {
    fn find(&self, id: &str) -> Option<AccessKey> {
        if !self.0.lock().contains(&id) {
            return None;
        }
        let project = match id {
            "TWO" => ProjectName::new("two").ok()?,
            _ => ProjectName::default_project(),
        };
        let secret = format!("secret of {id}");
        Some(AccessKey { project, secret })
    }
}

struct World {
    door: Door,
    address: SocketAddr,
    keys: Arc<Ring>,
    stop: Stop,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn settings() -> Settings {
    Settings {
        sql: gust_backend_local::sql::Settings {
            statement: ByteSize::kib(64),
            result: ByteSize::mib(1),
            time: Span::secs(3),
            ..gust_backend_local::sql::Settings::default()
        },
        ..Settings::default()
    }
}

async fn world() -> World {
    patient(Patience::default()).await
}

async fn patient(patience: Patience) -> World {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(Ring(Mutex::new(vec!["ONE", "TWO"])));
    let parts = Parts {
        backends: Arc::new(LocalBackends::open_with(folder.path(), settings()).unwrap()),
        keys: keys.clone(),
    };
    let door = Door::patient(parts, patience);
    let stop = Stop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (serving, stopped) = (door.clone(), stop.child());
    gust_task::spawn("door", async move {
        let grace = Duration::from_secs(1);
        serving.serve(listener, stopped, grace).await;
    });
    World {
        door,
        address,
        keys,
        stop,
        _folder: folder,
    }
}

impl World {
    async fn raw(&self) -> Raw {
        Raw::enter(self.address, "ONE", "default").await
    }

    async fn driver(&self, user: &str) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.address.port())
            .user(user)
            .password(format!("secret of {user}"))
            .dbname("default");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        gust_task::spawn("driver", async move {
            let _ = connection.await;
        });
        client
    }

    fn counted(&self, project: &str) -> Counted {
        let all = self.door.counted();
        let found = all.into_iter().find(|(name, _)| name.as_str() == project);
        found.unwrap().1
    }
}
