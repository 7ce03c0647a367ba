//! Code that a manifest names by a URL: fetched once, held against its digest, and kept for the next time.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use gust_types::{AppSpec, Digest, Error, FunctionName, Result, app::Source};
use http::{Request, Response, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use indicatif::ProgressBar;
use sha2::Digest as _;
use tempfile::NamedTempFile;

use crate::{artifacts, progress::Bars};

/// Bytes of one component, which is what a node takes.
const MOST: u64 = 256 << 20;
/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Times that a server may send us on.
const HOPS: usize = 10;

type Body = hyper::body::Incoming;

struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Where what was fetched is kept, each under its digest.
    kept: PathBuf,
}

/// Fetches what the app names by URLs and is not here yet; from then on its functions name files.
pub(crate) async fn sources(app: &mut AppSpec) -> Result<()> {
    let mut fetcher = None;
    let mut all: Vec<(&FunctionName, &mut Source)> = Vec::new();
    for (name, function) in &mut app.functions {
        all.push((name, &mut function.source));
        for dependency in &mut function.dependencies {
            all.push((name, &mut dependency.source));
        }
    }
    for (name, source) in all {
        let Source::Remote { url, digest } = source else {
            continue;
        };
        let fetcher = match &mut fetcher {
            Some(there) => there,
            none => none.insert(Fetcher::new(kept()?)?),
        };
        let file = fetcher
            .file(name.as_str(), url, *digest)
            .await
            .map_err(|error| Error {
                message: format!("function `{name}`: {}", error.message),
                ..error
            })?;
        let file = file.into_os_string().into_string().map_err(|path| {
            let text = format!("not a path that can be kept: {}", path.display());
            Error::invalid(text).hint("set XDG_CACHE_HOME to a path in UTF-8")
        })?;
        *source = Source::Path(file);
    }
    Ok(())
}

/// The folder of the user that things can be fetched into again.
fn kept() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let caches = set("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
    let caches = caches.ok_or_else(|| {
        Error::invalid("there is no folder to keep fetched code in")
            .hint("set HOME or XDG_CACHE_HOME")
    })?;
    Ok(caches.join("gust/sources"))
}

// === impl Fetcher ===

impl Fetcher {
    fn new(kept: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&kept).map_err(|error| {
            Error::invalid(format!("cannot make the folder {}", kept.display())).because(error)
        })?;
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            kept,
        })
    }

    /// A file with this digest. One that is kept but damaged is fetched again.
    async fn file(&self, label: &str, url: &str, wanted: Digest) -> Result<PathBuf> {
        let file = self.kept.join(wanted.hex());
        let there = file.clone();
        let found = tokio::task::spawn_blocking(move || artifacts::digest(&there)).await;
        if let Ok(Ok((found, _))) = found
            && found == wanted
        {
            return Ok(file);
        }
        let answer = self.follow(url).await?;
        let bars = Bars::new();
        let size = answer.headers().get(header::CONTENT_LENGTH);
        let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
        if size.is_some_and(|size| size > MOST) {
            return Err(too_large(url));
        }
        let bar = bars.bytes(&format!("fetch {label}"), size.unwrap_or(0));
        let fetched = self.save(url, answer.into_body(), wanted, &bar).await;
        bars.clear();
        fetched?.persist(&file).map_err(|e| storage(e.error))?;
        Ok(file)
    }

    /// Goes where it is sent, but never from TLS to a place without.
    async fn follow(&self, url: &str) -> Result<Response<Body>> {
        let mut at: url::Url = url
            .parse()
            .map_err(|error| Error::invalid(format!("not a URL: {url:?}")).because(error))?;
        for _ in 0..=HOPS {
            at.set_fragment(None);
            let uri: Uri = at.as_str().parse().map_err(|error| {
                Error::unavailable(format!("{url} leads to what is no URL")).because(error)
            })?;
            let answer = self.ask(uri).await.map_err(|error| Error {
                message: format!("cannot fetch {url}: {}", error.message),
                ..error
            })?;
            let status = answer.status();
            if let 301 | 302 | 303 | 307 | 308 = status.as_u16() {
                let to = answer.headers().get(header::LOCATION);
                let next = to.and_then(|to| at.join(to.to_str().ok()?).ok());
                let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
                let next = next
                    .ok_or_else(|| Error::unavailable(format!("{url} leads nowhere ({status})")))?;
                if at.scheme() == Scheme::HTTPS.as_str() && next.scheme() != at.scheme() {
                    let text = format!("{url} leads from TLS to a place without: {next}");
                    return Err(Error::denied(text));
                }
                at = next;
                continue;
            }
            if status == StatusCode::OK {
                return Ok(answer);
            }
            let error = Error::unavailable(format!("{url} answers {status}"));
            return Err(match status.as_u16() {
                401 | 403 => error.hint("code is fetched without credentials: fetch it yourself, and name it by its path"),
                _ => error,
            });
        }
        Err(Error::unavailable(format!(
            "{url} leads on more than {HOPS} times"
        )))
    }

    async fn ask(&self, uri: Uri) -> Result<Response<Body>> {
        let request = Request::get(uri)
            .header(
                header::USER_AGENT,
                concat!("gust/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT, "application/wasm, */*")
            .body(Empty::new())
            .map_err(|error| Error::invalid("not a URL that can be asked").because(error))?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::unavailable("no answer").because(error)),
            Err(_) => Err(silent()),
        }
    }

    /// What comes, if it is what was wanted.
    async fn save(
        &self,
        url: &str,
        mut body: Body,
        wanted: Digest,
        bar: &ProgressBar,
    ) -> Result<NamedTempFile> {
        let mut file = NamedTempFile::new_in(&self.kept).map_err(storage)?;
        let (mut hash, mut size) = (sha2::Sha256::new(), 0);
        loop {
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
            let Some(frame) = frame.map_err(|_| silent())? else {
                break;
            };
            let frame = frame.map_err(|error| {
                Error::unavailable(format!("{url} ended too early")).because(error)
            })?;
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            size += bytes.len() as u64;
            if size > MOST {
                return Err(too_large(url));
            }
            hash.update(bytes);
            file.write_all(bytes).map_err(storage)?;
            bar.set_position(size);
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found != wanted {
            return Err(
                Error::invalid(format!("{url} is not what `digest` says: it has {found}"))
                    .hint("see why it is another before you write its digest into the manifest"),
            );
        }
        file.as_file().sync_all().map_err(storage)?;
        Ok(file)
    }
}

fn too_large(url: &str) -> Error {
    Error::too_large(format!("{url} has more than {} MiB", MOST >> 20))
}

fn silent() -> Error {
    let text = format!("the server said nothing for {} s", PATIENCE.as_secs());
    Error::timeout(text)
}

fn storage(error: std::io::Error) -> Error {
    Error::unavailable("fetched code cannot be kept")
        .because(error)
        .hint("set XDG_CACHE_HOME to a folder with room")
}

#[cfg(test)]
mod tests {
    use gust_types::Kind;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers each path with what is written here.
    async fn server(answers: &'static [(&str, &str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        gust_task::spawn("a server", async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap();
                let answer = answers.iter().find(|(of, _)| *of == path);
                let answer = answer.map_or("HTTP/1.1 404 Not Found\r\n\r\n", |(_, text)| text);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        at
    }

    #[tokio::test]
    async fn what_is_fetched_is_what_was_wanted() {
        let at = server(&[
            ("/code", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ncode"),
            (
                "/moved",
                "HTTP/1.1 302 Found\r\nlocation: code\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ),
            (
                "/round",
                "HTTP/1.1 301 Moved\r\nlocation: /round\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ),
            (
                "/file",
                "HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ),
            (
                "/short",
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\ncode",
            ),
            (
                "/large",
                "HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\nconnection: close\r\n\r\n",
            ),
        ])
        .await;
        let folder = tempfile::tempdir().unwrap();
        let fetcher = Fetcher::new(folder.path().join("kept")).unwrap();
        let wanted = Digest::of(b"code");
        let get =
            async |path: &str, wanted| fetcher.file("f", &format!("{at}{path}"), wanted).await;
        for (path, kind, says) in [
            ("/none", Kind::Unavailable, "answers 404"),
            ("/round", Kind::Unavailable, "more than 10 times"),
            ("/file", Kind::Unavailable, "leads nowhere"),
            ("/short", Kind::Unavailable, "ended too early"),
            ("/large", too_large("").kind, "more than 256 MiB"),
        ] {
            let error = get(path, wanted).await.unwrap_err();
            assert!(
                error.kind == kind && error.message.contains(says),
                "{error}"
            );
        }
        let error = get("/code", Digest::of(b"other")).await.unwrap_err();
        assert!(
            error.message.contains("is not what `digest` says"),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(&fetcher.kept).unwrap().count(), 0);
        let file = get("/moved", wanted).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"code");
        // Kept, and not asked for again.
        assert_eq!(get("/none", wanted).await.unwrap(), file);
        std::fs::write(&file, "damaged").unwrap();
        assert!(get("/none", wanted).await.is_err());
        assert_eq!(get("/code", wanted).await.unwrap(), file);
        assert_eq!(std::fs::read(&file).unwrap(), b"code");
    }
}
