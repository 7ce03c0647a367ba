//! Shows a handler of Spin's MQTT trigger, which is async: prints topic and message, fails on `fail`.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "spin:mqtt-trigger/spin-mqtt@3.0.0",
    generate_all,
});

struct Handler;

export!(Handler);

impl Guest for Handler {
    async fn handle_message(message: Vec<u8>, metadata: Metadata) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message).into_owned();
        println!("mqtt {} {text}", metadata.topic);
        match text.as_str() {
            "fail" => Err(Error::Other("as asked".to_owned())),
            _ => Ok(()),
        }
    }
}
