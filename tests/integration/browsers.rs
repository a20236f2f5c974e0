//! gRPC-Web over HTTP/1.1, and leave for pages of other origins, as bytes on a connection. `tests/e2e` has a real browser.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use topicd::api::pb;
use topicd::config::{CorsOrigins, GrpcWebConfig};

use crate::support::{TestServer, article, request};

/// A call on a connection of its own: the head of the answer, in lower case, and the rest.
async fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head}Host: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    // An answer may be cut off with the connection.
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    (head, answer[end..].to_vec())
}

fn message(request: &pb::ClassifyRequest) -> Vec<u8> {
    let encoded = request.encode_to_vec();
    [&[0][..], &(encoded.len() as u32).to_be_bytes(), &encoded].concat()
}

const CALL: &str =
    "POST /topicd.v1.ClassifierService/Classify HTTP/1.1\r\nContent-Type: application/grpc-web+proto\r\n";
const PREFLIGHT: &str = "OPTIONS /topicd.v1.ClassifierService/Classify HTTP/1.1\r\nAccess-Control-Request-Method: POST\r\n\
    Access-Control-Request-Headers: authorization,content-type,x-grpc-web\r\n";

async fn server_for(origins: &str) -> TestServer {
    let origins = origins.parse::<CorsOrigins>().unwrap().0;
    TestServer::start_with(|config| config.grpc_web = Some(GrpcWebConfig { origins })).await
}

#[tokio::test]
async fn a_browsers_call_is_answered_beside_others() {
    let server = server_for("https://desk.example").await;
    let head = format!("{CALL}Origin: https://desk.example\r\n");
    let (head, body) = exchange(server.address, &head, &message(&request(article()))).await;
    assert!(
        head.starts_with("http/1.1 200") && head.contains("access-control-allow-origin: https://desk.example"),
        "{head}"
    );
    assert!(head.contains("content-type: application/grpc-web"), "{head}");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("grpc-status:0"), "{text}");
    let expected = server.client().await.classify(request(article())).await.unwrap().into_inner().encode_to_vec();
    assert!(body.windows(expected.len()).any(|bytes| bytes == expected));

    // An error comes with its details, which pages may read.
    let (head, body) = exchange(server.address, CALL, &message(&pb::ClassifyRequest::default())).await;
    let told = head.clone() + &String::from_utf8_lossy(&body);
    assert!(told.contains("grpc-status: 3") || told.contains("grpc-status:3"), "{told}");
    assert!(told.contains("grpc-status-details-bin"), "{told}");
}

#[tokio::test]
async fn pages_of_other_origins_need_leave() {
    let server = server_for("https://desk.example,https://wire.example:8443").await;
    for (origin, is_allowed) in [
        ("https://desk.example", true),
        ("https://wire.example:8443", true),
        ("https://wire.example", false),
        ("http://desk.example", false),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let (head, _) = exchange(server.address, &format!("{PREFLIGHT}Origin: {origin}\r\n"), &[]).await;
        let allowed = head.contains(&format!("access-control-allow-origin: {origin}"));
        assert_eq!(allowed, is_allowed, "{origin}: {head}");
        assert!(!is_allowed || head.contains("x-grpc-web") && head.contains("authorization"), "{head}");
    }
    let any = server_for("*").await;
    let (head, _) = exchange(any.address, &format!("{PREFLIGHT}Origin: https://evil.example\r\n"), &[]).await;
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
}

#[tokio::test]
async fn browsers_may_not_call_unless_that_is_said() {
    let server = TestServer::start().await;
    let (head, _) = exchange(server.address, CALL, &message(&request(article()))).await;
    assert!(!head.contains("200"), "{head}");
    server.client().await.classify(request(article())).await.unwrap();
    // Nor does it mean that anything is answered over HTTP/1.1.
    let server = server_for("*").await;
    let (head, _) = exchange(server.address, "GET / HTTP/1.1\r\n", &[]).await;
    assert!(head.starts_with("http/1.1 4"), "{head}");
}

/// What looks like a form is sent by any page, with its reader's certificate, and browsers don't ask before.
#[tokio::test]
async fn what_isnt_grpc_is_not_done() {
    let server = TestServer::start().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (method, content_type, status) in [
        ("POST", "application/grpc", 200),
        ("POST", "application/grpc+proto", 200),
        ("POST", "text/plain", 415),
        ("POST", "application/x-www-form-urlencoded", 415),
        ("POST", "application/json", 415),
        ("GET", "application/grpc", 415),
    ] {
        let call =
            hyper::Request::builder().method(method).uri("http://localhost/topicd.v1.ClassifierService/Classify");
        let body = Full::new(Bytes::from(message(&request(article()))));
        let call = call.header("content-type", content_type).body(body).unwrap();
        let answer = client.send_request(call).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {content_type}");
    }
    let counted = crate::metrics::value_of(&server, "topicd_documents_total{outcome=\"assigned\"}").await;
    assert_eq!(counted as u64, 2, "as many were classified as were gRPC");
}
