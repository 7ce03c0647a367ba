//! A real server as a child process, on a port of its own.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use gust_task::clock;
use parking_lot::Mutex;

/// A server. Dropped, it is killed.
pub struct Server {
    command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Where it listens.
    pub port: u16,
    child: Mutex<Option<Child>>,
}

// === impl Server ===

impl Server {
    /// Starts what `command` makes and waits until it takes connections on `port`.
    pub fn start(port: u16, command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        let server = Self {
            command: Box::new(command),
            port,
            child: Mutex::default(),
        };
        server.set_down(false);
        server
    }

    /// A port that nobody listens on.
    pub fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    /// Kills it, or starts it again.
    pub fn set_down(&self, down: bool) {
        let mut child = self.child.lock();
        if let Some(mut running) = child.take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
        if down {
            return;
        }
        let mut command = (self.command)();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let program = command.get_program().to_owned();
        let mut running = command.spawn().unwrap_or_else(|error| {
            panic!("{program:?} cannot be run: {error}; `cargo xtask test` installs it")
        });
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let begun = clock::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.try_wait().unwrap() {
                panic!("{program:?} ended: {status}");
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{program:?} does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        *child = Some(running);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut running) = self.child.lock().take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}
