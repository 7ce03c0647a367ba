use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use gust_trigger::{
    Dial, Provider,
    suite::{self, Kept, Rig, Running, until},
};
use gust_types::Error;
use http::{HeaderMap, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use url::Url;

use super::*;

/// A page with a tag, on a server of hyper's.
#[derive(Default)]
struct Shown {
    body: Bytes,
    version: u64,
    /// The version that was asked for last.
    asked: u64,
    requests: Vec<(String, HeaderMap)>,
    /// Answers before the page's own.
    instead: VecDeque<Response<Full<Bytes>>>,
}

struct Real {
    shown: Arc<Mutex<Shown>>,
    port: u16,
    serving: Mutex<Option<JoinHandle<Option<()>>>>,
    settings: Value,
}

impl Real {
    async fn start(settings: Value) -> Self {
        let shown = Arc::<Mutex<Shown>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = gust_task::spawn("page", serve(listener, shown.clone()));
        Self {
            shown,
            port,
            serving: Mutex::new(Some(serving)),
            settings,
        }
    }

    fn show(&self, body: impl Into<Bytes>) {
        let mut shown = self.shown.lock();
        shown.body = body.into();
        shown.version += 1;
    }

    fn instead(&self, status: u16, headers: &[(&'static str, &str)]) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let answer = answer.body(Full::default()).unwrap();
        self.shown.lock().instead.push_back(answer);
    }

    fn open(&self, more: Value, port: u16) -> HttpSource {
        let mut settings = self.settings.as_object().unwrap().clone();
        settings
            .entry("url")
            .or_insert_with(|| format!("http://127.0.0.1:{port}/items?all=1").into());
        settings.extend(more.as_object().unwrap().clone());
        let settings: Settings = serde_json::from_value(settings.into()).unwrap();
        let mut source = settings.source(context()).unwrap();
        // As often as nobody may write it.
        source.every = Duration::from_millis(20);
        source
    }

    async fn fails(&self, more: Value) -> Error {
        let running =
            Running::unconnected(Box::new(self.open(more, self.port)), Kept::default(), false);
        running.ended().await.unwrap_err()
    }
}

async fn serve(listener: TcpListener, shown: Arc<Mutex<Shown>>) {
    // Dropped with what serves them, when the server is taken down.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let shown = shown.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&mut shown.lock(), &request);
                async { Ok::<_, Infallible>(answer) }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service)
                .await;
        });
    }
}

fn answer(shown: &mut Shown, request: &Request<Body>) -> Response<Full<Bytes>> {
    let asked = (request.uri().to_string(), request.headers().clone());
    shown.requests.push(asked);
    if let Some(answer) = shown.instead.pop_front() {
        return answer;
    }
    shown.asked = shown.version;
    let etag = format!("\"v{}\"", shown.version);
    let answer = Response::builder().header(header::ETAG, &etag);
    if request
        .headers()
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tag| *tag == etag)
    {
        return answer.status(304).body(Full::default()).unwrap();
    }
    let answer = answer.header(header::CONTENT_TYPE, "text/plain");
    answer.body(Full::new(shown.body.clone())).unwrap()
}

fn context() -> Context {
    Context {
        identity: "gust-1".to_owned(),
        dial: Dial::default(),
    }
}

#[async_trait]
impl Rig for Real {
    fn source(&self, port: Option<u16>) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.open(json!({}), port.unwrap_or(self.port))))
    }

    /// A page shows one thing at a time: it is there until somebody has looked.
    async fn publish(&self, payload: &[u8]) {
        self.show(payload.to_vec());
        until("looked at", || {
            let shown = self.shown.lock();
            shown.asked == shown.version
        })
        .await;
    }

    async fn set_down(&self, down: bool) {
        if let Some(serving) = self.serving.lock().take() {
            serving.abort();
        }
        if down {
            return;
        }
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.port)).await {
                Ok(listener) => break listener,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        let serving = gust_task::spawn("page", serve(listener, self.shown.clone()));
        *self.serving.lock() = Some(serving);
    }

    fn redelivers(&self) -> bool {
        true
    }
}

const STARTS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: ",
    b"HTTP/1.1 1",
];

#[tokio::test]
async fn pages_pass_the_suite() {
    let real = Real::start(json!({})).await;
    real.show("first");
    suite::delivers(&real).await;
    suite::acknowledges_what_is_kept(&real).await;
    suite::comes_back(&real).await;
    suite::stops(&real).await;
    suite::minds_garbage(&real, STARTS).await;
}

#[tokio::test]
async fn an_event_comes_when_the_page_has_changed_and_only_then() {
    let real = Real::start(json!({})).await;
    real.show("一");
    let running = Running::start(real.source(None).unwrap(), false).await;
    real.publish("二".as_bytes()).await;
    running.inbox.has(&["二".as_bytes()]).await;
    real.publish("一".as_bytes()).await;
    real.publish("二".as_bytes()).await;
    until("three changes", || running.inbox.events().len() == 3).await;
    let events = running.inbox.events();
    // The same text twice is two changes, and no repetition.
    assert_ne!(events[0].key, events[2].key);
    let event = &events[0].event;
    assert_eq!(event.kind(), "gust.http.message");
    assert_eq!(event.source(), "/http/127.0.0.1/items");
    assert_eq!(event.datacontenttype(), Some("text/plain"));
    // Asked with the tag, the server sends nothing; and another tag alone is no change.
    real.show("二");
    let before = real.shown.lock().requests.len();
    until("asked again", || {
        real.shown.lock().requests.len() > before + 3
    })
    .await;
    assert_eq!(running.inbox.events().len(), 3);
    let (uri, headers) = real.shown.lock().requests.last().unwrap().clone();
    assert_eq!(uri, "/items?all=1");
    assert_eq!(
        headers[header::IF_NONE_MATCH],
        format!("\"v{}\"", real.shown.lock().version)
    );
    // A node that starts again knows what it has seen, and sees what has changed meanwhile.
    let inbox = running.inbox.clone();
    running.stop().await;
    let running = Running::start_with(real.source(None).unwrap(), inbox.again(), false).await;
    assert!(running.inbox.events().is_empty());
    let inbox = running.inbox.clone();
    running.stop().await;
    real.show("三");
    let running = Running::start_with(real.source(None).unwrap(), inbox.again(), false).await;
    running.inbox.has(&["三".as_bytes()]).await;
    // Another page is another beginning.
    let other = real.open(
        json!({"url": format!("http://127.0.0.1:{}/other", real.port)}),
        0,
    );
    let again = Running::start_with(Box::new(other), inbox.again(), false).await;
    real.publish(b"4").await;
    again.inbox.has(&[b"4"]).await;
    assert_eq!(again.inbox.events().len(), 1);
    again.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn a_crash_between_keeping_and_remembering_repeats_under_the_same_key() {
    let real = Real::start(json!({"items": "", "id": "/id", "from": "start"})).await;
    real.show(r#"[{"id":1}]"#);
    let mut keys = Vec::new();
    for _ in 0..2 {
        // Nothing is remembered from one to the next.
        let running = Running::start(real.source(None).unwrap(), false).await;
        until("kept", || !running.inbox.events().is_empty()).await;
        keys.push(running.inbox.events()[0].key.clone());
        running.stop().await;
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn each_new_element_of_a_list_is_an_event() {
    let real = Real::start(json!({"items": "/items", "id": "/id"})).await;
    real.show(r#"{"items":[{"id":"a"},{"id":"b"}]}"#);
    let running = Running::start(real.source(None).unwrap(), false).await;
    real.publish(
        r#"{"items":[{"id":"c","t":"正文","n":1.0},{"id":"a","t":"changed"},{"id":"d"}]}"#
            .as_bytes(),
    )
    .await;
    until("two", || running.inbox.events().len() == 2).await;
    let events = running.inbox.events();
    let of = |n: usize| {
        (
            events[n].event.id().to_owned(),
            events[n].event.data().unwrap().bytes.clone(),
        )
    };
    assert_eq!(
        of(0),
        ("c".to_owned(), r#"{"id":"c","t":"正文","n":1.0}"#.into())
    );
    assert_eq!(of(1).0, "d");
    assert_eq!(events[0].event.datacontenttype(), Some("application/json"));
    // What was gone for a while is known again, over a new start too.
    let inbox = running.inbox.clone();
    running.stop().await;
    real.show(r#"{"items":[{"id":"b"},{"id":"e"},{"id":"c"}]}"#);
    let running = Running::start_with(real.source(None).unwrap(), inbox.again(), false).await;
    until("one", || !running.inbox.events().is_empty()).await;
    running.inbox.has(&[br#"{"id":"e"}"#]).await;
    assert_eq!(running.inbox.events().len(), 1);
    // An answer that is not as agreed is said, and asked for no sooner than usual.
    real.show("<html>");
    let error = running.ended().await.unwrap_err();
    assert!(error.message.contains("no JSON"), "{error:?}");
    let lines = real.open(
        json!({"items": "lines", "id": null, "from": "start"}),
        real.port,
    );
    real.show("{\"a\":1}\n\n2\n{\"a\":1}\n");
    let running = Running::start(Box::new(lines), false).await;
    running.inbox.has(&[br#"{"a":1}"#, b"2"]).await;
    assert_eq!(running.inbox.events().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let real = Real::start(json!({})).await;
    real.instead(429, &[("retry-after", "1")]);
    let source: Arc<HttpSource> = Arc::new(real.open(json!({}), real.port));
    let inbox = Kept::default();
    let error = source.run(&inbox, Stop::new()).await.unwrap_err();
    assert!(
        error.message.contains("429, and asks to wait 1 s"),
        "{error:?}"
    );
    // Run again at once, as after a lost connection, it still waits.
    real.show("x");
    let (stop, begun) = (Stop::new(), clock::now());
    let (again, heard) = (source.clone(), stop.clone());
    let running = gust_task::spawn(
        "again",
        async move { again.run(&Kept::default(), heard).await },
    );
    until("asked", || real.shown.lock().requests.len() > 1).await;
    assert!(
        begun.elapsed() > Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    stop.stop();
    running.await.unwrap().unwrap().unwrap();
    for (status, pause) in [(500, None), (404, Some(7)), (429, Some(7)), (301, Some(7))] {
        real.instead(status, &[]);
        let mut source = real.open(json!({}), real.port);
        source.every = Duration::from_secs(7);
        let begun = Instant::now();
        source.run(&Kept::default(), Stop::new()).await.unwrap_err();
        let found = source.not_before.lock().map(|at| (at - begun).as_secs());
        assert_eq!(found, pause, "{status}");
    }
}

#[tokio::test]
async fn where_it_is_sent_it_goes_without_what_is_secret_and_to_no_private_place() {
    let real = Real::start(json!({"from": "start", "headers": {"x-key": "geheim"}})).await;
    real.show("here");
    real.instead(302, &[("location", "/moved?to=1#part")]);
    real.instead(308, &[("location", "again")]);
    let running = Running::start(real.source(None).unwrap(), false).await;
    running.inbox.has(&[b"here"]).await;
    running.stop().await;
    let requests = real.shown.lock().requests.clone();
    let uris: Vec<_> = requests
        .iter()
        .take(3)
        .map(|(uri, _)| uri.as_str())
        .collect();
    assert_eq!(uris, ["/items?all=1", "/moved?to=1", "/again"]);
    assert!(
        requests
            .iter()
            .all(|(_, headers)| headers["x-key"] == "geheim")
    );
    let other = Real::start(json!({})).await;
    let elsewhere = format!("http://127.0.0.1:{}/", other.port);
    for (to, about) in [
        (elsewhere.as_str(), "may not be reached"),
        (
            "http://169.254.169.254/latest/meta-data",
            "may not be reached",
        ),
        ("http://[::1]/", "may not be reached"),
        ("//localhost/", "may not be reached"),
        ("file:///etc/passwd", "no place"),
        ("", "more than 5 times"),
        ("http://", "without a place"),
    ] {
        for _ in 0..7 {
            real.instead(302, &[("location", to)]);
        }
        let error = real.fails(json!({})).await;
        assert!(error.message.contains(about), "{to}: {error:?}");
        real.shown.lock().instead.clear();
    }
    assert!(other.shown.lock().requests.is_empty());
    let page = real.open(json!({"url": "https://h/"}), 0).page;
    let plain = Url::parse("http://h/").unwrap();
    let failed = page.step(&plain, None).await.err().unwrap();
    assert!(failed.error.message.contains("from TLS"), "{failed:?}");
    // To another place, nothing goes along.
    let asked = real
        .open(
            json!({"url": format!("http://u:p@127.0.0.1:{}/", real.port)}),
            0,
        )
        .page;
    let request = asked.request(&plain, false, None).unwrap();
    assert!(
        !request.headers().contains_key("x-key")
            && !request.headers().contains_key("authorization")
    );
    assert_eq!(request.headers()[header::HOST], "h");
    let request = asked.request(&plain, true, None).unwrap();
    assert_eq!(request.headers()["authorization"], "Basic dTpw");
}

/// Speaks these bytes, then closes, or hangs.
async fn says(text: Vec<u8>, hangs: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    gust_task::spawn("liar", async move {
        let (mut tcp, _) = listener.accept().await?;
        let mut heard = [0; 4096];
        let _ = tcp.read(&mut heard).await?;
        tcp.write_all(&text).await?;
        if hangs {
            sleep(Duration::from_secs(60)).await;
        }
        tcp.shutdown().await
    });
    port
}

#[tokio::test]
async fn a_server_that_lies_does_no_harm() {
    let real = Real::start(json!({"timeout": "500ms"})).await;
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n\r\n").into_bytes();
    let with = |more: &str, body: &[u8]| [head(more), body.to_vec()].concat();
    let huge = vec![b'x'; Page::WHOLE + 1];
    let many: String = (0..5000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for (text, hangs, about) in [
        (Vec::new(), true, "no whole answer"),
        (head("content-length: 5"), true, "no whole answer"),
        (with("content-length: 5", b"abc"), false, "ends too early"),
        (
            with("transfer-encoding: chunked", b"5\r\nabc"),
            false,
            "ends too early",
        ),
        (
            with("transfer-encoding: chunked", b"zz\r\n"),
            false,
            "ends too early",
        ),
        (
            with("transfer-encoding: chunked", b"ffffffffffffffffff\r\n"),
            false,
            "ends too early",
        ),
        (
            with("content-length: 99999999999", &huge),
            false,
            "more than 1015808 bytes",
        ),
        (with("x: y", &huge), false, "more than 1015808 bytes"),
        (with("content-encoding: gzip", b"abc"), false, "compressed"),
        (
            head("content-length: 5\r\ncontent-length: 6"),
            false,
            "no answer that is HTTP",
        ),
        (head(&many), false, "no answer that is HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nx: "
                .iter()
                .copied()
                .chain(vec![b'a'; 200_000])
                .collect(),
            false,
            "no answer that is HTTP",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_vec(),
            false,
            "answers 101",
        ),
        (
            b"HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\n\r\nx".to_vec(),
            false,
            "answers 206",
        ),
    ] {
        let shown = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
        let url = format!(
            "http://127.0.0.1:{}/geheim?key=geheim",
            says(text, hangs).await
        );
        let error = real.fails(json!({"url": url})).await;
        let said = format!("{error:?} {}", error.chain());
        assert!(said.contains(about), "{shown}: {said}");
        assert!(!said.contains("geheim"), "{said}");
    }
    // More than it announces is not read.
    let port = says(with("content-length: 3", b"abcdefgh"), true).await;
    let source = real.open(
        json!({"from": "start", "url": format!("http://127.0.0.1:{port}/")}),
        0,
    );
    let running = Running::start(Box::new(source), false).await;
    running.inbox.has(&[b"abc"]).await;
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let open = |settings: Value| {
        let opened = Provider::of::<Http>().open(settings.as_object().unwrap(), context());
        opened.err().map(|error| error.message)
    };
    let whole = json!({"url": "https://me@h:8443/a?b=c#d", "every": "1s", "items": "", "id": "/id", "password": "x",
        "headers": {"accept": "application/json"}, "timeout": "10s", "from": "start"});
    assert_eq!(open(whole), None);
    for (settings, about) in [
        (json!({}), "missing field `url`"),
        (json!({"url": "ftp://h/"}), "another scheme"),
        (json!({"url": "http://"}), "url"),
        (
            json!({"url": "http://h", "every": "999ms"}),
            "under a second",
        ),
        (json!({"url": "http://h", "timeout": "1ms"}), "`timeout`"),
        (json!({"url": "http://h", "id": "/id"}), "`id` of http"),
        (
            json!({"url": "http://h", "items": "data"}),
            "`items` of http",
        ),
        (
            json!({"url": "http://h", "items": "", "id": "id"}),
            "`id` of http",
        ),
        (
            json!({"url": "http://h", "headers": {"a b": "c"}}),
            "no header's name",
        ),
        (
            json!({"url": "http://h", "headers": {"a": "geheim\r\nb: c"}}),
            "no header's",
        ),
        (
            json!({"url": "http://h", "headers": {"Host": "c"}}),
            "not for `headers`",
        ),
        (
            json!({"url": "http://h", "token": "a", "password": "b"}),
            "either",
        ),
        (
            json!({"url": "http://a@h", "headers": {"authorization": "b"}}),
            "twice",
        ),
        (json!({"url": "http://h", "token": "geheim\n"}), "`token`"),
    ] {
        let found = open(settings.clone()).unwrap_or_default();
        assert!(found.contains(about), "{settings}: {found}");
        assert!(!found.contains("geheim"), "{found}");
    }
}
