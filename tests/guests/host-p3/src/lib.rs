//! Shows the host's WASI 0.3 interfaces by path, answering JSON; an error of an interface is its variant's name.

use kit::{Json, Path};
use wasip3::cli::environment;
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::exports::http::handler::Guest;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types as fs;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::sockets::types as sockets;
use wasip3::{random, spawn_local, wit_stream};

struct Host;

wasip3::http::service::export!(Host);

impl Guest for Host {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = kit_p3::path(&request);
        let answer = match path.parts()[..] {
            ["env"] => {
                let pairs = environment::get_environment().into_iter();
                pairs
                    .map(|(k, v)| Json::from_iter([k.into(), v.into()]))
                    .collect()
            }
            ["files", ..] => read(&path).await.unwrap_or_else(|e| error(&e)),
            ["list", ..] => list(&path).await.unwrap_or_else(|e| error(&e)),
            ["write", ..] => write(&path).await.unwrap_or_else(|e| error(&e)),
            ["fetch"] => kit_p3::fetch(&path).await,
            ["half"] => kit_p3::half(&path).await,
            ["connect"] => connect(path.query("addr").unwrap_or_default()).await,
            ["clocks"] => clocks().await,
            ["random", n] => random_bytes(n.parse().unwrap_or(0)),
            _ => return kit_p3::text(404, "no such path\n"),
        };
        kit_p3::json(200, &answer)
    }
}

/// An error's name is what stands before its payload.
fn error(e: &impl std::fmt::Debug) -> Json {
    let text = format!("{e:?}");
    let text = text.strip_prefix("ErrorCode::").unwrap_or(&text);
    let name = text
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or(text);
    Json::error(name, text)
}

/// The preopened folder that the path lies in, and the path below it.
fn locate(path: &Path) -> Result<(fs::Descriptor, String), fs::ErrorCode> {
    let wanted = format!("/{}", path.segments[1..].join("/"));
    let mut folders = preopens::get_directories();
    folders.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    for (folder, name) in folders {
        let prefix = name.trim_end_matches('/');
        if let Some(rest) = wanted
            .strip_prefix(prefix)
            .filter(|r| r.is_empty() || r.starts_with('/'))
        {
            let rest = rest.trim_start_matches('/');
            return Ok((
                folder,
                if rest.is_empty() {
                    ".".into()
                } else {
                    rest.into()
                },
            ));
        }
    }
    Err(fs::ErrorCode::NoEntry)
}

async fn open(
    path: &Path,
    how: fs::OpenFlags,
    what: fs::DescriptorFlags,
) -> Result<fs::Descriptor, fs::ErrorCode> {
    let (folder, rest) = locate(path)?;
    folder
        .open_at(fs::PathFlags::SYMLINK_FOLLOW, rest, how, what)
        .await
}

async fn read(path: &Path) -> Result<Json, fs::ErrorCode> {
    let file = open(path, fs::OpenFlags::empty(), fs::DescriptorFlags::READ).await?;
    let (stream, done) = file.read_via_stream(0);
    let bytes = stream.collect().await;
    done.await?;
    Ok(Json::object([
        ("length", bytes.len().into()),
        ("content", Json::bytes(bytes)),
    ]))
}

async fn list(path: &Path) -> Result<Json, fs::ErrorCode> {
    let folder = open(path, fs::OpenFlags::DIRECTORY, fs::DescriptorFlags::READ).await?;
    let (entries, done) = folder.read_directory();
    let mut names: Vec<_> = entries
        .collect()
        .await
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    done.await?;
    names.sort();
    Ok(names.into_iter().map(Json::from).collect())
}

/// The component's files are for reading only: this is expected to fail.
async fn write(path: &Path) -> Result<Json, fs::ErrorCode> {
    let file = open(path, fs::OpenFlags::CREATE, fs::DescriptorFlags::WRITE).await?;
    let (mut writer, data) = wit_stream::new();
    let done = file.write_via_stream(data, 0);
    writer.write_all(b"written by a guest".to_vec()).await;
    drop(writer);
    done.await?;
    Ok(Json::object([("written", true.into())]))
}

/// Connects, sends a line and reports the first thing that comes back.
async fn connect(addr: &str) -> Json {
    let Ok(std::net::SocketAddr::V4(addr)) = addr.parse() else {
        return Json::error("BadAddress", "expected ?addr=1.2.3.4:5");
    };
    let [a, b, c, d] = addr.ip().octets();
    let to = sockets::Ipv4SocketAddress {
        port: addr.port(),
        address: (a, b, c, d),
    };
    match converse(sockets::IpSocketAddress::Ipv4(to)).await {
        Ok(received) => Json::object([
            ("connected", true.into()),
            ("received", Json::bytes(received)),
        ]),
        Err(e) => error(&e),
    }
}

async fn converse(to: sockets::IpSocketAddress) -> Result<Vec<u8>, sockets::ErrorCode> {
    let socket = sockets::TcpSocket::create(sockets::IpAddressFamily::Ipv4)?;
    socket.connect(to).await?;
    let (mut writer, data) = wit_stream::new();
    let _sent = socket.send(data);
    spawn_local(async move {
        writer.write_all(b"hello\n".to_vec()).await;
    });
    let (mut stream, _received) = socket.receive();
    let (_, bytes) = stream.read(Vec::with_capacity(1024)).await;
    Ok(bytes)
}

async fn clocks() -> Json {
    let before = monotonic_clock::now();
    monotonic_clock::wait_for(5_000_000).await;
    Json::object([
        ("unix_seconds", system_clock::now().seconds.into()),
        ("slept_ns", (monotonic_clock::now() - before).into()),
        ("resolution_ns", monotonic_clock::get_resolution().into()),
    ])
}

fn random_bytes(n: u64) -> Json {
    let bytes = random::random::get_random_bytes(n);
    Json::object([
        ("length", bytes.len().into()),
        (
            "bytes",
            bytes.into_iter().map(|b| Json::Int(b.into())).collect(),
        ),
        (
            "insecure",
            random::insecure::get_insecure_random_u64()
                .to_string()
                .into(),
        ),
    ])
}
