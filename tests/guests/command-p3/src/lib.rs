//! Shows a program of WASI 0.3, run once a call: prints the value of `GREETING`, then its input as it comes. It fails
//! when its input does.

use wasip3::cli::{environment, stdin, stdout};
use wasip3::exports::cli::run::Guest;
use wasip3::wit_bindgen::StreamResult;
use wasip3::{spawn_local, wit_stream};

struct Command;

wasip3::cli::command::export!(Command);

impl Guest for Command {
    async fn run() -> Result<(), ()> {
        let (mut output, printed) = wit_stream::new();
        spawn_local(async move {
            let _ = stdout::write_via_stream(printed).await;
        });
        let mut greeting = environment::get_environment().into_iter();
        let greeting = greeting.find(|(name, _)| name == "GREETING");
        let greeting = greeting.map(|(_, value)| value).unwrap_or_default();
        output.write_all(format!("{greeting}\n").into_bytes()).await;
        let (mut input, whole) = stdin::read_via_stream();
        loop {
            let (result, piece) = input.read(Vec::with_capacity(4096)).await;
            if !piece.is_empty() {
                output.write_all(piece).await;
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        whole.await.map_err(|_| ())
    }
}
