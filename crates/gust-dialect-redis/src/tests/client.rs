//! A client of both versions of the protocol, written from its description.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

pub(super) struct Client {
    socket: BufReader<TcpStream>,
}

/// An answer, as it stood on the wire.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(super) enum Answer {
    Status(String),
    Error(String),
    Int(i64),
    Double(String),
    Bulk(Vec<u8>),
    Null,
    NullArray,
    Array(Vec<Answer>),
    Set(Vec<Answer>),
    Push(Vec<Answer>),
    Map(Vec<(Answer, Answer)>),
}

pub(super) fn bulk(text: &str) -> Answer {
    Answer::Bulk(text.as_bytes().to_vec())
}

pub(super) fn bulks(texts: &[&str]) -> Answer {
    Answer::Array(texts.iter().map(|text| bulk(text)).collect())
}

pub(super) fn request(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.as_ref().len()).bytes());
        bytes.extend(word.as_ref());
        bytes.extend(b"\r\n");
    }
    bytes
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let socket = BufReader::new(socket);
        Self { socket }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.unwrap();
    }

    pub(super) async fn run(&mut self, words: &[&str]) -> Answer {
        self.run_bytes(words).await
    }

    pub(super) async fn run_bytes(&mut self, words: &[impl AsRef<[u8]>]) -> Answer {
        self.send(&request(words)).await;
        self.read().await.expect("an answer")
    }

    #[track_caller]
    pub(super) fn ok<'a>(&'a mut self, words: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        self.is(words, Answer::Status("OK".into()))
    }

    pub(super) async fn is(&mut self, words: &[&str], expected: Answer) {
        assert_eq!(self.run(words).await, expected, "{words:?}");
    }

    pub(super) async fn fails(&mut self, words: &[&str], text: &str) {
        match self.run(words).await {
            Answer::Error(found) => assert!(found.starts_with(text), "{words:?}: {found}"),
            other => panic!("{words:?}: {other:?}"),
        }
    }

    /// The next answer; `None` when the other side has closed.
    pub(super) async fn read(&mut self) -> Option<Answer> {
        let mut line = Vec::new();
        let read = self.socket.read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|read| read > 0) {
            return None;
        }
        let text = std::str::from_utf8(&line[1..line.len() - 2])
            .unwrap()
            .to_owned();
        Some(match line[0] {
            b'+' => Answer::Status(text),
            b'-' => Answer::Error(text),
            b':' => Answer::Int(text.parse().unwrap()),
            b',' => Answer::Double(text),
            b'_' => Answer::Null,
            b'$' if text == "-1" => Answer::Null,
            b'*' if text == "-1" => Answer::NullArray,
            b'$' => {
                let mut bytes = vec![0; text.parse::<usize>().unwrap() + 2];
                self.socket.read_exact(&mut bytes).await.unwrap();
                assert!(bytes.ends_with(b"\r\n"));
                bytes.truncate(bytes.len() - 2);
                Answer::Bulk(bytes)
            }
            b'*' => Answer::Array(self.several(&text).await),
            b'~' => Answer::Set(self.several(&text).await),
            b'>' => Answer::Push(self.several(&text).await),
            b'%' => {
                let count: usize = text.parse().unwrap();
                let items = self.several(&(count * 2).to_string()).await;
                let pair = |pair: &[Answer]| (pair[0].clone(), pair[1].clone());
                Answer::Map(items.chunks(2).map(pair).collect())
            }
            kind => panic!("a kind of answer: {kind}"),
        })
    }

    async fn several(&mut self, count: &str) -> Vec<Answer> {
        let mut items = Vec::new();
        for _ in 0..count.parse::<usize>().unwrap() {
            items.push(Box::pin(self.read()).await.unwrap());
        }
        items
    }

    pub(super) async fn shut(&mut self) {
        self.socket.get_mut().shutdown().await.unwrap();
    }
}
