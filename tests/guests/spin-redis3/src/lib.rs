//! Shows a Redis handler written with Spin's Rust SDK, which is async: prints what it is handed, fails on `fail`.

use spin_sdk::redis_subscriber;

#[redis_subscriber]
async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&message).into_owned();
    println!("redis3 {text}");
    anyhow::ensure!(text != "fail", "as asked");
    Ok(())
}
