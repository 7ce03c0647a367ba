//! A client that says what it is told to, byte by byte.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(super) struct Raw {
    pub(super) socket: TcpStream,
    input: BytesMut,
    /// What cancels its statements.
    pub(super) ticket: (u32, u32),
}

/// A text with its zero.
pub(super) fn z(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// A startup packet of this version.
pub(super) fn startup(version: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in pairs {
        body.extend(z(name));
        body.extend(z(value));
    }
    body.push(0);
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

/// A message.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.put_u32(body.len() as u32 + 4);
    bytes.extend(body);
    bytes
}

pub(super) fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', &[z(name), z(text), vec![0, 0]].concat())
}

/// A Bind with values as text, results too.
pub(super) fn bind(portal: &str, statement: &str, values: &[&str]) -> Vec<u8> {
    let mut body = [z(portal), z(statement), vec![0, 0]].concat();
    body.put_u16(values.len() as u16);
    for value in values {
        body.put_u32(value.len() as u32);
        body.extend(value.as_bytes());
    }
    body.put_u16(0);
    message(b'B', &body)
}

pub(super) fn describe(target: u8, name: &str) -> Vec<u8> {
    message(b'D', &[vec![target], z(name)].concat())
}

pub(super) fn execute(portal: &str, most: u32) -> Vec<u8> {
    message(b'E', &[z(portal), most.to_be_bytes().to_vec()].concat())
}

pub(super) fn close(target: u8, name: &str) -> Vec<u8> {
    message(b'C', &[vec![target], z(name)].concat())
}

pub(super) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub(super) fn query(text: &str) -> Vec<u8> {
    message(b'Q', &z(text))
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(data).finalize().into_bytes().to_vec()
}

// === impl Raw ===

impl Raw {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self {
            socket: TcpStream::connect(address).await.unwrap(),
            input: BytesMut::new(),
            ticket: (0, 0),
        }
    }

    /// A session that is ready.
    pub(super) async fn enter(address: SocketAddr, user: &str, database: &str) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(&startup(3 << 16, &[("user", user), ("database", database)]))
            .await;
        let said = raw.password(&format!("secret of {user}")).await;
        assert!(said.ends_with("Z:I"), "{said}");
        raw
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The rest of a login by password; what is said then.
    pub(super) async fn password(&mut self, secret: &str) -> String {
        let (kind, _) = self.next().await.unwrap();
        assert_eq!(kind, b'R');
        let bare = "n=,r=0123456789";
        let first = format!("n,,{bare}");
        let mut body = z("SCRAM-SHA-256");
        body.put_u32(first.len() as u32);
        body.extend(first.as_bytes());
        self.send(&message(b'p', &body)).await;
        let (kind, mut answer) = self.next().await.unwrap();
        if kind == b'E' {
            return self.said(kind, answer);
        }
        answer.advance(4);
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        let last = Self::proof(bare, &answer, secret);
        self.send(&message(b'p', last.as_bytes())).await;
        self.until_ready().await
    }

    fn proof(bare: &str, answer: &str, secret: &str) -> String {
        let part = |name: &str| {
            answer
                .split(',')
                .find_map(|part| part.strip_prefix(name))
                .unwrap()
        };
        let (nonce, rounds) = (part("r="), part("i=").parse::<u32>().unwrap());
        let salt = BASE64_STANDARD.decode(part("s=")).unwrap();
        let mut last = mac(secret.as_bytes(), &[salt, vec![0, 0, 0, 1]].concat());
        let mut salted = last.clone();
        for _ in 1..rounds {
            last = mac(secret.as_bytes(), &last);
            salted.iter_mut().zip(&last).for_each(|(a, b)| *a ^= b);
        }
        let client_key = mac(&salted, b"Client Key");
        let without = format!("c=biws,r={nonce}");
        let said = format!("{bare},{answer},{without}");
        let signature = mac(&Sha256::digest(&client_key), said.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        format!("{without},p={}", BASE64_STANDARD.encode(proof))
    }

    /// One byte as it comes.
    pub(super) async fn byte(&mut self) -> u8 {
        self.socket.read_u8().await.unwrap()
    }

    /// The next message; nothing when the door has closed.
    pub(super) async fn next(&mut self) -> Option<(u8, Bytes)> {
        let read = async {
            loop {
                if self.input.len() >= 5 {
                    let length = (&self.input[1..5]).get_u32() as usize;
                    if self.input.len() > length {
                        let mut all = self.input.split_to(length + 1).freeze();
                        let kind = all.get_u8();
                        all.advance(4);
                        return Some((kind, all));
                    }
                }
                if !matches!(self.socket.read_buf(&mut self.input).await, Ok(n) if n > 0) {
                    return None;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .unwrap()
    }

    /// What a message says, shortly.
    fn said(&mut self, kind: u8, mut body: Bytes) -> String {
        let letter = char::from(kind);
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .trim_end_matches('\0')
                .to_owned()
        };
        match kind {
            b'C' | b'Z' => format!("{letter}:{}", text(&body)),
            b'E' | b'N' => {
                let fields = body.split(|byte| *byte == 0);
                let code = fields.clone().find(|field| field.first() == Some(&b'C'));
                format!("{letter}:{}", text(&code.unwrap()[1..]))
            }
            b'K' => {
                self.ticket = (body.get_u32(), body.get_u32());
                String::new()
            }
            b'R' | b'S' => String::new(),
            b'D' => {
                let count = body.get_u16();
                let values = (0..count).map(|_| match body.get_i32() {
                    -1 => "NULL".to_owned(),
                    length => text(&body.split_to(length as usize)),
                });
                format!("D:{}", values.collect::<Vec<_>>().join("|"))
            }
            b'T' => {
                let count = body.get_u16();
                let columns = (0..count).map(|_| {
                    let end = body.iter().position(|byte| *byte == 0).unwrap();
                    let name = text(&body.split_to(end));
                    body.advance(7);
                    let kind = body.get_u32();
                    body.advance(8);
                    format!("{name}={kind}")
                });
                format!("T:{}", columns.collect::<Vec<_>>().join("|"))
            }
            b't' => {
                let count = body.get_u16();
                let kinds = (0..count).map(|_| body.get_u32().to_string());
                format!("t:{}", kinds.collect::<Vec<_>>().join("|"))
            }
            _ => letter.to_string(),
        }
    }

    /// What is said up to the next "ready", or the end.
    pub(super) async fn until_ready(&mut self) -> String {
        let mut all = Vec::new();
        while let Some((kind, body)) = self.next().await {
            let said = self.said(kind, body);
            if !said.is_empty() {
                all.push(said);
            }
            if kind == b'Z' {
                return all.join(" ");
            }
        }
        all.push("end".to_owned());
        all.join(" ")
    }

    /// Sends this and answers what is said.
    pub(super) async fn ask(&mut self, bytes: &[u8]) -> String {
        self.send(bytes).await;
        self.until_ready().await
    }

    pub(super) async fn query(&mut self, text: &str) -> String {
        self.ask(&query(text)).await
    }
}
