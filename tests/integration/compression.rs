//! Messages that come and go compressed: the same answers, the same limits.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use topicd::api::inference_pb::ServerLiveRequest;
use topicd::api::inference_pb::grpc_inference_service_client::GrpcInferenceServiceClient;

use crate::support::{TestServer, article, assert_error, document, request};

const ENCODINGS: [(CompressionEncoding, &str); 2] =
    [(CompressionEncoding::Gzip, "gzip"), (CompressionEncoding::Zstd, "zstd")];

#[tokio::test]
async fn answers_are_the_same_and_compressed_as_the_call_is() {
    let server = TestServer::start().await;
    let plain = server.client().await.classify(request(article())).await.unwrap();
    assert!(!plain.metadata().contains_key("grpc-encoding"));
    for (encoding, name) in ENCODINGS {
        let mut client = server.client().await.send_compressed(encoding).accept_compressed(encoding);
        let answer = client.classify(request(article())).await.unwrap();
        assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), name);
        assert_eq!(answer.get_ref(), plain.get_ref());
        // Who only says that it could read it gets an answer as it is: that costs no time.
        let mut client = server.client().await.accept_compressed(encoding);
        let answer = client.classify(request(article())).await.unwrap();
        assert!(!answer.metadata().contains_key("grpc-encoding"));
    }
}

/// A few bytes that become many are refused when they have become as many as the limit, and the connection goes on.
#[tokio::test]
async fn the_limit_is_of_what_a_message_is_when_it_is_decompressed() {
    let server = TestServer::start().await;
    let (channel, connections) = server.connect().await;
    let bomb = document("", &" ".repeat(64 << 20));
    for (encoding, _) in ENCODINGS {
        let client = topicd::api::pb::classifier_service_client::ClassifierServiceClient::new(channel.clone());
        let mut client = client.send_compressed(encoding);
        let refused = client.classify(request(bomb.clone())).await.unwrap_err();
        assert_error(&refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        client.classify(request(article())).await.unwrap();
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// Over a connection of its own: tonic's client sends nothing like it.
#[tokio::test]
async fn what_isnt_compressed_as_it_says_or_as_we_know_is_refused() {
    let server = TestServer::start().await;
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (encoding, code) in
        [("deflate", Code::Unimplemented), ("gzip", Code::InvalidArgument), ("zstd", Code::InvalidArgument)]
    {
        let call = Request::post("http://localhost/topicd.v1.ClassifierService/Classify")
            .header("content-type", "application/grpc")
            .header("grpc-encoding", encoding)
            .body(Full::new(Bytes::from_static(b"\x01\0\0\0\x04junk")))
            .unwrap();
        let answer = client.send_request(call).await.unwrap();
        let headers = answer.headers().clone();
        let body = answer.into_body().collect().await.unwrap();
        let status = tonic::Status::from_header_map(&headers)
            .or_else(|| tonic::Status::from_header_map(body.trailers().unwrap()))
            .unwrap();
        assert_eq!(status.code(), code, "{encoding}: {status:?}");
    }
}

/// Anyone may ask for health: what that takes is small, however much somebody sends, and compressed it isn't read.
#[tokio::test]
async fn a_question_for_health_is_a_short_one() {
    let server = TestServer::start().await;
    let channel = server.connect().await.0;
    let question = |n_bytes| HealthCheckRequest { service: "x".repeat(n_bytes) };
    let mut health = HealthClient::new(channel.clone());
    assert_eq!(health.check(question(2000)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(health.check(question(10_000)).await.unwrap_err().code(), Code::ResourceExhausted);
    for (encoding, _) in ENCODINGS {
        let mut compressed = GrpcInferenceServiceClient::new(channel.clone()).send_compressed(encoding);
        compressed.server_live(ServerLiveRequest {}).await.unwrap_err();
    }
    assert_eq!(health.check(question(0)).await.unwrap().get_ref().status().as_str_name(), "SERVING");
}
