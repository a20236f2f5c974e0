//! A client that writes HTTP/2's frames itself (RFC 9113), and so can do what no library lets one do.

use std::net::SocketAddr;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use topicd::api::pb;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113, section 7.
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

/// A connection; streams are numbered by who uses it: 1, 3, 5, …
pub(crate) struct RawClient {
    pub(crate) stream: TcpStream,
}

/// What the server sent.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream_id: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at the beginning of a RST_STREAM, or after the last stream's in a GOAWAY.
    pub(crate) fn error_code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Whether it ends its stream.
    pub(crate) fn is_end(&self) -> bool {
        self.kind == RST_STREAM || (matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0)
    }
}

impl RawClient {
    /// Connects and says nothing.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// Connects and begins HTTP/2 with the settings that are given: identifiers and values.
    pub(crate) async fn begin(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address).await;
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &payload));
        client.write(&bytes).await.unwrap();
        client
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame; `None` when the server has closed the connection.
    pub(crate) async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream_id = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream_id, payload })
    }

    /// Reads up to the frame that is looked for, and answers what has to be answered on the way.
    pub(crate) async fn read_until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let read = self.read().await?;
            let reply = match read.kind {
                SETTINGS if read.flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[]),
                PING if read.flags & ACK == 0 => frame(PING, ACK, 0, &read.payload),
                // What was read makes room for as much.
                DATA if !read.payload.is_empty() => {
                    frame(WINDOW_UPDATE, 0, 0, &(read.payload.len() as u32).to_be_bytes())
                }
                _ => Vec::new(),
            };
            // The server may have closed the connection, which doesn't take back what it has sent.
            let _ = self.write(&reply).await;
            if is_it(&read) {
                return Some(read);
            }
        }
    }

    /// Reads to the end of the connection.
    pub(crate) async fn read_to_end(&mut self) {
        while self.read().await.is_some() {}
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream_id.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The headers of a call, and those that are given besides.
pub(crate) fn headers(path: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    usual.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The frame that begins a call.
pub(crate) fn begin_call(stream_id: u32, headers: &[(String, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        // A literal that isn't indexed (RFC 7541, section 6.2.2).
        block.push(0);
        for text in [name, value] {
            encode_length(&mut block, text.len());
            block.extend(text.bytes());
        }
    }
    frame(HEADERS, END_HEADERS, stream_id, &block)
}

/// A length with a prefix of seven bits (RFC 7541, section 5.1).
fn encode_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A message as gRPC sends it.
pub(crate) fn grpc_message(message: &impl Message) -> Vec<u8> {
    let encoded = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend((encoded.len() as u32).to_be_bytes());
    bytes.extend(encoded);
    bytes
}

/// A whole call of `Classify`.
pub(crate) fn classify_call(stream_id: u32, document: pb::Document, more: &[(&str, &str)]) -> Vec<u8> {
    let headers = headers("/topicd.v1.ClassifierService/Classify", more);
    let message = grpc_message(&pb::ClassifyRequest { document: Some(document), ..Default::default() });
    let mut bytes = begin_call(stream_id, &headers);
    bytes.extend(frame(DATA, END_STREAM, stream_id, &message));
    bytes
}
