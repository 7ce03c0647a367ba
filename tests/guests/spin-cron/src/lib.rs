//! Shows a handler of Spin's cron trigger: prints its time, fails when that is 7.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "fermyon:spin-cron/spin-cron@2.0.0",
    generate_all,
});

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle_cron_event(metadata: Metadata) -> Result<(), Error> {
        println!("cron {}", metadata.timestamp);
        match metadata.timestamp {
            7 => Err(Error::Other("as asked".to_owned())),
            _ => Ok(()),
        }
    }
}
