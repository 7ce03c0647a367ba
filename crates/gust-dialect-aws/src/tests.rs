//! The door over real sockets: what clients do not do by themselves, and what functions and others see of it.

mod client;
mod queues;
mod signatures;

use std::{sync::Arc, time::Duration};

use gust_backend::{
    Backends,
    desk::memory::MemoryDesk,
    keys::{AccessKey, Keys},
    unit::memory::MemoryBackends,
};
use gust_task::Stop;
use gust_types::{Label, ProjectName};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::client::Client;
use crate::{Door, Parts};

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

struct World {
    door: Door,
    desk: Arc<MemoryDesk>,
    backends: Arc<dyn Backends>,
    one: Client,
    two: Client,
    stop: Stop,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

async fn world() -> World {
    over(Arc::new(MemoryBackends::default())).await
}

/// A door that was just started, over what is there.
async fn over(backends: Arc<dyn Backends>) -> World {
    let desk = Arc::new(MemoryDesk::new(backends.clone()));
    let parts = Parts {
        desk: desk.clone(),
        backends: backends.clone(),
        keys: Arc::new(Ring),
    };
    let (door, stop) = (Door::new(parts), Stop::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (serving, stopped) = (door.clone(), stop.child());
    gust_task::spawn("door", async move {
        serving
            .serve(listener, stopped, Duration::from_secs(1))
            .await;
    });
    World {
        door,
        desk,
        backends,
        one: Client::new(address, "ONE"),
        two: Client::new(address, "TWO"),
        stop,
    }
}

impl Client {
    /// Makes a queue; answers its URL.
    async fn queue(&self, name: &str, attributes: Value) -> String {
        let params = json!({ "QueueName": name, "Attributes": attributes });
        let made = self.ask("CreateQueue", params).await.json();
        made["QueueUrl"].as_str().unwrap().to_owned()
    }

    async fn send(&self, url: &str, body: &str) -> Value {
        let params = json!({ "QueueUrl": url, "MessageBody": body });
        self.ask("SendMessage", params).await.json()
    }

    /// Takes up to ten, for so many seconds.
    async fn take(&self, url: &str, secs: u64) -> Vec<Value> {
        let params = json!({
            "QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": secs,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let taken = self.ask("ReceiveMessage", params).await.json();
        taken["Messages"].as_array().cloned().unwrap_or_default()
    }
}

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}
